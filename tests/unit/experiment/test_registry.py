"""`Register` keeps options and returns the function."""

from typing import Any

import pytest
from user_modules import MODELS, Write, simple

from scythe_cli.errors import EntryPointError
from scythe_cli.experiment import experiment
from scythe_cli.experiment.experiment import ExperimentRegistry


class TestRegister:
    def test_the_function_itself_comes_back(self) -> None:
        def f() -> int:
            return 1

        assert ExperimentRegistry.Register(name="other", local_file_location="copied-to-tempdir")(f) is f
        assert f() == 1
        assert ExperimentRegistry.experiments()["other"] is f
        assert ExperimentRegistry.options(f).local_file_location == "copied-to-tempdir"

    @pytest.mark.parametrize(
        ("given", "told_as"),
        [
            (
                {"name": "a/b"},
                "Register(name='a/b')  name must be at most 100 letters, digits, dots, dashes and underscores, a "
                "letter or digit first",
            ),
            ({"retries": -1}, "Register(retries=-1)  retries must be a whole number, 0 or more"),
            (
                {"execution_timeout": "soon"},
                "Register(execution_timeout='soon')  execution_timeout must be a duration such as 45 (seconds), 30s, "
                "10m or "
                "1h30m",
            ),
            (
                {"local_file_location": "here"},
                "Register(local_file_location='here')  local_file_location must be 'cache' or 'copied-to-tempdir'",
            ),
            ({"name": print}, "write `@ExperimentRegistry.Register()`, with the parentheses"),
        ],
    )
    def test_wrong_options_are_told(self, given: dict[str, Any], told_as: str) -> None:
        with pytest.raises(EntryPointError) as caught:
            ExperimentRegistry.Register(**given)
        assert caught.value.message == told_as

    def test_options_are_found_below_other_decorators(self, write: Write) -> None:
        code = """
            import functools
            from scythe_cli import ExperimentRegistry

            def loud(function):
                @functools.wraps(function)
                def wrapped(*given): return function(*given)
                return wrapped

            @loud
            @ExperimentRegistry.Register(name="quiet")
            def f(x: In) -> Out: ...
        """
        assert experiment.load("exp:f", simple(write, code)).name == "quiet"

    def test_all_experiments_of_modules(self, write: Write) -> None:
        code = "from models import *\nfrom scythe_cli import ExperimentRegistry\n"
        code += "@ExperimentRegistry.Register()\ndef {}(x: In) -> Out: ...\n"
        folder = write(
            models=MODELS, one=code.format("a"), two=code.format("b"), both="from one import a\nfrom two import b"
        )
        assert [found.target for found in experiment.load_all(["both"], folder)] == ["one:a", "two:b"]
        write(three=code.format("a"))
        with pytest.raises(EntryPointError, match=r"three  two experiments are called 'a', in .*one.py and .*three.py"):
            experiment.load_all(["one", "three"], folder)
        with pytest.raises(EntryPointError, match="models  registers no experiment"):
            experiment.load_all(["models"], folder)

"""Experiments are made from a function and described."""

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from user_modules import EXPERIMENT, MODELS, Write, simple

from scythe_cli import ExperimentInputSpec
from scythe_cli.errors import EntryPointError
from scythe_cli.experiment import experiment


class TestOfAFunction:
    def test_any_process_can_find_it_again(self, write: Write) -> None:
        folder = write(models=MODELS, exp=EXPERIMENT, helper="HEAT = 1")
        found = experiment.load("exp:simulate", folder)
        again = experiment.from_function(found.function)
        assert (again.target, again.folder, again.source_hash) == ("exp:simulate", folder, found.source_hash)
        assert experiment.from_function(again.function) == again

    @pytest.mark.parametrize("how", [["script.py"], ["-m", "pkg.script"]])
    def test_a_function_of_main_resolves_to_its_file(self, write: Write, how: list[str]) -> None:
        code = """
            from models import *
            def f(x: In) -> Out: ...
            if __name__ == "__main__":
                from scythe_cli.experiment import experiment
                found = experiment.from_function(f)
                again = experiment.load(found.target, found.folder)
                print(found.target, found.folder, again.function.__module__, list(again.sources), sep="|")
        """
        folder = write(models=MODELS, script=code, pkg__script=code)
        done = subprocess.run([sys.executable, *how], cwd=folder, capture_output=True, text=True, check=True)
        module = "script" if how == ["script.py"] else "pkg.script"
        file = f"{module.replace('.', '/')}.py"
        target = f"{file}:f" if how == ["script.py"] else "pkg.script:f"
        assert done.stdout == f"{target}|{folder}|{module}|['models.py', '{file}']\n"

    @pytest.mark.parametrize(
        "lines", ["def f(x: In) -> Out: ...", "class Mine(In): ...\n    def f(x: Mine) -> Out: ..."]
    )
    def test_what_stands_under_the_guard_of_a_script_is_refused(self, write: Write, lines: str) -> None:
        imports = "from models import *\nfrom scythe_cli.experiment import experiment"
        code = f'{imports}\nif __name__ == "__main__":\n    {lines}\n'
        folder = write(models=MODELS, script=code + "    experiment.from_function(f)\n")
        done = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False)
        place = f"script.py:{4 + lines.count(chr(10))}"
        assert (
            f'{place}  f is defined under `if __name__ == "__main__":`: no other process can import it' in done.stderr
        )
        assert "hint: put it above that line, at the top level of the file" in done.stderr

    def test_a_model_under_the_guard_is_refused_and_what_stands_above_it_is_not(self, write: Write) -> None:
        code = """
            from __future__ import annotations
            from models import *
            from scythe_cli.experiment import experiment
            def f(x: Mine) -> Out: ...
            def g(x: In) -> Out: ...
            if __name__ == "__main__":
                class Mine(In): ...
                g = g
                experiment.from_function(g)
                experiment.from_function(f)
        """
        folder = write(models=MODELS, script=code)
        done = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False)
        assert re.search(r"script\.py:\d+  Mine is defined under", done.stderr), done.stderr

    def test_a_prompt_is_refused(self, write: Write) -> None:
        imports = "from scythe_cli.experiment import experiment\n"
        code = f"{MODELS}{imports}def cell(x: In) -> Out: ...\nexperiment.from_function(cell)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "cell is defined in a notebook or at a prompt: no other process can import it" in done.stderr

    def test_a_notebook_cell_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        scope: dict[str, Any] = {"__name__": "__main__"}
        exec(compile("def cell(x): ...", "<ipython-input-3>", "exec"), scope)  # noqa: S102 - as a notebook does
        with pytest.raises(EntryPointError) as caught:
            experiment.from_function(scope["cell"])
        assert caught.value.message == "cell is defined in a notebook or at a prompt: no other process can import it"
        assert caught.value.hint == (
            "put it into a file next to the notebook, such as experiment.py, and `from experiment import cell`"
        )

    def test_lambdas_inner_functions_and_methods_are_refused(self) -> None:
        def inner() -> None: ...

        advice = "put it at the top level of a .py file and import it from there"
        cases: list[tuple[Callable[..., Any], str]] = [
            (lambda x: x, "a lambda"),
            (inner, "not at the top level of its module"),
            (TestOfAFunction.test_a_prompt_is_refused, "not at the top level of its module"),
        ]
        for function, kind in cases:
            with pytest.raises(EntryPointError) as caught:
                experiment.from_function(function)
            assert caught.value.message == f"{function.__qualname__} is {kind}: no other process can import it"
            assert caught.value.hint == advice

    def test_what_is_no_function_is_refused(self) -> None:
        with pytest.raises(EntryPointError, match="<built-in function len> is neither a function nor an input model"):
            experiment.from_function(len)


class TestIoSpec:
    def test_it_has_the_shape_of_the_originals(self, write: Write) -> None:
        spec = experiment.io_spec(experiment.load("exp:f", simple(write, "def f(x: In) -> Out: ...")))
        assert spec["title"] == "ExperimentIO"
        assert spec["description"] == "The input and output schema for the experiment."
        assert spec["required"] == ["input", "output"]
        assert spec["properties"] == {
            "input": {"$ref": "#/$defs/In", "description": "The input for the experiment."},
            "output": {"$ref": "#/$defs/Out", "description": "The output for the experiment."},
        }
        assert set(spec["$defs"]) == {"In", "Out"}
        takes, gives = spec["$defs"]["In"], spec["$defs"]["Out"]
        assert (takes["description"], gives["description"]) == ("What goes in.", "What comes out.")
        assert takes["properties"]["lpd"] == {
            "description": "Lighting power density [W/m2]",
            "maximum": 20,
            "minimum": 0,
            "title": "Lpd",
            "type": "number",
        }
        assert list(takes["properties"])[:4] == [
            "experiment_id",
            "sort_index",
            "workflow_run_id",
            "root_workflow_run_id",
        ]
        assert takes["properties"]["weather"]["description"] == "Weather file [.epw]"
        assert list(gives["properties"]) == ["heat"]

    def test_types_without_a_json_form_are_anything(self, write: Write) -> None:
        code = "from typing import Annotated\nfrom pydantic import PlainValidator\n"
        code += "class O(Out):\n    call: Annotated[float, PlainValidator(float)] = 1.0\n"
        spec = experiment.io_spec(experiment.load("exp:f", simple(write, code + "def f(x: In) -> O: ...")))
        assert "call" in spec["$defs"]["O"]["properties"]

    def test_models_of_one_name_are_both_there(self, write: Write) -> None:
        code = "class Case(In): ...\nInput = Case\nclass Case(Out): ...\ndef f(x: Input) -> Case: ..."
        spec = experiment.io_spec(experiment.load("exp:f", simple(write, code)))
        assert len(spec["$defs"]) == 2


def test_the_base_models_are_enough(write: Write) -> None:
    code = "from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec\n"
    code += "def f(x: ExperimentInputSpec) -> ExperimentOutputSpec: ..."
    assert experiment.load("exp:f", write(exp=code)).input_model is ExperimentInputSpec

"""Modules are found from their folder, and what is missing or fails is reported."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from user_modules import EXPERIMENT, MODELS, Write, simple, told

from scythe_cli.errors import EntryPointError
from scythe_cli.experiment import experiment
from scythe_cli.experiment.experiment import ExperimentRegistry


class TestFinding:
    def test_a_function_is_found_with_its_models_and_options(self, write: Write) -> None:
        folder = write(models=MODELS, exp=EXPERIMENT, helper="HEAT = 1")
        found = experiment.load("exp:simulate", folder)
        assert (found.name, found.target, found.folder) == ("simulate", "exp:simulate", folder)
        assert (found.input_model.__name__, found.output_model.__name__, found.takes_tempdir) == ("In", "Out", True)
        assert found.options.settings() == {"retries": 3, "execution_timeout": "2m"}
        assert found.description == "Simulate one case."
        assert found.function(None, None).heat == 1
        assert ExperimentRegistry.experiments()["simulate"] is found.function

    @pytest.mark.parametrize("takes", ["input_spec: In", "x: 'In'", "input_spec: In, tempdir: Path"])
    def test_an_unregistered_function_is_an_experiment_too(self, write: Write, takes: str) -> None:
        folder = simple(write, f"def f({takes}) -> 'Out': return Out(heat=len([{takes.partition(':')[0]}]))")
        found = experiment.load("exp:f", folder)
        assert found.takes_tempdir is ("tempdir" in takes)
        spec: Any = None
        assert found.call(spec, folder).heat == 1

    def test_an_input_model_with_run_is_one(self, write: Write) -> None:
        folder = simple(write, "class Case(In):\n    def run(self, tempdir: Path) -> Out: return Out(heat=self.lpd)\n")
        found = experiment.load("exp:Case", folder)
        assert (found.name, found.input_model.__name__, found.takes_tempdir) == ("Case", "Case", True)
        case = found.input_model.model_validate({"lpd": 2, "weather": "x.epw"})
        assert found.call(case, folder).heat == 2

    @pytest.mark.parametrize(
        "target",
        ["pkg.inner:f", "pkg/inner.py:f", "./pkg/inner.py:f", "space dir/my-exp.py:f", "mine.py:f", "mine:f"],
    )
    def test_every_spelling_of_a_target(self, write: Write, target: str) -> None:
        code = "from models import *\ndef f(x: In) -> Out: return Out(heat=1)"
        folder = write(models=MODELS, pkg__inner=code, mine=code, random=code)
        write(pkg____init__="")
        (folder / "pkg" / "__init__.py").touch()
        (folder / "space dir").mkdir()
        (folder / "space dir" / "my-exp.py").write_text(code)
        found = experiment.load(target, folder)
        assert Path(found.function.__code__.co_filename).is_relative_to(folder)
        assert experiment.load(target, folder).function is found.function  # imported once
        import random

        assert "site" not in random.__name__ and not str(random.__file__).startswith(str(folder))

    @pytest.mark.parametrize("target", ["random.py:f", "random:f"])
    def test_a_target_under_the_name_of_a_library_is_refused(self, write: Write, target: str) -> None:
        folder = write(models=MODELS, random="from models import *\ndef f(x: In) -> Out: return Out(heat=1)")
        with pytest.raises(EntryPointError) as caught:
            experiment.load(target, folder)
        assert f"{folder / 'random.py'} hides Python's or a library's own module 'random'" in caught.value.message
        assert caught.value.hint == "rename random.py"

    def test_modules_of_the_same_name_in_two_folders_are_not_mistaken(self, write: Write) -> None:
        one = write("one", models=MODELS, exp=EXPERIMENT, helper="HEAT = 1")
        two = write("two", models=MODELS, exp=EXPERIMENT, helper="HEAT = 2")
        first, second = experiment.load("exp:simulate", one), experiment.load("exp:simulate", two)
        again = experiment.load("exp:simulate", one)
        assert [found.function(None, None).heat for found in (first, second, again)] == [1, 2, 1]

    def test_a_function_may_import_its_siblings_late(self, write: Write) -> None:
        code = "def f(x: In) -> Out:\n    import late_sibling\n    return Out(heat=late_sibling.HEAT)"
        folder = simple(write, code, late_sibling="HEAT = 3")
        spec: Any = None
        assert experiment.load("exp:f", folder).call(spec, folder).heat == 3

    def test_the_folder_shadows_no_library_once_the_import_is_over(self, write: Write) -> None:
        folder = simple(write, "def f(x: In) -> Out: ...", colorsys="raise RuntimeError('mine')")
        experiment.load("exp:f", folder)
        import colorsys

        assert not str(colorsys.__file__).startswith(str(folder))

    def test_importing_is_known_to_the_module(self, write: Write) -> None:
        code = (
            "from scythe_cli.experiment.importer import is_importing\nDURING = is_importing()\ndef f(x: In) -> Out: ..."
        )
        found = experiment.load("exp:f", simple(write, code))
        assert found.function.__globals__["DURING"] is True
        from scythe_cli.experiment import importer

        assert importer.is_importing() is False

    def test_it_imports_nothing_heavy(self) -> None:
        heavy = {"polars", "pyarrow", "pandas", "boto3"}
        code = f"import scythe_cli.experiment.experiment, sys; print({heavy} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "set()\n"


class TestMissing:
    def test_a_module(self, write: Write) -> None:
        folder = write(building_energy="")
        error = told("building_enrgy:f", folder, place="experiment.yml:1")
        assert error.message == (
            "experiment.yml:1  there is no module 'building_enrgy': no building_enrgy.py or building_enrgy/__init__.py "
            f"in {folder}, and none installed in {sys.prefix}. Did you mean 'building_energy'?"
        )

    def test_a_module_of_a_package(self, write: Write) -> None:
        folder = write(pkg__inner="")
        (folder / "pkg" / "__init__.py").touch()
        error = told("pkg.iner:f", folder)
        assert error.message == f"pkg.iner:f  there is no module 'iner' in {folder}/pkg. Did you mean 'inner'?"

    def test_a_module_below_one_that_is_no_package(self, write: Write) -> None:
        error = told("exp.x:f", simple(write))
        assert error.message == "exp.x:f  there is no module 'x' in exp, which is not a package."

    def test_a_file(self, write: Write) -> None:
        folder = write(exp="")
        error = told("exq.py:f", folder)
        assert error.message == f"exq.py:f  there is no file {folder}/exq.py. Did you mean 'exp.py'?"

    def test_a_function(self, write: Write) -> None:
        folder = simple(write, "def simulate(): ...\ndef _hidden(): ...")
        error = told("exp:simulat", folder)
        assert error.message == (
            f"exp:simulat  there is no function 'simulat' in {folder}/exp.py. Did you mean 'simulate'?"
        )
        assert error.hint == "it has simulate"

    @pytest.mark.parametrize("target", ["exp", "exp:", ":f"])
    def test_half_a_target(self, write: Write, target: str) -> None:
        error = told(target, simple(write))
        assert error.message == f"{target}  {target!r} must be module:function or path/to/file.py:function"

    def test_a_notebook(self, write: Write) -> None:
        error = told("study.ipynb:f", simple(write))
        assert error.message == "study.ipynb:f  'study.ipynb' must be a module's name or a .py file"
        assert error.hint == "put the function into a .py file next to the notebook"

    def test_a_built_in_module(self, write: Write) -> None:
        error = told("sys:exit", simple(write))
        assert error.message == "sys:exit  'sys' has no Python file of its own; name a module that has"


class TestFailingImports:
    def test_the_traceback_shows_the_users_frames_alone(self, write: Write) -> None:
        folder = write(exp="import helper", helper="{}['key']")
        assert told("exp:f", folder, place="experiment.yml:1").message == textwrap.dedent(f"""\
            experiment.yml:1  exp cannot be imported:
              File "{folder}/exp.py", line 1, in <module>
                import helper
              File "{folder}/helper.py", line 1, in <module>
                {{}}['key']
                ~~^^^^^^^
            KeyError: 'key'""")

    def test_a_missing_library(self, write: Write) -> None:
        folder = write(exp="import nump")
        assert told("exp:f", folder).message == textwrap.dedent(f"""\
            exp:f  exp cannot be imported:
              File "{folder}/exp.py", line 1, in <module>
                import nump
            ModuleNotFoundError: No module named 'nump'""")

    def test_a_syntax_error(self, write: Write) -> None:
        folder = write(exp="def f(:")
        message = told("exp:f", folder).message
        assert message.startswith(f'exp:f  exp cannot be imported:\n  File "{folder}/exp.py", line 1\n    def f(:')
        assert message.endswith("SyntaxError: invalid syntax")

    def test_a_script_that_exits(self, write: Write) -> None:
        error = told("exp:f", write(exp="import sys\nsys.exit(3)"))
        assert error.message.startswith("exp:f  exp ends the process when it is imported:")
        assert error.hint == 'put what a script does under `if __name__ == "__main__":`'

    def test_a_failed_import_can_be_mended_and_tried_again(self, write: Write) -> None:
        folder = simple(write, "raise RuntimeError")
        told("exp:f", folder)
        simple(write, "def f(x: In) -> Out: ...  # mended")
        assert experiment.load("exp:f", folder).name == "f"

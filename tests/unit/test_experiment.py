"""Experiments: found from their folder, checked with a message for each mistake, described, and hashed."""

import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scythe_cli import ExperimentInputSpec
from scythe_cli.errors import EntryPointError, ExitCode
from scythe_cli.experiment import experiment
from scythe_cli.experiment.experiment import Experiment, ExperimentRegistry
from scythe_cli.experiment.models import file_fields

MODELS = """
from enum import Enum
from pydantic import Field
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, FileReference

class In(ExperimentInputSpec):
    \"\"\"What goes in.\"\"\"
    lpd: float = Field(description="Lighting power density [W/m2]", ge=0, le=20)
    weather: FileReference = Field(description="Weather file [.epw]")
    tags: list[int] = Field(default_factory=list)

class Out(ExperimentOutputSpec):
    \"\"\"What comes out.\"\"\"
    heat: float = Field(description="Heating [kWh/m2]", ge=0)
"""
EXPERIMENT = """
from __future__ import annotations
from pathlib import Path
from scythe_cli import ExperimentRegistry
from models import In, Out
import helper

@ExperimentRegistry.Register(retries=3, execution_timeout="2m")
def simulate(input_spec: In, tempdir: Path) -> Out:
    \"\"\"Simulate one case.

    With care.
    \"\"\"
    return Out(heat=helper.HEAT)
"""
EXPECTED = (
    "expected `def {}(input_spec: MyInput, tempdir: Path) -> MyOutput:` (tempdir may be left out), with "
    "`class MyInput(ExperimentInputSpec)` and `class MyOutput(ExperimentOutputSpec)`"
)
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _own_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Leave no module and no folder of one test behind for the next."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_files(folder: str = "", **files: str) -> Path:
        home = tmp_path / folder
        for name, text in files.items():
            file = home / (name.replace("__", "/") + ".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text), encoding="utf-8")
        return home

    return write_files


def simple(write: Write, code: str = "", folder: str = "", **more: str) -> Path:
    """A folder with models and one module, `exp`."""
    head = "from pathlib import Path\nfrom models import *\n"
    return write(folder, models=MODELS, exp=head + textwrap.dedent(code), **more)


def told(target: str, folder: Path, **given: Any) -> EntryPointError:
    with pytest.raises(EntryPointError) as caught:
        experiment.load(target, folder, **given)
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    return caught.value


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
        ["pkg.inner:f", "pkg/inner.py:f", "./pkg/inner.py:f", "space dir/my-exp.py:f", "random.py:f", "random:f"],
    )
    def test_every_spelling_of_a_target(self, write: Write, target: str) -> None:
        code = "from models import *\ndef f(x: In) -> Out: return Out(heat=1)"
        folder = write(models=MODELS, pkg__inner=code, random=code)
        write(pkg____init__="")
        (folder / "pkg" / "__init__.py").touch()
        (folder / "space dir").mkdir()
        (folder / "space dir" / "my-exp.py").write_text(code)
        found = experiment.load(target, folder)
        assert Path(found.function.__code__.co_filename).is_relative_to(folder)
        assert experiment.load(target, folder).function is found.function  # imported once
        import random

        assert "site" not in random.__name__ and not str(random.__file__).startswith(str(folder))

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
        from scythe_cli.experiment import importer as entry

        assert entry.is_importing() is False

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
        assert error.hint == "put the function into a .py file beside the notebook"

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


class TestSignatures:
    @pytest.mark.parametrize(
        ("code", "problem"),
        [
            ("def f(x): ...", "f has no annotation for its parameter x"),
            ("def f(x: In): ...", "f has no annotation for its return value"),
            (
                "def f(x: In) -> None: ...",
                "f has a return value of NoneType, which is no subclass of ExperimentOutputSpec",
            ),
            ("def f(x: dict) -> Out: ...", "f has a parameter x of dict, which is no subclass of ExperimentInputSpec"),
            ("def f(x: Out) -> Out: ...", "f has a parameter x of Out, which is no subclass of ExperimentInputSpec"),
            (
                "def f(x: In | None) -> Out: ...",
                "f has a parameter x of models.In | None, which is no subclass of ExperimentInputSpec",
            ),
            ("def f() -> Out: ...", "f takes (); it may take (input_spec) or (input_spec, tempdir: Path)"),
            (
                "def f(x: In, tempdir: Path, more: int = 1) -> Out: ...",
                "f takes (x, tempdir, more); it may take (input_spec) or (input_spec, tempdir: Path)",
            ),
            (
                "def f(x: In, tmp: Path) -> Out: ...",
                "f takes (x, tmp); it may take (input_spec) or (input_spec, tempdir: Path)",
            ),
            ("def f(*x: In) -> Out: ...", "f takes (*x); it may take (input_spec) or (input_spec, tempdir: Path)"),
            ("def f(x: In, tempdir: str) -> Out: ...", "f must annotate its second parameter `tempdir: Path`"),
            ("def f(x: In, tempdir) -> Out: ...", "f must annotate its second parameter `tempdir: Path`"),
            ("async def f(x: In) -> Out: ...", "f is async: its process runs one spec at a time; write `def`"),
            ("def f(x: In) -> Out: yield 1", "f yields: an experiment returns one output; write `return`"),
        ],
    )
    def test_each_mistake_is_told_with_what_is_expected(self, write: Write, code: str, problem: str) -> None:
        error = told("exp:f", simple(write, code))
        assert error.message == f"exp.py:3  {problem}"
        assert error.hint == EXPECTED.format("f")

    def test_an_annotation_that_cannot_be_resolved(self, write: Write) -> None:
        error = told("exp:f", simple(write, "def f(x: 'Later') -> Out: ..."))
        assert error.message == "exp.py:3  f has an annotation that cannot be resolved: name 'Later' is not defined"
        assert error.hint == "import the name at the top of the module, not under `if TYPE_CHECKING:`"

    @pytest.mark.parametrize(
        ("code", "problem"),
        [
            ("f = 5", "f must be a function; it is int"),
            ("class f: ...", "f must be a function; it is a class that is no ExperimentInputSpec"),
            ("import functools\nf = functools.partial(print)", "f must be a function; it is partial"),
        ],
    )
    def test_what_is_no_function(self, write: Write, code: str, problem: str) -> None:
        error = told("exp:f", simple(write, code))
        assert (error.message, error.hint) == (f"exp.py  {problem}", EXPECTED.format("f"))

    def test_models_without_a_proper_run(self, write: Write) -> None:
        expected = "expected `def run(self, tempdir: Path) -> MyOutput:` (tempdir may be left out)"
        error = told("exp:Case", simple(write, "class Case(In): ...", "none"))
        assert (error.message, error.hint) == ("exp.py  the input model Case has no method `run`", expected)
        error = told("exp:Case", simple(write, "class Case(In):\n    def run(self, x) -> Out: ...", "wrong"))
        assert error.message == "exp.py:4  Case.run takes (self, x); it may take (self) or (self, tempdir: Path)"
        assert error.hint == expected

    @pytest.mark.parametrize(
        ("code", "problem"),
        [
            ("class O(Out):\n    lpd: float", "returns a field 'lpd', which In has as an input: rename it"),
            (
                "class O(Out):\n    sort_index: int",
                "returns a field 'sort_index', which is the name of an index column: rename it",
            ),
            (
                "class O(Out):\n    sort_subindex: int",
                "returns a field 'sort_subindex', which is the name of an index column: rename it",
            ),
            (
                "class O(Out):\n    größe: FileReference",
                "uses a field 'größe' of O, which names a folder and may hold only A-Z, a-z, 0-9 and _: rename it",
            ),
            (
                "class O(Out):\n    plots: list[FileReference]",
                "uses a field 'plots' of O, which holds several files: give each file a field of its own",
            ),
            (
                "from pydantic import create_model\nO = create_model('O', __base__=Out, **{'a/b': (int, 1)})",
                "uses a field 'a/b' of O, which is no Python name: rename it",
            ),
            ("class O(Out):\n    x: 'Never'", "uses the model O, in which 'Never' is not defined"),
        ],
    )
    def test_fields_that_cannot_be(self, write: Write, code: str, problem: str) -> None:
        error = told("exp:f", simple(write, f"{code}\ndef f(x: In) -> O: ..."))
        assert error.message == f"exp.py:5  f {problem}"

    @pytest.mark.parametrize("model", ["In", "Out"])
    @pytest.mark.parametrize(
        ("kind", "place"),
        [
            ("Layer", "Layer.drawing"),
            ("list[Layer] | None", "Layer.drawing"),
            ("dict[str, Floor]", "Layer.drawing"),
            ("Box", "Box.file"),
            ("tuple[Named, ...]", "Named.file"),
            ("Typed", "Typed.file"),
        ],
    )
    def test_a_file_inside_a_field_is_refused(self, write: Write, model: str, kind: str, place: str) -> None:
        code = f"""
from dataclasses import dataclass
from typing import NamedTuple, Optional
from typing_extensions import TypedDict
from pydantic import BaseModel
class Layer(BaseModel):
    drawing: Optional[FileReference] = None
    below: "Optional[Layer]" = None
class Floor(BaseModel):
    layers: list[Layer]
@dataclass
class Box:
    file: FileReference
class Named(NamedTuple):
    file: FileReference
class Typed(TypedDict):
    file: FileReference
class M({model}):
    inner: {kind}
def f(x: {"M" if model == "In" else "In"}) -> {"M" if model == "Out" else "Out"}: ...
"""
        error = told("exp:f", write(models=MODELS, exp="from models import *\n" + code))
        rule = f"holds a file inside, {place}, which would not be found there: give it a field of M"
        assert error.message.endswith(f"f uses a field 'inner' of M, which {rule}")

    def test_a_file_behind_an_alias_is_a_file(self, write: Write) -> None:
        code = """
            from typing_extensions import TypeAliasType
            Epw = TypeAliasType("Epw", FileReference)
            class M(In):
                epw: Epw
            def f(x: M) -> Out: ...
        """
        assert file_fields(experiment.load("exp:f", simple(write, code)).input_model) == ("weather", "epw")

    @pytest.mark.parametrize("name", ["sort_subindex", "dataframes"])
    def test_input_fields_that_are_scythes(self, write: Write, name: str) -> None:
        error = told("exp:f", simple(write, f"class I(In):\n    {name}: int\ndef f(x: I) -> Out: ..."))
        assert error.message == f"exp.py:5  f takes a field {name!r}, which is a name of scythe's own: rename it"

    def test_a_name_that_cannot_be_a_folders(self, write: Write) -> None:
        error = told("exp:größe", simple(write, "def größe(x: In) -> Out: ..."))
        assert error.message == "exp.py  the name 'größe' cannot be a folder's"
        assert error.hint == 'give it another: @ExperimentRegistry.Register(name="...")'


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


class TestOfAFunction:
    def test_any_process_can_find_it_again(self, write: Write) -> None:
        folder = write(models=MODELS, exp=EXPERIMENT, helper="HEAT = 1")
        found = experiment.load("exp:simulate", folder)
        again = experiment.of(found.function)
        assert (again.target, again.folder, again.source_hash) == ("exp:simulate", folder, found.source_hash)
        assert experiment.of(again.function) == again

    @pytest.mark.parametrize("how", [["script.py"], ["-m", "pkg.script"]])
    def test_a_function_of_main_resolves_to_its_file(self, write: Write, how: list[str]) -> None:
        code = """
            from models import *
            def f(x: In) -> Out: ...
            if __name__ == "__main__":
                from scythe_cli.experiment import experiment
                found = experiment.of(f)
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
        folder = write(models=MODELS, script=code + "    experiment.of(f)\n")
        done = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False)
        place = f"script.py:{4 + lines.count(chr(10))}"
        assert f'{place}  f stands under `if __name__ == "__main__":`: no other process can import it' in done.stderr
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
                experiment.of(g)
                experiment.of(f)
        """
        folder = write(models=MODELS, script=code)
        done = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False)
        assert re.search(r"script\.py:\d+  Mine stands under", done.stderr), done.stderr

    def test_a_prompt_is_refused(self, write: Write) -> None:
        code = MODELS + "def cell(x: In) -> Out: ...\nfrom scythe_cli.experiment import experiment\nexperiment.of(cell)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "cell is defined in a notebook or at a prompt: no other process can import it" in done.stderr

    def test_a_notebook_cell_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        scope: dict[str, Any] = {"__name__": "__main__"}
        exec(compile("def cell(x): ...", "<ipython-input-3>", "exec"), scope)  # noqa: S102 - as a notebook does
        with pytest.raises(EntryPointError) as caught:
            experiment.of(scope["cell"])
        assert caught.value.message == "cell is defined in a notebook or at a prompt: no other process can import it"
        assert caught.value.hint == (
            "put it into a file beside the notebook, such as experiment.py, and `from experiment import cell`"
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
                experiment.of(function)
            assert caught.value.message == f"{function.__qualname__} is {kind}: no other process can import it"
            assert caught.value.hint == advice

    def test_what_is_no_function_is_refused(self) -> None:
        with pytest.raises(EntryPointError, match="<built-in function len> is neither a function nor an input model"):
            experiment.of(len)


class TestSource:
    def found(self, write: Write, folder: str, **files: str) -> Experiment:
        home = write(folder, **{"models": MODELS, "exp": EXPERIMENT, "helper": "HEAT = 1"} | files)
        return experiment.load("exp:simulate", home)

    def test_the_files_are_the_modules_own_and_what_they_import(self, write: Write) -> None:
        helper = """
            import os, json, polars
            from typing import TYPE_CHECKING
            if TYPE_CHECKING:
                import typed
            def late():
                from pkg.deep import leaf
            HEAT = 1
        """
        found = self.found(
            write,
            "a",
            helper=helper,
            typed="",
            unused="",
            pkg__deep__leaf="from . import beside\nfrom .. import above\nfrom ...too_far import x",
            pkg__deep__beside="",
            pkg__above="",
            pkg__unused="",
        )
        (found.folder / "pkg" / "__init__.py").touch()
        assert list(found.sources) == [
            "exp.py",
            "helper.py",
            "models.py",
            "pkg/__init__.py",
            "pkg/above.py",
            "pkg/deep/beside.py",
            "pkg/deep/leaf.py",
            "typed.py",
        ]
        assert found.sources["typed.py"] == found.folder / "typed.py"

    def test_the_hash_is_the_same_elsewhere_and_with_other_line_ends(self, write: Write) -> None:
        one, two = self.found(write, "a"), self.found(write, "b")
        (two.folder / "helper.py").write_bytes(b"HEAT = 1")
        assert one.source_hash == two.source_hash
        assert len(one.source_hash) == 64
        windows = self.found(write, "c")
        for file in windows.sources.values():
            file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        assert windows.source_hash == one.source_hash

    def test_the_hash_sees_a_change_in_any_of_them_and_nowhere_else(self, write: Write) -> None:
        one = self.found(write, "a").source_hash
        assert self.found(write, "b", helper="HEAT = 2").source_hash != one
        assert self.found(write, "c", models=MODELS + "\n# a comment").source_hash != one
        assert self.found(write, "d", unrelated="X = 1").source_hash == one

    def test_installed_packages_do_not_count(self, write: Write) -> None:
        folder = write(models=MODELS, exp=EXPERIMENT, helper="HEAT = 1\nfrom venv_thing import x")
        library = folder / "lib" / "site-packages"
        library.mkdir(parents=True)
        (library / "venv_thing.py").write_text("x = 1")
        sys.path.insert(0, str(library))
        assert list(experiment.load("exp:simulate", folder).sources) == ["exp.py", "helper.py", "models.py"]


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
        code = "from collections.abc import Callable\nclass O(Out):\n    call: Callable[[], int] | None = None\n"
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

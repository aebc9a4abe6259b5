"""What a function may take and return; each mistake has a message."""

import pytest
from user_modules import EXPECTED, MODELS, Write, simple, told

from scythe_cli.experiment import experiment
from scythe_cli.experiment.field_kinds import file_fields


class TestSignatures:
    @pytest.mark.parametrize(
        ("code", "problem"),
        [
            ("def f(x): ...", "f has no annotation for its parameter x"),
            ("def f(x: In): ...", "f has no annotation for its return value"),
            (
                "def f(x: In) -> None: ...",
                "f has a return value of NoneType, which is not a subclass of ExperimentOutputSpec",
            ),
            (
                "def f(x: dict) -> Out: ...",
                "f has a parameter x of dict, which is not a subclass of ExperimentInputSpec",
            ),
            ("def f(x: Out) -> Out: ...", "f has a parameter x of Out, which is not a subclass of ExperimentInputSpec"),
            (
                "def f(x: In | None) -> Out: ...",
                "f has a parameter x of models.In | None, which is not a subclass of ExperimentInputSpec",
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
            ("class f: ...", "f must be a function; it is a class that is not an ExperimentInputSpec"),
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
                "uses a field 'a/b' of O, which is not a Python name: rename it",
            ),
            (
                "class O(Out):\n    dataframes: list[str]",
                "uses a field 'dataframes' of O, which is not a dict of tables by name: rename it, or write "
                "`dict[str, Any]`",
            ),
            (
                "class O(Out):\n    dataframes: float = 1.0",
                "uses a field 'dataframes' of O, which is not a dict of tables by name: rename it, or write "
                "`dict[str, Any]`",
            ),
            ("class O(Out):\n    x: 'Never'", "uses the model O, in which 'Never' is not defined"),
        ],
    )
    def test_fields_that_cannot_be(self, write: Write, code: str, problem: str) -> None:
        error = told("exp:f", simple(write, f"{code}\ndef f(x: In) -> O: ..."))
        assert error.message == f"exp.py:5  f {problem}"

    @pytest.mark.parametrize("kind", ["dict", "dict[str, list]", "Mapping[str, int]", "Optional[dict[str, object]]"])
    def test_dataframes_may_say_more_of_their_tables(self, write: Write, kind: str) -> None:
        imports = "from collections.abc import Mapping\nfrom typing import Optional"
        code = f"{imports}\nclass O(Out):\n    dataframes: {kind} = {{}}\ndef f(x: In) -> O: ..."
        experiment.load("exp:f", simple(write, code))

    def test_all_fields_that_no_table_holds_are_told_at_once(self, write: Write) -> None:
        code = """
            from pydantic import SecretStr, computed_field
            class I(In):
                key: SecretStr = SecretStr("")
            class O(Out):
                call: type = int
                @computed_field
                @property
                def folder(self) -> Path: ...
            def f(x: I) -> O: ...
        """
        lines = told("exp:f", simple(write, code)).message.splitlines()
        assert [line.partition(", which")[0].partition("  ")[2] for line in lines] == [
            "f uses a field 'key' of I",
            "f uses a field 'call' of O",
            "f uses a field 'folder' of O",
        ]

    @pytest.mark.parametrize("name", ["lpd", "sort_index"])
    def test_a_computed_field_has_a_name_of_its_own(self, write: Write, name: str) -> None:
        code = (
            f"from pydantic import computed_field\nclass O(Out):\n    @computed_field\n    def {name}(self) -> int: ..."
        )
        assert f"f returns a field {name!r}" in told("exp:f", simple(write, f"{code}\ndef f(x: In) -> O: ...")).message

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
        assert error.message == f"exp.py:5  f takes a field {name!r}, which scythe uses itself: rename it"

    def test_a_name_that_cannot_be_a_folders(self, write: Write) -> None:
        error = told("exp:größe", simple(write, "def größe(x: In) -> Out: ..."))
        assert error.message == "exp.py  the name 'größe' cannot be a folder's"
        assert error.hint == 'give it another: @ExperimentRegistry.Register(name="...")'

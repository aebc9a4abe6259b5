"""For random rows and a zoo of models: accepted values equal pydantic's, and refused rows are those it refuses."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import math
import re
import string
from decimal import Decimal
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    PastDate,
    PositiveInt,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from scythe_cli.columns.model_fields import is_plain
from scythe_cli.columns.rows import make_specs
from scythe_cli.columns.schema import arrow_schema
from scythe_cli.errors import TableError
from scythe_cli.experiment.field_kinds import file_fields, user_fields
from scythe_cli.experiment.file_reference import FileReference
from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.spec_table import report
from scythe_cli.spec_table.read import read_specs


class Wall(StrEnum):
    BRICK = "brick"
    WOOD = "wood"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Layer(BaseModel):
    thickness: float = Field(gt=0)
    material: str = "air"


class Numbers(ExperimentInputSpec):
    whole: int
    bounded: int = Field(ge=0, lt=100, multiple_of=5)
    real: float
    limited: float | None = Field(default=None, gt=-1.5, le=1e6)
    finite: float = Field(default=3.0, allow_inf_nan=False)
    step: float = Field(default=0.5, multiple_of=0.5)
    yes: bool
    maybe: bool | None = None
    positive: PositiveInt = 7
    odd_default: int = None  # type: ignore[assignment]  # users write this


class Words(ExperimentInputSpec):
    text: str
    short: str = Field(default="abc", min_length=1, max_length=4)
    pattern: str | None = Field(default=None, pattern="^[ab]+$")
    choice: Literal["x", "y", "z"]
    number: Literal[1, 2, 30] = 2
    optional: Literal["a", "b"] | None = None
    wall: Wall
    level: Level = Level.LOW


class Stripped(ExperimentInputSpec):
    model_config = ConfigDict(str_strip_whitespace=True, str_max_length=6)

    text: str
    lower: Annotated[str, Field(min_length=2)] | None


class Times(ExperimentInputSpec):
    day: dt.date
    later: dt.date | None = Field(default=None, ge=dt.date(2000, 1, 1))
    past: PastDate | None = None
    moment: dt.datetime
    aware: AwareDatetime | None = None
    clock: dt.time | None = None
    span: dt.timedelta | None = None


class Nested(ExperimentInputSpec):
    numbers: list[int]
    layers: list[Layer] = Field(default_factory=list)
    layer: Layer | None
    table: dict[str, float] = Field(default={})
    either: int | str
    pair: tuple[float, float] = (0.0, 1.0)


class Loose(ExperimentInputSpec):
    anything: Any = None
    either: dt.date | str = "x"


class Others(ExperimentInputSpec):
    file: FileReference
    other: FileReference | None = None
    path: Path
    uid: UUID | None = None
    price: Decimal = Decimal(1)
    url: HttpUrl | None = None


class Strict(ExperimentInputSpec):
    model_config = ConfigDict(strict=True)

    whole: int
    real: float
    yes: bool = False
    day: dt.date | None = None


class Doubled(ExperimentInputSpec):
    """Its validators must not run a second time."""

    whole: int = Field(ge=0)
    length: float
    layer: Layer | None = None
    _area: float = PrivateAttr(default=0)

    @field_validator("whole")
    @classmethod
    def _double(cls, value: int) -> int:
        return 2 * value

    @field_validator("length", mode="before")
    @classmethod
    def _in_metres(cls, value: Any) -> Any:
        return value.removesuffix("cm") + "e-2" if isinstance(value, str) and value.endswith("cm") else value

    @model_validator(mode="after")
    def _together(self) -> Doubled:
        if self.whole > 50 and self.length < 0:
            raise ValueError("a negative length goes with few")
        self._area = self.whole * self.length
        return self


class Open(ExperimentInputSpec):
    model_config = ConfigDict(extra="allow")

    whole: int


ZOO: list[type[ExperimentInputSpec]] = [Numbers, Words, Stripped, Times, Nested, Loose, Others, Strict, Doubled, Open]

_SPACES = st.sampled_from(["", "", "", " ", "\t", "  "])
_DIGITS = st.text("0123456789+-._eE ", min_size=1, max_size=6)
_INTEGERS = st.one_of(st.integers(-3, 110), st.integers(), st.sampled_from([2**63 - 1, 2**63, -(2**63)])).map(str)
_FLOATS = st.one_of(st.floats().map(repr), st.sampled_from(["nan", "inf", "-Infinity", "1e400", "1_000", ".5", "5."]))
_NUMBERS = st.one_of(_INTEGERS, _INTEGERS.map("0{}".format), _INTEGERS.map("{}.0".format), _FLOATS, _DIGITS)
_BOOLS = st.sampled_from(
    ["true", "TRUE", "False", "1", "0", "yes", "No", "on", "off", "t", "f", "Y", "2", " true", "tru"]
)
_DATES = st.one_of(
    st.dates().map(str),
    st.datetimes().map(str),
    st.datetimes().map(lambda one: one.replace(microsecond=0).isoformat()),
    st.datetimes().map(lambda one: one.isoformat() + "Z"),
    st.builds("{:04}-{:02}-{:02}".format, st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32)),
    st.builds("2020-01-01T{:02}:{:02}:{:02}".format, st.integers(0, 25), st.integers(0, 61), st.integers(0, 61)),
    st.sampled_from(["2026", "20260131", "1700000000", "12:30", "P3DT2H", "2020-1-1"]),
)
_WORDS = st.one_of(
    st.sampled_from(
        ["x", "y", "z", "a", "b", "ab", "brick", "wood", "BRICK", "1", "2", "30", "2.0", "01", "01234", "é"]
    ),
    st.text(string.printable, max_size=6),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
)
_JSON = st.one_of(
    st.sampled_from(['{"thickness": 1}', '{"thickness": "2", "material": "x"}', '{"thickness": 0}', "[]", "[1, 2]"]),
    st.lists(st.integers(-5, 5), max_size=3).map(json.dumps),
    st.dictionaries(st.sampled_from("ab"), st.floats(allow_nan=False, allow_infinity=False)).map(json.dumps),
    st.sampled_from(["[1", "null", '["a", 1.5]', "[1.5, 2]", '"x"', "{'thickness': 1}", '[{"thickness": 3}]']),
)
_PLACES = st.sampled_from(
    [
        "/data/a.epw",
        "s3://bucket/a b.epw",
        "https://x.org/a",
        "http://",
        "s3://",
        "/",
        "12345678123456781234567812345678",
    ]
)
_MEASURES = st.builds("{}{}".format, st.integers(-5, 60), st.sampled_from(["", "cm", "m"]))


def _padded(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("{}{}{}".format, _SPACES, texts, _SPACES)


def _cell(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str | None]:
    return st.one_of(texts, texts, texts, _padded(texts), st.none(), st.just(""))


_LIKELY: dict[type[ExperimentInputSpec], st.SearchStrategy[str]] = {
    Numbers: st.one_of(_NUMBERS, _INTEGERS, _BOOLS),
    Words: _WORDS,
    Stripped: _padded(_WORDS),
    Times: _DATES,
    Nested: st.one_of(_JSON, _NUMBERS, _WORDS),
    Loose: st.one_of(_WORDS, _DATES),
    Others: st.one_of(_PLACES, _NUMBERS),
    Strict: st.one_of(_NUMBERS, _BOOLS, _DATES),
    Doubled: st.one_of(_MEASURES, _NUMBERS, _JSON),
    Open: st.one_of(_NUMBERS, _WORDS),
}


_CELLS = {model: _cell(texts) for model, texts in _LIKELY.items()}


@st.composite
def tables(draw: st.DrawFn, model: type[ExperimentInputSpec]) -> list[dict[str, str | None]]:
    """Rows of text, most of which have something right and something wrong."""
    cells = _CELLS[model]
    names = list(user_fields(model)) + (["stranger"] if model is Open else [])
    good = draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names)))
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        rows.append({name: GOOD[model][name] if fine else draw(cells) for name, fine in zip(names, good, strict=True)})
    return rows


GOOD: dict[type[ExperimentInputSpec], dict[str, str | None]] = {
    Numbers: {
        "whole": "3", "bounded": "15", "real": "2.5", "limited": None, "finite": "1", "step": "1.5", "yes": "true",
        "maybe": None, "positive": "3", "odd_default": None,
    },
    Words: {
        "text": "t", "short": "ab", "pattern": "ab", "choice": "x", "number": "30", "optional": None, "wall": "wood",
        "level": "2",
    },
    Stripped: {"text": "a", "lower": "bb"},
    Times: {
        "day": "2020-02-29", "later": "2020-01-01", "past": "1999-01-01", "moment": "2020-01-01T10:00:00",
        "aware": "2020-01-01T10:00:00Z", "clock": "10:00", "span": "PT3H",
    },
    Nested: {
        "numbers": "[1]", "layers": '[{"thickness": 1}]', "layer": '{"thickness": 2}', "table": '{"a": 1}',
        "either": "5", "pair": "[1, 2]",
    },
    Loose: {"anything": "x", "either": "y"},
    Others: {
        "file": "/data/w.epw", "other": "s3://b/k", "path": "/x", "uid": "12345678123456781234567812345678",
        "price": "1.10", "url": "https://x.org/",
    },
    Strict: {"whole": "1", "real": "1.5", "yes": "no", "day": "2020-01-01"},
    Doubled: {"whole": "4", "length": "30cm", "layer": None},
    Open: {"whole": "1", "stranger": "s"},
}  # fmt: skip

_TEXT_FIELDS = {"text", "short", "pattern", "lower", "either", "anything", "stranger"}
_JSON_FIELDS = {"numbers", "layers", "layer", "table", "pair"}
_NUMBERED = {"number": (1, 2, 30), "level": (1, 2)}


def _reference(model: type[ExperimentInputSpec], cells: dict[str, Any]) -> dict[str, Any]:
    """Pydantic's input by the rules for cells, written without any of the code under test."""
    row: dict[str, Any] = {}
    for name, cell in cells.items():
        value = None if cell == "" and name not in _TEXT_FIELDS else cell
        if value is None and name in model.model_fields and not model.model_fields[name].is_required():
            continue
        if isinstance(value, str) and name in _JSON_FIELDS:
            with contextlib.suppress(ValueError):
                value = json.loads(value)
        elif isinstance(value, str | float) and not isinstance(value, bool) and name in _NUMBERED:
            with contextlib.suppress(ValueError):
                value = next((choice for choice in _NUMBERED[name] if float(value) == choice), value)
        row[name] = value
    return row


def _outcome(model: type[ExperimentInputSpec], row: dict[str, Any], base: Path) -> ExperimentInputSpec | None:
    try:
        made = model.model_validate(row, strict=False)
    except ValidationError:
        return None
    for name, value in made.__dict__.items():  # numbers that Python alone reads
        cell = row.get(name)
        if isinstance(cell, str) and isinstance(value, int | float | Decimal) and not isinstance(value, bool | str):
            beyond = isinstance(value, float) and math.isinf(value) and "inf" not in cell.lower()
            if "_" in cell or beyond:
                return None
    for name, value in made.__dict__.items():  # what arrow cannot hold is refused with a message of its own
        kind = arrow_schema(model).field(name).type if name in user_fields(model) else pa.string()
        if isinstance(value, int) and not -(2**63) <= value < 2**63 and kind == pa.int64():
            return None
        if isinstance(value, dt.datetime | dt.time) and value.tzinfo is not None and kind != pa.timestamp("us", "UTC"):
            return None
    for name in file_fields(model):
        if isinstance(value := getattr(made, name), Path):
            made.__dict__[name] = base / value
    return made


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, BaseModel) and isinstance(other, BaseModel):
        return _same(_all(one), _all(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


def _all(model: BaseModel) -> dict[str, Any]:
    return model.__dict__ | (model.model_extra or {}) | (model.__pydantic_private__ or {})


def _quoted(cell: str | None) -> str:
    if cell is None:
        return ""
    if cell == "" or any(mark in cell for mark in ',"\n\r') or cell != cell.strip():
        return '"' + cell.replace('"', '""') + '"'
    return cell


def _check(
    rows: list[ExperimentInputSpec | None], read: Any, model: type[ExperimentInputSpec], lines: list[int]
) -> None:
    refused = {line for line, row in zip(lines, rows, strict=True) if row is None}
    try:
        specs = read()
    except TableError as exc:
        found = {int(line) for line in re.findall(r"^specs[^ ]*(?: row |:)(\d+) ", exc.message, re.MULTILINE)}
        assert found == refused, exc.message
        return
    assert not refused, "accepted what pydantic refuses"
    made = make_specs(specs.table, model, {})
    for at, (wanted, got) in enumerate(zip(rows, made, strict=True)):
        assert wanted is not None
        assert got.sort_index == at
        wanted.sort_index = at
        assert _same(wanted, got)
        assert specs.where(at).endswith(str(lines[at]))


@pytest.fixture(autouse=True)
def _every_error_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "SHOWN", 1000)


def _folder(factory: pytest.TempPathFactory) -> Path:
    """One for all examples."""
    return factory.getbasetemp()


ROOMY = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("model", ZOO)
@ROOMY
@given(data=st.data())
def test_csv_cells_are_what_pydantic_makes_of_them(
    model: type[ExperimentInputSpec], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = data.draw(tables(model))
    path = _folder(tmp_path_factory) / "specs.csv"
    text = ",".join(rows[0]) + "\n"
    lines = []
    for row in rows:
        text += data.draw(st.sampled_from(["", "", "\n", "\r\n"]))
        lines.append(len(re.findall("\r\n|\r|\n", text)) + 1)
        text += ",".join(map(_quoted, row.values())) + data.draw(st.sampled_from(["\n", "\r\n"]))
    path.write_bytes(data.draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode("utf-8", "replace"))
    wanted = [_outcome(model, _reference(model, row), path.parent) for row in rows]
    if any(
        mark in str(cell) for row in rows for cell in row.values() for mark in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
    ):
        return  # text that the test's own reader of messages splits into lines
    if sum(all(cell is None for cell in row.values()) for row in rows) > 1:
        return  # empty rows are one line of the report
    _check(wanted, lambda: read_specs(path, model, base=path.parent), model, lines)


_TYPED: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int64(), st.one_of(st.integers(-3, 110), st.integers(-(2**63), 2**63 - 1))),
    (pa.int8(), st.integers(-128, 127)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float64(), st.one_of(st.floats(), st.integers(-3, 110).map(float))),
    (pa.float32(), st.floats(width=32)),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.one_of(_WORDS, _NUMBERS, _DATES).filter(lambda text: text.isprintable() and text != "")),
    (pa.date32(), st.dates()),
    (pa.timestamp("us"), st.datetimes()),
    (pa.duration("us"), st.timedeltas(max_value=dt.timedelta(days=10**6), min_value=dt.timedelta(0))),
    (pa.list_(pa.int64()), st.lists(st.integers(-5, 5), max_size=3)),
]
_NATURAL: dict[type[ExperimentInputSpec], dict[str, Any]] = {
    Numbers: {"whole": 1, "bounded": 5, "real": 1.0, "yes": True},
    Words: {"text": "a", "choice": "x", "wall": "wood"},
    Times: {"day": dt.date(2020, 1, 1), "moment": dt.datetime(2020, 1, 1, 3)},
    Nested: {"numbers": [1], "layer": {"thickness": 1.0, "material": "x"}, "either": "a"},
    Loose: {},
    Strict: {"whole": 1, "real": 1.0},
    Doubled: {"whole": 1, "length": 1.0},
}


@pytest.mark.parametrize("model", list(_NATURAL))
@ROOMY
@given(data=st.data())
def test_typed_columns_are_what_pydantic_makes_of_them(
    model: type[ExperimentInputSpec], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    n = data.draw(st.integers(1, 5))
    columns = {name: pa.array([value] * n) for name, value in _NATURAL[model].items()}
    for name in data.draw(st.lists(st.sampled_from(user_fields(model)), max_size=2)):
        kind, values = data.draw(st.sampled_from(_TYPED))
        columns[name] = pa.array(data.draw(st.lists(st.one_of(values, st.none()), min_size=n, max_size=n)), kind)
    if not columns:
        return
    given_table = pa.table(columns)
    path = _folder(tmp_path_factory) / "specs.parquet"
    pq.write_table(given_table, path)
    wanted = [_outcome(model, _reference(model, row), path.parent) for row in given_table.to_pylist()]
    for source in (path, given_table):
        _check(wanted, lambda source=source: read_specs(source, model, base=path.parent), model, list(range(n)))


@pytest.mark.parametrize("model", ZOO)
@ROOMY
@given(data=st.data())
def test_instances_come_back_as_they_were(model: type[ExperimentInputSpec], data: st.DataObject) -> None:
    rows = [_reference(model, row) for row in data.draw(tables(model))]
    specs = [made for row in rows if (made := _outcome(model, row, Path.cwd())) is not None]
    if specs:
        read = read_specs(specs, model)
        for at, (was, now) in enumerate(zip(specs, make_specs(read.table, model, {}), strict=True)):
            was.sort_index = at
            assert _same(_public(was), _public(now))


def _public(spec: ExperimentInputSpec) -> dict[str, Any]:
    """Private attributes belong to the process that made them."""
    return spec.__dict__ | (spec.model_extra or {})


def test_the_zoo_has_both_kinds_of_model() -> None:
    assert [model for model in ZOO if is_plain(model)] == [Numbers, Stripped, Strict]

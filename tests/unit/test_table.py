"""The specs table: what each wrong thing says, what each kind of source gives, and what becomes of rows."""

from __future__ import annotations

import datetime as dt
import json
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather
from pydantic import AwareDatetime, BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from scythe_cli.columns.model_fields import is_plain
from scythe_cli.columns.rows import GIVEN, make_specs, makers
from scythe_cli.core import validation_errors
from scythe_cli.errors import InputFileError, StoreError, TableError
from scythe_cli.experiment.file_reference import FileReference
from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.run.specs_file import compute_features
from scythe_cli.spec_table import sources, table
from scythe_cli.spec_table.table import SpecTable, read_specs


class Wall(StrEnum):
    BRICK = "brick"
    WOOD = "wood"


class House(ExperimentInputSpec):
    zip_code: str
    setpoint: float = Field(ge=12, le=30)
    wall: Wall
    floors: Literal[1, 2, 3] = 1
    built: dt.date | None = None
    heated: bool = True


class Weather(ExperimentInputSpec):
    x: int
    weather_file: FileReference
    other: FileReference | None = None


class Doubled(ExperimentInputSpec):
    x: int

    @field_validator("x")
    @classmethod
    def _double(cls, value: int) -> int:
        return 2 * value


class Plain(ExperimentInputSpec):
    x: int


HEADER = "zip_code,setpoint,wall\n"
GOOD = HEADER + "01234,20,brick\n"


def write(folder: Path, text: str | bytes, name: str = "specs.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(
    source: Any, model: type[ExperimentInputSpec] = House, base: Path | None = None, *, check_files: bool = False
) -> list[str]:
    """The lines of the report."""
    with pytest.raises(TableError) as caught:
        read_specs(source, model, base=base, check_files=check_files)
    assert caught.value.exit_code == 2
    return caught.value.message.splitlines()


def test_types_follow_the_model(tmp_path: Path) -> None:
    text = "zip_code,setpoint,wall,floors,built,heated\n01234,2e1,wood,3,2020-02-29,no\n9,12,brick,,,\n"
    specs = read_specs(write(tmp_path, text), House)
    day = dt.date(2020, 2, 29)
    assert specs.table.drop_columns(["sort_index"]).to_pylist() == [
        {"zip_code": "01234", "setpoint": 20.0, "wall": "wood", "floors": 3, "built": day, "heated": False},
        {"zip_code": "9", "setpoint": 12.0, "wall": "brick", "floors": 1, "built": None, "heated": True},
    ]
    made = make_specs(specs.table, House, {"experiment_id": "e"})
    assert made[0] == House(
        experiment_id="e",
        zip_code="01234",
        setpoint=20,
        wall=Wall.WOOD,
        floors=3,
        built=dt.date(2020, 2, 29),
        heated=False,
    )
    assert specs.rows == 2
    assert specs.name == "specs.csv"
    assert not specs.computed


def test_a_row_out_of_bounds_says_line_value_and_rule(tmp_path: Path) -> None:
    lines = refused(write(tmp_path, GOOD + "1,45,brick\n\n2,,wool\n"))
    assert lines == [
        "specs.csv:3  setpoint = '45': must be <= 30",
        "specs.csv:5  setpoint: is empty, and needs a value",
        "specs.csv:5  wall = 'wool': must be 'brick' or 'wood'",
        "3 errors (rows are lines of the file, the header is line 1)",
    ]


def test_a_long_report_shows_twenty_and_the_total(tmp_path: Path) -> None:
    lines = refused(write(tmp_path, HEADER + "1,99,brick\n" * 3000))
    assert len(lines) == 21
    assert lines[19] == "specs.csv:21  setpoint = '99': must be <= 30"
    assert lines[20] == "... and 2,980 more, 3,000 errors in all (rows are lines of the file, the header is line 1)"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("zip_code,setpont,wall\n1,20,wood\n", "column 'setpont' is not a field of House. Did you mean 'setpoint'?"),
        ("zip_code,SETPOINT,wall\n1,20,wood\n", "column 'SETPOINT' is not a field of House. Did you mean 'setpoint'?"),
        ("zip_code,wall\n1,wood\n", "column 'setpoint' is missing"),
        ("zip_code,setpoint,wall,colour\n1,20,wood,red\n", "column 'colour' is not a field of House."),
        ("zip_code, setpoint,wall\n1,20,wood\n", "column ' setpoint' has spaces around its name; write 'setpoint'"),
        ("zip_code,setpoint,wall,wall\n1,20,wood,wood\n", "column 'wall' is there twice"),
        ("zip_code,setpoint,wall,\n1,20,wood,\n", "a column has no name"),
    ],
)
def test_each_wrong_column_is_one_error(tmp_path: Path, text: str, wanted: str) -> None:
    assert refused(write(tmp_path, text))[:-1] == [f"specs.csv  {wanted}"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("zip_code;setpoint;wall\n1;2;3\n", "is separated by semicolons; separate it by commas"),
        ("", "is empty"),
        ("\n\n", "is empty; its first line names the columns"),
        (HEADER, "has no specs; give at least one row"),
        (GOOD.encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        (GOOD.encode() + b"\xff,20,wood\n", "specs.csv:3 is not UTF-8 text (byte b'\\xff'); save the file as UTF-8"),
        (GOOD + '"a\nb,20,wood\n', "specs.csv:3 opens a quote that is never closed; is the file cut off?"),
        (b"PAR1abcdefgh", "is a parquet file, and its name says .csv"),
        (b"\x89\x00\x00", "is not a text file, and its name says CSV"),
    ],
)
def test_what_is_no_csv_says_so_in_one_line(tmp_path: Path, text: str | bytes, wanted: str) -> None:
    (line,) = refused(write(tmp_path, text))
    assert line.endswith(wanted)
    assert "specs.csv" in line


def test_lines_are_counted_as_a_person_counts(tmp_path: Path) -> None:
    text = (
        '\ufeffzip_code,setpoint,wall\r\n\r\n"two\nlines",20,brick\r\n1,20\r\n\r\n2,21,wood,x\r\n3,99,wood\r\n4,20,wood'
    )
    assert refused(write(tmp_path, text))[:-1] == [
        "specs.csv:5  has 2 cells, and the header has 3",
        "specs.csv:7  has 4 cells, and the header has 3",
        "specs.csv:8  setpoint = '99': must be <= 30",
    ]
    specs = read_specs(write(tmp_path, text), House, limit=1)
    assert specs.where(0) == "specs.csv:3"
    assert specs.table["zip_code"].to_pylist() == ["two\nlines"]


def test_limit_takes_the_first(tmp_path: Path) -> None:
    assert read_specs(write(tmp_path, GOOD + "1,99,brick\n1,2\n"), House, limit=1).rows == 1


def test_given_indexes_sort_the_rows_and_are_unique(tmp_path: Path) -> None:
    text = "sort_index,zip_code,setpoint,wall,experiment_id\n7,a,20,brick,placeholder\n3,b,21,wood,placeholder\n"
    specs = read_specs(write(tmp_path, text), House)
    assert specs.table.select(["sort_index", "zip_code"]).to_pylist() == [
        {"sort_index": 3, "zip_code": "b"},
        {"sort_index": 7, "zip_code": "a"},
    ]
    assert (specs.where(0), specs.where(1)) == ("specs.csv:3", "specs.csv:2")
    lines = refused(write(tmp_path, text + "7,c,20,wood,\n-1,d,20,wood,\nx,e,20,wood,\n,f,20,wood,\n"))
    assert lines[:-1] == [
        "specs.csv:4  sort_index = 7: must be unique, and specs.csv:2 has it too",
        "specs.csv:5  sort_index = '-1': must be >= 0",
        "specs.csv:6  sort_index = 'x': must be a whole number",
        "specs.csv:7  sort_index: is empty, and needs a value",
    ]


def test_every_kind_of_source_gives_the_same_table(tmp_path: Path) -> None:
    frame = pl.DataFrame({"zip_code": ["01234", "5"], "setpoint": [20, 21], "wall": ["wood", "brick"]})
    frame.write_csv(tmp_path / "a.csv")
    frame.write_parquet(tmp_path / "a.pq")
    feather.write_feather(frame.to_arrow(), tmp_path / "a.feather")
    frame.write_ipc_stream(tmp_path / "a.arrow")
    frame.write_ndjson(tmp_path / "a.jsonl")
    models = [House.model_validate(row) for row in frame.to_dicts()]
    paths: list[Any] = ["a.csv", tmp_path / "a.pq", "a.feather", "a.arrow", "a.jsonl"]
    categories = frame.with_columns(pl.col("wall").cast(pl.Categorical))
    tables = [read_specs(one, House, base=tmp_path) for one in [*paths, frame, frame.to_pandas(), frame.to_arrow()]]
    tables += [read_specs(one, House) for one in (models, frame.to_dicts(), categories, categories.to_pandas())]
    assert all(specs.table.equals(tables[0].table) for specs in tables)
    assert [specs.where(1) for specs in tables[:6]] == [
        "a.csv:3", "a.pq row 1", "a.feather row 1", "a.arrow row 1", "a.jsonl:2", "specs row 1",
    ]  # fmt: skip


def test_pandas_columns_of_paths_are_read() -> None:
    frame = pd.DataFrame({"x": [1, 2], "weather_file": [Path("/a.epw"), Path("/b.epw")], "other": [None, Path("/c")]})
    specs = read_specs(frame, Weather)
    assert specs.table["weather_file"].to_pylist() == ["/a.epw", "/b.epw"]
    assert specs.table["other"].to_pylist() == [None, "/c"]


def test_ndjson_reports_every_bad_line(tmp_path: Path) -> None:
    rows = ['{"zip_code": "1", "setpoint": 20, "wall": "wood"}', "", " {", "[1]", '{"zip_code": 1, "setpoint": 5}']
    rows += ['{"zip_code": "1", "setpoint": null, "wall": "wood"}']
    lines = refused(write(tmp_path, "\n".join(rows), "specs.jsonl"))
    assert lines[:-1] == [
        "specs.jsonl:3  is not JSON: EOF while parsing an object at column 2",
        "specs.jsonl:4  is not a JSON object: each line is one, {...}",
        "specs.jsonl:5  zip_code = 1: must be text",
        "specs.jsonl:5  setpoint = 5: must be >= 12",
        "specs.jsonl:5  wall: is missing",
        "specs.jsonl:6  setpoint: is empty, and needs a value",
    ]
    assert lines[-1] == "6 errors (rows are lines of the file, from 1)"
    assert refused([{"x": 1}, {"x": None}, {}], Plain)[:-1] == [
        "specs row 1  x: is empty, and needs a value",
        "specs row 2  x: is missing",
    ]


def test_an_unknown_key_has_the_line_where_it_first_stands(tmp_path: Path) -> None:
    rows = ['{"zip_code": "1", "setpoint": 20, "wall": "wood"}', "", '{"zip_code": "1", "setpont": 20, "wall": "wood"}']
    lines = refused(write(tmp_path, "\n".join(rows), "specs.jsonl"))
    assert lines[:-1] == [
        "specs.jsonl:3  column 'setpont' is not a field of House.",
        "specs.jsonl:3  setpoint: is missing",
    ]


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_a_typed_file_that_is_cut_off_or_another_says_so(tmp_path: Path, suffix: str) -> None:
    table = pa.table({"zip_code": ["1"], "setpoint": [20.0], "wall": ["wood"]})
    path = tmp_path / f"specs.{suffix}"
    pq.write_table(table, path) if suffix == "parquet" else feather.write_feather(table, path)
    write(tmp_path, path.read_bytes()[:-20], f"cut.{suffix}")
    (line,) = refused(tmp_path / f"cut.{suffix}")
    assert "cut off" in line
    (line,) = refused(write(tmp_path, GOOD, f"text.{suffix}"))
    assert f"text.{suffix} is not a {suffix} file" in line
    (line,) = refused(write(tmp_path, b"", f"empty.{suffix}"))
    assert line.endswith(f"empty.{suffix} is empty")


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    (line,) = refused("spec.csv", base=tmp_path)
    assert line == f"spec.csv does not exist in {tmp_path}. Did you mean 'specs.csv'?"
    (line,) = refused(write(tmp_path, "x", "specs.xlsx"))
    assert "specs.xlsx is of a kind that scythe does not read: give .csv, .parquet" in line
    (tmp_path / "folder.csv").mkdir()
    for folder in ("folder.csv", "."):
        (line,) = refused(folder, base=tmp_path)
        assert line == f"{folder} is a folder ({tmp_path / folder}), not a file of specs"


def test_a_place_stands_in_front_of_what_is_wrong_with_the_address(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"^e.yml:2  specs: spec.csv does not exist in "):
        read_specs("spec.csv", House, base=tmp_path, place="e.yml:2")
    with pytest.raises(StoreError, match=r"^e.yml:2  specs: http://127.0.0.1:9/a.csv: "):
        read_specs("http://127.0.0.1:9/a.csv", House, place="e.yml:2")


def test_specs_that_are_not_in_a_bucket_are_named_once(s3_storage: str) -> None:
    address = f"{s3_storage}/specs.csv"
    with pytest.raises(InputFileError, match=f"^e.yml:2  specs: {address} does not exist$"):
        read_specs(address, House, place="e.yml:2")


def test_dates_and_times_are_shown_as_one_writes_them() -> None:
    class Early(ExperimentInputSpec):
        day: dt.date = Field(le=dt.date(2023, 1, 1))
        when: dt.datetime = Field(le=dt.datetime(2023, 1, 1))

    day, when = dt.date(2024, 5, 5), dt.datetime(2024, 5, 5, 12)
    lines = refused(pl.DataFrame({"day": [day], "when": [when]}), Early)
    assert lines[:2] == [
        "specs row 0  day = 2024-05-05: must be <= 2023-01-01",
        "specs row 0  when = 2024-05-05T12:00:00: must be <= 2023-01-01T00:00:00",
    ]
    assert validation_errors.format_value({"a": [day, None, "b"]}) == "{'a': [2024-05-05, None, 'b']}"
    assert validation_errors.format_value(dt.timedelta(seconds=5)) == "0:00:05"


def test_typed_rows_count_from_zero() -> None:
    lines = refused(pl.DataFrame({"zip_code": ["1", None], "setpoint": [20.0, 50.0], "wall": ["wood", "x"]}))
    assert lines == [
        "specs row 1  zip_code: is empty, and needs a value",
        "specs row 1  setpoint = 50.0: must be <= 30",
        "specs row 1  wall = 'x': must be 'brick' or 'wood'",
        "3 errors (rows are counted from 0)",
    ]


def test_paths_start_from_the_specs_file_then_from_the_experiment(tmp_path: Path, clean_environment: Path) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path, "", "both.epw")
    write(tmp_path / "data", "", "both.epw")
    write(tmp_path, "", "here.epw")
    cells = [
        "both.epw",
        "here.epw",
        "nowhere.epw",
        "~/mine.epw",
        "s3://bucket/a b.epw",
        "https://x.org/a.epw",
        "both.epw",
    ]
    text = "x,weather_file\n" + "".join(f"{at},{cell}\n" for at, cell in enumerate(cells))
    specs = read_specs(write(tmp_path / "data", text), Weather, base=tmp_path)
    assert specs.references == {
        "weather_file": [
            f"{tmp_path}/data/both.epw",
            f"{tmp_path}/here.epw",
            f"{tmp_path}/data/nowhere.epw",
            f"{clean_environment}/mine.epw",
            "s3://bucket/a b.epw",
            "https://x.org/a.epw",
        ],
        "other": [],
    }
    assert specs.table["weather_file"].to_pylist()[6] == f"{tmp_path}/data/both.epw"
    assert specs.where(6) == "specs.csv:8"


def test_an_empty_path_is_no_path(tmp_path: Path) -> None:
    assert refused(write(tmp_path, 'x,weather_file\n1,""\n'), Weather)[0] == (
        "specs.csv:2  weather_file: is empty, and needs a value"
    )


@pytest.mark.parametrize("indexes", ["none", "counting", "shuffled"])
def test_a_large_table_waits_on_the_disk_and_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indexes: str
) -> None:
    (tmp_path / "a.epw").touch()
    n = 3 * sources.CHUNK + 5
    index = {"none": None, "counting": lambda at: 7 * at, "shuffled": lambda at: (7 * at) % n}[indexes]
    head = "x,weather_file,other" + (",sort_index" if index else "")
    lines = [f"{at},a.epw,{'' if at < 2 * n // 3 else 'a.epw'}" + (f",{index(at)}" if index else "") for at in range(n)]
    source = write(tmp_path, "\n".join([head, *lines, ""]))
    held = read_specs(source, Weather)
    monkeypatch.setattr(table, "SPILL_BYTES", 1)
    spilled = read_specs(source, Weather, check_files=True)
    assert (held._spill, spilled._spill is None) == (None, False)
    spilled.relax()
    assert spilled.table.equals(held.table)
    assert spilled.references == held.references
    assert spilled.where(n - 1) == held.where(n - 1)


def test_files_of_rows_on_the_disk_are_in_the_one_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "SPILL_BYTES", 1)
    lines = ["x,weather_file", "1,/nowhere.epw", *["1,/dev/null"] * 2 * sources.CHUNK, "one,/dev/null", ""]
    assert refused(write(tmp_path, "\n".join(lines)), Weather, check_files=True)[:2] == [
        "specs.csv:2  weather_file = '/nowhere.epw': does not exist",
        f"specs.csv:{2 * sources.CHUNK + 3}  x = 'one': must be a whole number",
    ]


def _again(specs: SpecTable) -> list[Any]:
    """What a lane makes of a table that went through parquet."""
    sink = pa.BufferOutputStream()
    pq.write_table(specs.table, sink)
    return make_specs(pq.read_table(pa.BufferReader(sink.getvalue())), specs.model, {})


def test_a_validator_that_is_not_idempotent_runs_once(tmp_path: Path) -> None:
    specs = read_specs(write(tmp_path, "x\n4\n"), Doubled)
    assert specs.table["x"].to_pylist() == [8]
    assert [spec.x for spec in _again(specs)] == [8]
    assert [spec.x for spec in _again(read_specs([Doubled(x=4)], Doubled))] == [8]
    assert GIVEN not in specs.index


def test_a_row_that_the_model_refuses_now_raises_when_it_is_made(tmp_path: Path) -> None:
    class Later(Doubled):
        x: int = Field(le=4)

    doubled = read_specs(write(tmp_path, "x\n1\n7\n2\n"), Doubled).table
    first, second, third = makers(doubled, Later, {})
    assert (first(), third()) == (Later(x=1), Later(x=2, sort_index=2))
    with pytest.raises(ValidationError):
        second()


def test_a_validator_that_raises_is_told_by_row(tmp_path: Path) -> None:
    class Touchy(ExperimentInputSpec):
        x: int
        y: int

        @model_validator(mode="after")
        def _look(self) -> Touchy:
            if self.x == 1:
                raise ValueError("x and y do not go together")
            if self.x == 2:
                raise RuntimeError("no luck")
            return self

    assert refused(write(tmp_path, "x,y\n0,1\n1,1\n2,1\nz,1\n"), Touchy)[:-1] == [
        "specs.csv:3  row = {'x': '1', 'y': '1'}: x and y do not go together",
        "specs.csv:4  this row: Touchy raises RuntimeError: no luck",
        "specs.csv:5  x = 'z': must be a whole number",
    ]


def test_instances_that_were_changed_are_checked() -> None:
    spec = House(zip_code="1", setpoint=20, wall=Wall.WOOD)
    spec.setpoint = 99
    assert refused([House(zip_code="1", setpoint=20, wall=Wall.WOOD), spec])[0] == (
        "specs row 1  setpoint = 99: must be <= 30"
    )
    assert "is a Doubled, and the experiment takes House" in refused([Doubled(x=1)])[0]


def test_indexes_of_instances_count_only_when_set() -> None:
    def house(**more: Any) -> House:
        return House(zip_code="1", setpoint=20, wall=Wall.WOOD, **more)

    assert read_specs([house(), house()], House).table["sort_index"].to_pylist() == [0, 1]
    assert read_specs([house(sort_index=5), house(sort_index=2)], House).table["sort_index"].to_pylist() == [2, 5]
    assert "sort_index is set on 1 of 2 specs" in refused([house(sort_index=5), house()])[0]


def test_none_of_an_instance_stays_none() -> None:
    class Defaulted(ExperimentInputSpec):
        x: int | None = 5

    assert _again(read_specs([Defaulted(x=None), Defaulted()], Defaulted)) == [
        Defaulted(x=None),
        Defaulted(sort_index=1),
    ]


def test_open_models_keep_what_they_do_not_name(tmp_path: Path) -> None:
    class Open(ExperimentInputSpec, extra="allow"):
        x: int

    specs = read_specs(write(tmp_path, "x,colour\n1,red\n2,\n"), Open)
    assert [spec.model_extra for spec in _again(specs)] == [{"colour": "red"}, {"colour": None}]
    assert specs.index[-2:] == ("x", "colour")


def test_made_up_defaults_are_made_up_once(tmp_path: Path) -> None:
    numbers = iter(range(100, 200))

    class Seeded(ExperimentInputSpec):
        x: int
        seed: int = Field(default_factory=lambda: next(numbers))

    class Hooked(Seeded):
        @model_validator(mode="after")
        def _nothing(self) -> Hooked:
            return self

    for model in (Seeded, Hooked):
        specs = read_specs(write(tmp_path, "x\n1\n2\n"), model)
        assert [spec.seed for spec in _again(specs)] == specs.table["seed"].to_pylist()


def test_models_and_lists_in_cells(tmp_path: Path) -> None:
    class Layer(BaseModel):
        thickness: float = Field(gt=0)

    class Layered(ExperimentInputSpec):
        layers: list[Layer]
        best: Layer | None = None

    row = {"layers": [{"thickness": 1}, {"thickness": 0.5}], "best": {"thickness": 2}}
    write(tmp_path, json.dumps(row) + "\n", "a.jsonl")
    write(tmp_path, """layers,best\n"[{""thickness"":1},{""thickness"":0.5}]","{""thickness"":2}"\n""", "a.csv")
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    tables = [read_specs(name, Layered, base=tmp_path) for name in ("a.jsonl", "a.csv", "a.parquet")]
    assert all(_again(specs) == [Layered.model_validate(row)] for specs in tables)
    assert tables[0].table.schema.field("best").type == pa.struct([("thickness", pa.float64())])
    write(tmp_path, 'layers\n[1\n"[{""thickness"":0}]"\n', "bad.csv")
    assert refused("bad.csv", Layered, tmp_path)[:-1] == [
        "bad.csv:2  layers = '[1': must be a list; in a cell of text, write it as JSON",
        "bad.csv:3  layers[0].thickness = 0: must be > 0",
    ]


def test_computed_features_are_known() -> None:
    class Featured(ExperimentInputSpec):
        x: int

        @property
        def computed_features(self) -> dict[str, Any]:
            return {"twice": 2 * self.x}

    assert read_specs([Featured(x=1)], Featured).computed


def test_integers_beyond_64_bits_are_told(tmp_path: Path) -> None:
    assert refused(write(tmp_path, f"x\n{2**70}\n"), Doubled)[0].endswith("does not fit 64 bits")


def test_an_argument_that_is_no_field_names_the_nearest() -> None:
    class Checked(House):
        @field_validator("zip_code")
        @classmethod
        def _never(cls, value: str) -> str:
            raise PydanticCustomError("own", "not {this}", {"this": value})

    given: dict[str, Any] = {"setpont": 20, "zip_code": "{x}", "wall": "wool"}
    with pytest.raises(ValidationError) as caught:
        Checked(**given)
    said = [(error["type"], error["loc"], error["msg"]) for error in caught.value.errors()]
    assert caught.value.title == "Checked"
    assert said == [
        ("own", ("zip_code",), "not {x}"),
        ("missing", ("setpoint",), "Field required"),
        ("enum", ("wall",), "Input should be 'brick' or 'wood'"),
        ("extra_forbidden", ("setpont",), "setpont is not a field of Checked. Did you mean 'setpoint'?"),
    ]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([None, 1, 2.5, "high", "low"], "specs.csv:5  {c} = 'high': is str, and specs.csv:3 gives int; {one}"),
        ([True, 1, 1, 1, 1], "specs.csv:3  {c} = 1: is int, and specs.csv:2 gives bool; {one}"),
        (
            [dt.date(2026, 1, 1), dt.date(2026, 1, 1), dt.datetime(2026, 1, 1, 5), None, None],
            "specs.csv:4  {c} = 2026-01-01T05:00:00: is datetime, and specs.csv:2 gives date; {one}",
        ),
        (
            [None, None, dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 1, tzinfo=dt.UTC), None],
            "specs.csv:5  {c} = 2026-01-01T00:00:00+00:00: is datetime with a time zone, "
            "and specs.csv:4 gives datetime; {one}",
        ),
        (
            [1, 2, 2**70, 4, 5],
            f"specs.csv:4  {{c}} = {2**70}: must be text, a number of 64 bits, a boolean, a date or None",
        ),
    ],
)
def test_the_first_feature_of_another_type_is_named(tmp_path: Path, values: list[Any], told: str) -> None:
    class Featured(ExperimentInputSpec):
        x: int

        @property
        def computed_features(self) -> dict[str, Any]:
            return {"c": values[self.x]}

    table = read_specs(write(tmp_path, "x\n0\n1\n2\n3\n4\n"), Featured)
    with pytest.raises(TableError) as caught:
        compute_features(table)
    assert caught.value.message == told.format(c="computed_features['c']", one="give one type in all rows")


def test_a_constructor_of_ours_is_not_in_the_way_of_quick_rows() -> None:
    assert is_plain(Plain)
    assert not Plain.__pydantic_custom_init__


def test_a_default_with_a_time_zone_is_refused_as_a_value_is(tmp_path: Path) -> None:
    class Timed(ExperimentInputSpec):
        x: int
        start: dt.datetime = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    class Hooked(Timed):
        @model_validator(mode="after")
        def _nothing(self) -> Hooked:
            return self

    rule = "has a time zone, which the field does not keep: annotate it AwareDatetime, or leave the offset out"
    (line,) = refused(write(tmp_path, "x\n1\n"), Timed)
    assert line == f"Timed: the default of start = 2026-01-01T00:00:00+00:00: {rule}"
    for model in (Timed, Hooked):
        (line, _) = refused(write(tmp_path, "x,start\n1,2026-01-01T00:00:00Z\n"), model)
        assert line.startswith("specs.csv:2  start = ")
        assert line.endswith(rule)
    assert rule in refused(write(tmp_path, "x\n1\n"), Hooked)[0]


@pytest.mark.parametrize("hooked", [False, True])
def test_a_moment_keeps_its_zone_or_is_refused(tmp_path: Path, *, hooked: bool) -> None:
    class Timed(ExperimentInputSpec):
        aware: AwareDatetime | None = None
        when: dt.datetime | None = None
        clock: dt.time | None = None
        whens: list[dt.datetime] | None = None

        if hooked:

            @model_validator(mode="after")
            def _nothing(self) -> Timed:
                return self

    text = "aware,when\n2024-01-01T12:00+05:00,\n2024-01-01T12:00Z,2024-01-01T12:00\n"
    specs = _again(read_specs(write(tmp_path, text), Timed))
    assert [spec.aware for spec in specs] == [dt.datetime(2024, 1, 1, hour, tzinfo=dt.UTC) for hour in (7, 12)]
    assert specs[1].when == dt.datetime(2024, 1, 1, 12)
    text = 'when,clock,whens\n2024-01-01T12:00+05:00,,\n,12:00Z,\n,,"[""2024-01-01T12:00Z""]"\n'
    ends = [
        "annotate it AwareDatetime, or leave the offset out",
        "which no column of times keeps: leave the offset out",
    ]
    for line, told in zip(refused(write(tmp_path, text), Timed), [*ends, ends[0]], strict=False):
        assert "has a time zone" in line
        assert line.endswith(told)


def test_a_number_where_a_moment_should_be(tmp_path: Path) -> None:
    class Timed(ExperimentInputSpec):
        when: dt.datetime | None = None
        clock: dt.time | None = None

    rule = "is a number, which stands for seconds in UTC: write a date and time such as 2026-01-31T12:00:00"
    assert refused(write(tmp_path, "when\n1\n"), Timed)[0].startswith(f"specs.csv:2  when = '1': {rule}")
    lines = refused(pl.DataFrame({"when": [1, None, None], "clock": [None, 1.5, None]}), Timed)
    assert lines[0].startswith(f"specs row 0  when = 1: {rule}")
    assert lines[1].endswith("clock = 1.5: is a number, which stands for seconds in UTC: write a time such as 12:00:00")


def checked(source: Any, model: type[ExperimentInputSpec] = Weather) -> list[str]:
    """The lines of the report about files alone."""
    with pytest.raises(InputFileError) as caught:
        read_specs(source, model, check_files=True)
    return caught.value.message.splitlines()


def test_wrong_values_and_missing_files_are_one_report(tmp_path: Path) -> None:
    write(tmp_path, "", "here.epw")
    text = "x,weather_file,other\n1,here.epw,\n2,her.epw,gone.epw\n,ftp://x/y,her.epw\nno,her.epw,\n5,./her.epw,{}\n"
    lines = refused(write(tmp_path, text.format(tmp_path)), Weather, check_files=True)
    assert lines == [
        f"specs.csv:3  weather_file = '{tmp_path}/her.epw': does not exist (and 2 more rows). Did you mean 'here.epw'?",
        f"specs.csv:3  other = '{tmp_path}/gone.epw': does not exist",
        "specs.csv:4  x: is empty, and needs a value",
        "specs.csv:4  weather_file = 'ftp://x/y': must be a local path, s3:// or https://",
        f"specs.csv:4  other = '{tmp_path}/her.epw': does not exist. Did you mean 'here.epw'?",
        "specs.csv:5  x = 'no': must be a whole number",
        f"specs.csv:6  other = '{tmp_path}': is a folder, not a file",
        "7 errors (rows are lines of the file, the header is line 1)",
    ]


def test_files_of_rows_before_the_first_error_are_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "CHUNK", 2)
    text = "x,sort_index,weather_file\n" + "".join(f"{at},{at},{at % 3}.epw\n" for at in range(7))
    lines = refused(write(tmp_path, text + "7,2,3.epw\n"), Weather, check_files=True)
    assert lines == [
        f"specs.csv:2  weather_file = '{tmp_path}/0.epw': does not exist (and 2 more rows)",
        f"specs.csv:3  weather_file = '{tmp_path}/1.epw': does not exist (and 1 more row)",
        f"specs.csv:4  weather_file = '{tmp_path}/2.epw': does not exist (and 1 more row)",
        "specs.csv:9  sort_index = 2: must be unique, and specs.csv:4 has it too",
        f"specs.csv:9  weather_file = '{tmp_path}/3.epw': does not exist",
        "5 errors (rows are lines of the file, the header is line 1)",
    ]


def test_missing_files_alone_say_how_rows_are_counted(tmp_path: Path) -> None:
    text = "x,sort_index,weather_file\n" + "".join(f"{at},{40 - at},{at % 30}.epw\n" for at in range(40))
    lines = checked(write(tmp_path, text))
    assert len(lines) == 21
    assert lines[0] == f"specs.csv:2  weather_file = '{tmp_path}/0.epw': does not exist (and 1 more row)"
    assert lines[19] == f"specs.csv:21  weather_file = '{tmp_path}/19.epw': does not exist"
    counted = "(rows are lines of the file, the header is line 1)"
    assert lines[20] == f"... and 10 more, 30 files cannot be read in all {counted}"
    assert checked([Weather(x=1, weather_file=tmp_path / "a")])[1] == "1 file cannot be read (rows are counted from 0)"


@pytest.mark.parametrize("address", ["ftp://x/y", "file:///x", "gs://a/b", "S3://a/b"])
def test_an_address_of_another_scheme_is_no_path(address: str) -> None:
    with pytest.raises(ValidationError, match="must be a local path, s3:// or https://"):
        Weather(x=1, weather_file=address)

"""Sources of specs: files of each kind, tables, lists; what is not one says so."""

from __future__ import annotations

import datetime as dt
import gzip
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather
from pydantic import ValidationError, field_validator
from spec_tables import GOOD, HEADER, Doubled, House, Plain, Weather, made_again, refused, write

from scythe_cli.errors import InputFileError, MissingExtra, StoreError, TableError
from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.experiment.settings import SpecsFile
from scythe_cli.spec_table.read import read_specs


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "zip_code;setpoint;wall\n1;2;3\n",
            'is separated by semicolons: write `specs: {file: specs.csv, separator: ";"}`, with `decimal: ","` where '
            "its numbers have a comma",
        ),
        ("zip_code\tsetpoint\n1\t2\n", 'is separated by tabs: write `specs: {file: specs.csv, separator: "\\t"}`'),
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
    (line,) = refused(write(tmp_path, "x", "specs.doc"))
    assert "specs.doc is of a kind that scythe does not read: give .csv, .parquet" in line
    (tmp_path / "folder.csv").mkdir()
    for folder in ("folder.csv", "."):
        (line,) = refused(folder, base=tmp_path)
        assert line == f"{folder} is a folder ({tmp_path / folder}), not a file of specs, and has no parquet files"


def test_a_place_stands_in_front_of_what_is_wrong_with_the_address(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"^e.yml:2  specs: spec.csv does not exist in "):
        read_specs("spec.csv", House, base=tmp_path, place="e.yml:2")
    with pytest.raises(StoreError, match=r"^e.yml:2  specs: http://127.0.0.1:9/a.csv: "):
        read_specs("http://127.0.0.1:9/a.csv", House, place="e.yml:2")


def test_specs_that_are_not_in_a_bucket_are_named_once(s3_storage: str) -> None:
    address = f"{s3_storage}/specs.csv"
    with pytest.raises(InputFileError, match=f"^e.yml:2  specs: {address} does not exist$"):
        read_specs(address, House, place="e.yml:2")


def test_typed_rows_count_from_zero() -> None:
    lines = refused(pl.DataFrame({"zip_code": ["1", None], "setpoint": [20.0, 50.0], "wall": ["wood", "x"]}))
    assert lines == [
        "specs row 1  zip_code: is empty, and needs a value",
        "specs row 1  setpoint = 50.0: must be <= 30",
        "specs row 1  wall = 'x': must be 'brick' or 'wood'",
        "3 errors (rows are counted from 0)",
    ]


@pytest.mark.parametrize("address", ["ftp://x/y", "file://host/x", "gs://a/b", "S3://a/b"])
def test_an_address_of_another_scheme_is_no_path(address: str) -> None:
    with pytest.raises(ValidationError, match="must be a local path, s3:// or https://"):
        Weather(x=1, weather_file=address)


class Office(ExperimentInputSpec):
    name: str
    lpd: float
    floors: int = 1
    built: dt.date | None = None


OFFICES = [Office(name="a", lpd=1234.5, floors=2, built=dt.date(2024, 2, 29)), Office(name="b;c", lpd=-0.25)]


def read_offices(source: Any, base: Path | None = None, model: Any = Office) -> list[Any]:
    return [(one.name, one.lpd, one.floors, one.built) for one in made_again(read_specs(source, model, base=base))]


WANTED = [(one.name, one.lpd, one.floors, one.built) for one in OFFICES]
EUROPEAN = 'name;lpd;floors;built\na;1234,5;2;2024-02-29\n"b;c";-0,25;;\n'


def test_a_table_with_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    write(tmp_path, EUROPEAN)
    given = SpecsFile(file="specs.csv", separator=";", decimal=",")
    assert read_offices(given, tmp_path) == WANTED


def test_decimal_commas_in_a_model_with_validators(tmp_path: Path) -> None:
    class Checked(Office):
        @field_validator("lpd")
        @classmethod
        def _same(cls, value: float) -> float:
            return value

    write(tmp_path, EUROPEAN)
    assert read_offices(SpecsFile(file="specs.csv", separator=";", decimal=","), tmp_path, Checked) == WANTED


def test_a_point_in_a_table_with_decimal_commas_is_told_once(tmp_path: Path) -> None:
    write(tmp_path, "name;lpd\na;1.234,5\nb;1.5\nc;1e400\n")
    lines = refused(SpecsFile(file="specs.csv", separator=";", decimal=","), Office, base=tmp_path)
    rule = "has a point, and the decimal mark of this file is a comma"
    assert [line.partition(" (")[0] for line in lines[:2]] == [
        f"specs.csv:2  lpd = '1.234,5': {rule}",
        f"specs.csv:3  lpd = '1.5': {rule}",
    ]
    assert lines[2] == "specs.csv:4  lpd = '1e400': is too large: a number of 64 bits ends at 1.8e308"


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.zst", ".csv.bz2", ".ndjson.gz", ".jsonl.zst"])
def test_a_compressed_table_is_read(tmp_path: Path, suffix: str) -> None:
    plain = pl.DataFrame([one.model_dump(include={"name", "lpd", "floors", "built"}) for one in OFFICES])
    text = plain.write_csv() if "csv" in suffix else plain.write_ndjson()
    compression: Any = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}[suffix[suffix.rindex(".") :]]
    with pa.output_stream(str(tmp_path / f"specs{suffix}"), compression=compression) as file:
        file.write(text.encode())
    assert read_offices(f"specs{suffix}", tmp_path) == WANTED


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2"])
def test_a_file_that_is_not_compressed_says_so(tmp_path: Path, suffix: str) -> None:
    (line,) = refused(write(tmp_path, GOOD, f"specs.csv{suffix}"))
    assert "is cut off, or is not compressed as its name" in line


def test_a_compressed_file_that_is_cut_off(tmp_path: Path) -> None:
    whole = gzip.compress(("name,lpd\n" + "a,1\n" * 10_000).encode())
    (line,) = refused(write(tmp_path, whole[: len(whole) // 2], "specs.csv.gz"), Office)
    assert "specs.csv.gz is cut off" in line


def excel(folder: Path, rows: list[list[Any]], name: str = "specs.xlsx") -> Path:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    for row in rows:
        sheet.append(row)
    book.save(folder / name)
    return folder / name


def test_an_excel_file_is_read(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["name", "lpd", "floors", "built"]]
    rows += [["a", 1234.5, 2, dt.datetime(2024, 2, 29)], ["b;c", -0.25, None, None], [None, None], ["", None, None]]
    assert read_offices(excel(tmp_path, rows)) == WANTED


def test_errors_in_an_excel_file_have_the_numbers_that_excel_shows(tmp_path: Path) -> None:
    rows: list[list[Any]] = [[None], ["name", "lpd"], ["a", "many"], [None, None], ["b", "#N/A"], [1, 2.0], ["c", 3, 4]]
    assert refused(excel(tmp_path, rows), Office)[:-1] == [
        "specs.xlsx:3  lpd = 'many': must be a number",
        "specs.xlsx:4  is an empty row: delete it",
        "specs.xlsx:5  lpd: is empty, and needs a value",
        "specs.xlsx:5  B5 is an error of Excel, #N/A",
        "specs.xlsx:6  name = 1: must be text",
        "specs.xlsx:7  has a value right of the last column, which is 'lpd'",
    ]


def test_a_missing_excel_reader_is_one_sentence_with_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = excel(tmp_path, [["name", "lpd"], ["a", 1]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingExtra) as caught:
        read_specs(path, Office)
    assert caught.value.message == (
        "specs.xlsx: reading Excel files needs an extra: pip install 'scythe-runner[excel]'"
    )
    assert caught.value.exit_code == 2


def test_a_folder_of_parquet_files_is_one_table(tmp_path: Path) -> None:
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    frame = pl.DataFrame([one.model_dump(include={"name", "lpd", "floors", "built"}) for one in OFFICES])
    frame[:1].write_parquet(folder / "part-0.parquet")
    frame[1:].write_parquet(folder / "part-1.parquet")
    assert read_offices("cases", tmp_path) == WANTED
    frame.drop("floors").write_parquet(folder / "part-2.parquet")
    (line,) = refused("cases", Office, base=tmp_path)
    assert line == "cases/part-2.parquet has other columns than part-0.parquet: no floors"


def test_empty_rows_and_columns_that_excel_leaves_are_one_message_each(tmp_path: Path) -> None:
    path = write(tmp_path, "name,lpd,,\na,1,,\nb,2,,\n,,,\n,,,\n,,,\n")
    assert refused(path, Office)[:-1] == [
        "specs.csv  delete the empty columns 3 to 4 (C to D), or give them names in the header",
        "specs.csv:4  is an empty row, and so are 2 more up to specs.csv:6: delete the empty rows",
    ]


def test_rows_that_end_in_empty_cells_are_one_message(tmp_path: Path) -> None:
    path = write(tmp_path, "name,lpd\na,1,,,\nb,2,,,\nc,3\n")
    assert refused(path, Office)[:-1] == [
        "specs.csv:2  ends in empty cells (and 1 more lines): delete the empty columns 3 to 5 (C to E)"
    ]


@pytest.mark.parametrize("cell", ["1_000", "1_0.5", "1e400", "-1e999"])
@pytest.mark.parametrize("name", ["lpd", "either"])
def test_numbers_that_python_alone_reads_are_refused(tmp_path: Path, cell: str, name: str) -> None:
    class Case(ExperimentInputSpec):
        lpd: float = 0.0
        either: int | float = 0

    (line, _) = refused(write(tmp_path, f"{name}\n{cell}\n"), Case)
    rule = "must be a number, without _ between its digits" if "_" in cell else "is too large"
    assert f"specs.csv:2  {name} = '{cell}': {rule}" in line


def test_whole_numbers_that_a_float_does_not_keep_are_refused(tmp_path: Path) -> None:
    class Case(ExperimentInputSpec):
        either: float | int

    (line, _) = refused(write(tmp_path, "either\n9007199254740993\n"), Case)
    assert line == (
        "specs.csv:2  either = 9007199254740993: is a whole number beyond 2**53, which a column of floating numbers "
        "does not keep"
    )


def test_lines_that_are_nearly_json_are_refused(tmp_path: Path) -> None:
    lines = [
        '{"name": "a", "lpd": 1, "lpd": 2}',
        '{"name": "a", "lpd": NaN}',
        '{"name": "a", "lpd": -Infinity}',
        '{"name": "a", "lpd": 1e400}',
        '{"name": "\\"lpd\\": 3", "lpd": 1}',
    ]
    path = write(tmp_path, "\n".join(lines), "specs.ndjson")
    assert refused(path, Office)[:-1] == [
        "specs.ndjson:1  has the key 'lpd' twice",
        "specs.ndjson:2  has NaN, which is not JSON: write null for what is not known",
        "specs.ndjson:3  has -Infinity, which is not JSON: write null for what is not known",
        "specs.ndjson:4  has a number that is too large: one of 64 bits ends at 1.8e308",
    ]


def test_variables_in_the_addresses_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.epw").touch()
    monkeypatch.setenv("DATA", "data")
    path = write(tmp_path, "x,weather_file\n1,${DATA}/w.epw\n2,${NOWHERE}/w.epw\n")
    (line, _) = refused(path, Weather)
    rule = "the environment variable NOWHERE is not set: export NOWHERE=... or write the path out"
    assert line == f"specs.csv:3  weather_file = '${{NOWHERE}}/w.epw': {rule}"
    specs = read_specs(path, Weather, limit=1, check_files=True)
    assert specs.references["weather_file"] == [str(tmp_path / "data" / "w.epw")]


@pytest.mark.parametrize("address", [".", "./", ".."])
def test_a_folder_is_no_file(tmp_path: Path, address: str) -> None:
    (line, _) = refused(write(tmp_path, f"x,weather_file\n1,{address}\n"), Weather)
    assert line == f"specs.csv:2  weather_file = {address!r}: is a folder: name a file"


@pytest.mark.parametrize("model", [Plain, Doubled])
def test_files_of_a_folder_may_have_other_types(tmp_path: Path, model: Any) -> None:
    pq.write_table(pa.table({"x": pa.array([1, 2], pa.int64())}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"x": pa.array([3.0, 4.0])}), tmp_path / "2.parquet")
    pq.write_table(pa.table({"x": pa.array(["5"])}), tmp_path / "3.parquet")
    specs = read_specs(tmp_path, model)
    factor = 2 if model is Doubled else 1
    assert specs.table["x"].to_pylist() == [factor * x for x in range(1, 6)]
    assert [spec.x for spec in made_again(specs)] == specs.table["x"].to_pylist()

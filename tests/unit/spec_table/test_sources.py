"""Sources of specs: files of each kind, tables, lists; what is not one says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather
from pydantic import ValidationError
from spec_tables import GOOD, HEADER, House, Plain, Weather, refused, write

from scythe_cli.errors import InputFileError, StoreError, TableError
from scythe_cli.spec_table.read import read_specs


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

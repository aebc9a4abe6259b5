"""Final tables as CSV and as sheets: every value as it is, nothing that a spreadsheet would run, limits named."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scythe_cli.core.events import DownloadStarted, Event, Notice
from scythe_cli.errors import ConfigError
from scythe_cli.export import workbook
from scythe_cli.export.csv_tables import write_csv
from scythe_cli.export.relative_references import make_relative
from scythe_cli.export.settings import Export
from scythe_cli.export.tables import TableSource
from scythe_cli.export.workbook import refuse_too_large, sheet_names, slow_sentence, write_workbook
from scythe_cli.operations.download import download
from scythe_cli.storage.local import LocalStore

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\N{FULLWIDTH EQUALS SIGN}1", "a;=1+1", "plain", "", None]
MOMENT = dt.datetime(2026, 1, 31, 12, 0, 0, 500_000)


def source(folder: Path, table: pa.Table, name: str = "scalars", *, parts: int = 1) -> TableSource:
    files = []
    rows = -(-table.num_rows // parts)
    for at in range(parts):
        files.append(folder / f"{name}-{at}.pq")
        pq.write_table(table.slice(at * rows, rows), files[-1])
    return TableSource(name, files, "etag")


def sheet(folder: Path, table: pa.Table, units: dict[str, str] | None = None) -> list[tuple[Any, ...]]:
    write_workbook([source(folder, table)], folder / "book.xlsx", units or {})
    return list(openpyxl.load_workbook(folder / "book.xlsx")["scalars"].iter_rows(values_only=True))


def every_type() -> pa.Table:
    return pa.table(
        {
            "whole": pa.array([1, None, 2**60], pa.int64()),
            "number": pa.array([0.1, float("nan"), float("inf")]),
            "truth": pa.array([True, False, None]),
            "day": pa.array([dt.date(2026, 1, 31), dt.date(1850, 1, 1), None]),
            "moment": pa.array([MOMENT, None, MOMENT]),
            "zoned": pa.array([MOMENT.replace(tzinfo=dt.UTC), None, None], pa.timestamp("us", tz="UTC")),
            "span": pa.array([dt.timedelta(hours=26), None, None], pa.duration("us")),
            "exact": pa.array([Decimal("1.10"), None, None], pa.decimal128(10, 2)),
            "many": pa.array([[1, 2], None, []], pa.list_(pa.int64())),
            "record": pa.array([{"a": "=x"}, None, None]),
            "bytes": pa.array([b"\x00\xff", None, None]),
            "kind": pa.array(["x", None, "=y"]).dictionary_encode(),
            "nothing": pa.nulls(3),
        }
    )


def test_csv_has_every_type(tmp_path: Path) -> None:
    write_csv(source(tmp_path, every_type(), parts=3), tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines == [
        '"whole","number","truth","day","moment","zoned","span","exact","many","record","bytes","kind","nothing"',
        '1,0.1,"true","2026-01-31","2026-01-31 12:00:00.500","2026-01-31 12:00:00.500+00:00",'
        '"1 day, 2:00:00",1.10,"[1, 2]","{""a"": ""=x""}","AP8=","x",',
        ',NaN,"false","1850-01-01",,,,,,,,,',
        '1152921504606846976,inf,,,"2026-01-31 12:00:00.500",,,,"[]",,,"\'=y",',
    ]


def test_csv_runs_nothing(tmp_path: Path) -> None:
    table = pa.table({"=bad name": FORMULAS, "negative": pa.array(range(-5, 6))})
    write_csv(source(tmp_path, table), tmp_path / "t.csv")
    found = pl.read_csv(tmp_path / "t.csv")
    assert found.columns == ["'=bad name", "negative"]
    assert found["'=bad name"].to_list()[:7] == ["'" + text for text in FORMULAS[:7] if text]
    assert found["'=bad name"].to_list()[7:9] == ["a;=1+1", "plain"]
    assert found["negative"].to_list() == list(range(-5, 6))
    assert '"a;=1+1"' in (tmp_path / "t.csv").read_text()


def test_a_table_without_rows_has_its_header(tmp_path: Path) -> None:
    empty = every_type().slice(0, 0)
    write_csv(source(tmp_path, empty), tmp_path / "t.csv")
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 1
    assert sheet(tmp_path, empty)[0][:2] == ("whole", "number")


def test_a_sheet_has_every_type_and_the_units(tmp_path: Path) -> None:
    names, units, first, second, third = sheet(tmp_path, every_type(), {"number": "kWh/m2", "other": "K"})
    assert names == tuple(every_type().column_names)
    assert units == (None, "kWh/m2", *[None] * 11)
    day, moment = dt.datetime(2026, 1, 31), MOMENT
    assert first[:8] == (1, 0.1, True, day, moment, moment, "1 day, 2:00:00", "1.10")
    assert first[8:] == ("[1, 2]", '{"a": "=x"}', "AP8=", "x", None)
    assert second[:4] == (None, "NaN", False, "1850-01-01")
    assert third[:2] == (str(2**60), "inf")


def test_a_sheet_runs_nothing(tmp_path: Path) -> None:
    rows = sheet(tmp_path, pa.table({"=bad name": FORMULAS}))
    book = openpyxl.load_workbook(tmp_path / "book.xlsx")
    cells = [cell for row in book["scalars"].iter_rows() for cell in row if cell.value is not None]
    assert {cell.data_type for cell in cells} == {"s"}
    assert [cell.quotePrefix for cell in cells[1:8]] == [True] * 7
    assert [row[0] for row in rows[2:5]] == FORMULAS[:3]


def test_what_excel_cannot_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_too_large("hourly", rows=1_048_574, columns=16_384)
    with pytest.raises(
        ConfigError, match="hourly has 1,048,575 rows, and an Excel sheet has 1,048,576, 2 of them"
    ) as said:
        refuse_too_large("hourly", rows=1_048_575, columns=1)
    assert said.value.hint == "use --format csv"
    with pytest.raises(ConfigError, match="hourly has 20,000 columns"):
        refuse_too_large("hourly", rows=1, columns=20_000)
    with pytest.raises(ConfigError, match="scalars, row 2: the text of note has 40,000 characters"):
        sheet(tmp_path, pa.table({"note": ["a", "b" * 40_000]}))
    assert not (tmp_path / "book.xlsx").exists()
    long = source(tmp_path, pa.table({"log": ["b" * 40_000]}), "errors")
    (sentence,) = write_workbook([long], tmp_path / "book.xlsx", {})
    assert sentence.startswith("errors: texts of log are cut at 32,767 characters")
    monkeypatch.setattr(workbook, "ROWS", 4)
    with pytest.raises(ConfigError, match="3 rows"):
        sheet(tmp_path, pa.table({"x": [1, 2, 3]}))


def test_names_of_sheets() -> None:
    long = "a" * 40
    assert sheet_names(["scalars", "Scalars", "History", long, long + "b", "Energy Use"]) == {
        "scalars": "scalars",
        "Scalars": "Scalars~2",
        "History": "History~2",
        long: "a" * 31,
        long + "b": "a" * 29 + "~2",
        "Energy Use": "Energy Use",
    }


def test_references_become_relative(tmp_path: Path) -> None:
    run_id = "city/base/v1.0.0/2026-01-31_12-00-00"
    table = pa.table(
        {
            "report": [f"s3://b/p/{run_id}/results/report/1.tar.gz", f"/runs/{run_id}/results/report/2", None],
            "other": ["https://example.org/results/x", "s3://b/other/v1.0.0/2026-01-31_12-00-00/results/a/1", ""],
            "sort_index": [0, 1, 2],
        }
    ).replace_schema_metadata({"pandas": "kept"})
    pq.write_table(table, tmp_path / "refs.pq")
    make_relative(tmp_path / "refs.pq", run_id)
    found = pq.read_table(tmp_path / "refs.pq")
    assert found["report"].to_pylist() == ["results/report/1.tar.gz", "results/report/2", None]
    assert found.select(["other", "sort_index"]) == table.select(["other", "sort_index"])
    assert found.schema == table.schema
    assert found.schema.metadata[b"pandas"] == b"kept"


@pytest.mark.parametrize(
    ("cells", "about"),
    [(900_000, None), (4_000_000, "4,000,000 cells may take 80 seconds"), (50_000_000, "may take 17 minutes to write")],
)
def test_a_workbook_that_takes_long_is_announced(cells: int, about: str | None) -> None:
    sentence = slow_sentence(cells)
    assert (sentence is None) == (about is None)
    assert (about or "") in (sentence or "")


def test_the_announcement_comes_before_anything_is_fetched_and_not_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbook, "PATIENT_SECONDS", 0.0)
    store = LocalStore(tmp_path / "run")
    (tmp_path / "run" / "final").mkdir(parents=True)
    pq.write_table(pa.table({"x": range(10), "y": range(10)}), tmp_path / "run" / "final" / "scalars.pq")
    export = Export("doubles/v1.0.0/2026-01-31_12-00-00", "xlsx")
    heard: list[Event] = []
    download(store, tmp_path / "out", export=export, listener=heard.append)
    assert isinstance(heard[0], Notice)
    assert heard[0].message.startswith("a workbook of 20 cells may take 0 seconds to write; --format csv")
    assert isinstance(heard[1], DownloadStarted)
    heard.clear()
    download(store, tmp_path / "out", export=export, listener=heard.append)
    assert [event for event in heard if isinstance(event, Notice)] == []

"""Moments and durations with nanoseconds are refused in tables, as in models: a column keeps microseconds."""

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pydantic import create_model, model_validator

from scythe_cli import ExperimentInputSpec
from scythe_cli.errors import TableError
from scythe_cli.spec_table.read import read_specs


class Case(ExperimentInputSpec):
    at: dt.datetime


class Lasts(ExperimentInputSpec):
    at: dt.timedelta


NS = 1_767_225_600_123_456_789


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"at": pa.array([0, None, NS], pa.timestamp("ns"))}),
        pl.DataFrame({"at": pl.Series([0, 1000, NS]).cast(pl.Datetime("ns"))}),
        pd.DataFrame({"at": pd.to_datetime([0, 1000, NS])}),
    ],
    ids=["arrow", "polars", "pandas"],
)
def test_nanoseconds_are_refused_with_their_row(table: Any) -> None:
    with pytest.raises(TableError, match=r"row 2  at = 2026-01-01 00:00:00\.123456789: has nanoseconds, .*\.floor"):
        read_specs(table, Case, base=Path())


def test_nanoseconds_of_a_duration_are_refused() -> None:
    with pytest.raises(TableError, match=r"row 1  at = 1500 ns: has nanoseconds"):
        read_specs(pa.table({"at": pa.array([1000, 1500], pa.duration("ns"))}), Lasts, base=Path())


def test_whole_microseconds_are_kept_whatever_the_unit() -> None:
    read = read_specs(pd.DataFrame({"at": pd.to_datetime([1000, NS // 1000 * 1000])}), Case, base=Path())
    assert read.table.column("at").type == pa.timestamp("us")
    assert read.table.column("at").cast(pa.int64()).to_pylist() == [1, NS // 1000]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (dt.datetime, "2026-01-01T00:00:00.123456789"),
        (dt.datetime, "2026-01-01 00:00:00,1234567"),
        (dt.timedelta, "PT0.0000015S"),
        (dt.time, "12:00:00.0000001"),
    ],
)
def test_nanoseconds_in_text_are_refused_with_their_line(tmp_path: Path, kind: type, text: str) -> None:
    (tmp_path / "specs.csv").write_text(f'at\n"{text}"\n')
    with pytest.raises(TableError, match=r"specs.csv:2  at = .*: has nanoseconds, and a column keeps microseconds"):
        read_specs("specs.csv", create_model("In", __base__=ExperimentInputSpec, at=(kind, ...)), base=tmp_path)


class Checked(ExperimentInputSpec):
    at: dt.datetime

    @model_validator(mode="after")
    def nothing(self) -> Any:
        return self


def test_nanoseconds_in_text_are_refused_where_a_validator_looks_at_the_row(tmp_path: Path) -> None:
    (tmp_path / "specs.csv").write_text("at\n2026-01-01T00:00:00.123456789\n")
    with pytest.raises(TableError, match=r"specs.csv:2  at = .*: has nanoseconds"):
        read_specs("specs.csv", Checked, base=tmp_path)


def test_text_with_nine_digits_of_whole_microseconds_is_taken(tmp_path: Path) -> None:
    (tmp_path / "specs.csv").write_text("at\n2026-01-01T00:00:00.123456000\n")
    read = read_specs("specs.csv", Case, base=tmp_path)
    assert read.table.column("at").to_pylist() == [dt.datetime(2026, 1, 1, 0, 0, 0, 123456)]


@pytest.mark.parametrize(
    ("kind", "column", "wanted"),
    [
        (dt.date, pa.array([0, 2**31 - 1], pa.date32()), "row 1  at = <value out of range: 2147483647>: is beyond"),
        (dt.datetime, pa.array([None, 2**62], pa.timestamp("s")), "row 1  at = <value out of range: 46116"),
        (dt.datetime, pa.array([0, 9 * 10**17], pa.timestamp("us")), "row 1  at = 30489-1"),
        (dt.timedelta, pa.array([2**62], pa.duration("s")), "row 0  at = 4611686018427387904 s: is beyond"),
        (list[dt.date], pa.array([[0], [2**31 - 1]], pa.list_(pa.date32())), "row 1  at = ['<value out of range"),
        (dt.time, pa.array([1000, 1001], pa.time64("ns")), "row 1  at = 00:00:00.000001001: has nanoseconds"),
        (list[dt.datetime], pa.array([[0], [1001]], pa.list_(pa.timestamp("ns"))), "row 1  at = ['1970-01-01 00:00:00"),
        (Any, pa.array([{"x": 1}], pa.struct([("x", pa.timestamp("ns"))])), "row 0  at: has nanoseconds"),
    ],
)  # fmt: skip
def test_what_python_does_not_hold_is_refused_with_its_row(kind: Any, column: Any, wanted: str) -> None:
    model = create_model("Held", __base__=ExperimentInputSpec, at=(kind | None, ...))
    with pytest.raises(TableError) as caught:
        read_specs(pa.table({"at": column}), model, base=Path())
    assert wanted in caught.value.message


def test_nested_and_clock_times_of_whole_microseconds_are_kept() -> None:
    moments = pa.array([[1000], None, []], pa.list_(pa.timestamp("ns")))
    clocks = pa.array([1000, None, 2000], pa.time64("ns"))
    model = create_model(
        "Kept", __base__=ExperimentInputSpec, at=(list[dt.datetime] | None, ...), clock=(dt.time | None, ...)
    )
    table = read_specs(pa.table({"at": moments, "clock": clocks}), model, base=Path()).table
    assert table["at"].to_pylist() == [[dt.datetime(1970, 1, 1, microsecond=1)], None, []]
    assert table["clock"].to_pylist() == [dt.time(microsecond=1), None, dt.time(microsecond=2)]

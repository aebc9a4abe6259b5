"""Moments and durations with nanoseconds are refused in tables, as in models: a column keeps microseconds."""

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

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

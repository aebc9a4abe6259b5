"""Cells by their field: moments, zones, wide integers, empty paths."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
from pydantic import AwareDatetime, Field, model_validator
from spec_tables import Doubled, Weather, made_again, refused, write

from scythe_cli.core import validation_errors
from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.spec_table.read import read_specs


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


def test_an_empty_path_is_no_path(tmp_path: Path) -> None:
    assert refused(write(tmp_path, 'x,weather_file\n1,""\n'), Weather)[0] == (
        "specs.csv:2  weather_file: is empty, and needs a value"
    )


def test_integers_beyond_64_bits_are_told(tmp_path: Path) -> None:
    assert refused(write(tmp_path, f"x\n{2**70}\n"), Doubled)[0].endswith("does not fit 64 bits")


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


@pytest.mark.parametrize("custom", [False, True])
def test_a_moment_keeps_its_zone_or_is_refused(tmp_path: Path, *, custom: bool) -> None:
    class Timed(ExperimentInputSpec):
        aware: AwareDatetime | None = None
        when: dt.datetime | None = None
        clock: dt.time | None = None
        whens: list[dt.datetime] | None = None

        if custom:

            @model_validator(mode="after")
            def _nothing(self) -> Timed:
                return self

    text = "aware,when\n2024-01-01T12:00+05:00,\n2024-01-01T12:00Z,2024-01-01T12:00\n"
    specs = made_again(read_specs(write(tmp_path, text), Timed))
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

"""Index columns that a model computes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from spec_tables import write

from scythe_cli.errors import TableError
from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.spec_table.computed_features import compute_features
from scythe_cli.spec_table.read import read_specs


def test_computed_features_are_known() -> None:
    class Featured(ExperimentInputSpec):
        x: int

        @property
        def computed_features(self) -> dict[str, Any]:
            return {"twice": 2 * self.x}

    assert read_specs([Featured(x=1)], Featured).computed


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

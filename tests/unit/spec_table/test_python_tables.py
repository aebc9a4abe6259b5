"""Tables and dicts that a program gives: what is not a table of specs says what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from spec_tables import refused

from scythe_cli.experiment.models import ExperimentInputSpec


class Shed(ExperimentInputSpec):
    a: int
    b: float = 1.0
    path: Path | None = None


SERIES = "specs is one column (Series): give a table, such as series.to_frame()"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (pd.Series([1, 2], name="a"), SERIES),
        (pl.Series("a", [1, 2]), SERIES),
        (pd.DataFrame([[1, 2.0, 3.0]], columns=["a", "b", "b"]), "specs  column 'b' is there twice"),
        (
            pd.DataFrame([[1, 2.0, 3.0, Path("/x")]], columns=["a", "b", "b", "path"]),
            "specs  column 'b' is there twice",
        ),
        ([{1: 2, "a": 1}], "specs row 0  has the key 1: write the names of fields as text, such as '1'"),
        ([{"a": 1}, {("a", "b"): 2}], "specs row 1  has the key ('a', 'b'): write the names of fields as text"),
        (pd.DataFrame({0: [1], "path": [Path("/x")]}), "specs  column '0' is not a field of Shed."),
    ],
)
def test_what_is_not_a_table_of_specs_says_what_to_write(given: Any, wanted: str) -> None:
    assert refused(given, Shed)[0].startswith(wanted)

"""A null that somebody wrote stays None where the field takes it; an empty cell takes the default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pydantic import model_validator
from spec_tables import made_again, write

from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.spec_table.read import read_specs


class Open(ExperimentInputSpec):
    a: int
    o: float | None = 1.5
    xs: list[int] | None = [1]  # noqa: RUF012 - pydantic copies it
    s: str = "d"


class Checked(Open):
    @model_validator(mode="after")
    def _same(self) -> Checked:
        return self


def held(specs: Any) -> list[tuple[Any, ...]]:
    table = specs.table
    names = ["o", "xs", "s"]
    rows = list(zip(*(table[name].to_pylist() for name in names), strict=True))
    assert rows == [tuple(getattr(spec, name) for name in names) for spec in made_again(specs)]
    return rows


WRITTEN = [{"a": 1, "o": None, "xs": None}, {"a": 2}, {"a": 3, "o": 2.0, "xs": [2]}]
KEPT = [(None, None, "d"), (1.5, [1], "d"), (2.0, [2], "d")]


@pytest.mark.parametrize("model", [Open, Checked])
def test_a_null_that_somebody_wrote_stays_none(tmp_path: Path, model: Any) -> None:
    lines = '{"a":1,"o":null,"xs":null}\n{"a":2}\n{"a":3,"o":2.0,"xs":[2]}\n'
    for given in [WRITTEN, write(tmp_path, lines, "a.ndjson")]:
        assert held(read_specs(given, model)) == KEPT
    design = pl.DataFrame({"a": [1, 2], "o": [None, 2.0], "xs": [None, [3]]})
    assert held(read_specs(design, model, keeps_nulls=True)) == [(None, None, "d"), (2.0, [3], "d")]
    all_null = pl.DataFrame({"a": [1, 2], "o": [None, None]})
    assert held(read_specs(all_null, model, keeps_nulls=True)) == [(None, [1], "d")] * 2


@pytest.mark.parametrize("model", [Open, Checked])
def test_an_empty_cell_takes_the_default(tmp_path: Path, model: Any) -> None:
    frame = pd.DataFrame({"a": [1, 2], "o": [None, 2.0]})
    objects = pd.DataFrame({"a": [1, 2], "o": [None, 2.0]}, dtype=object)
    csv = write(tmp_path, "a,o\n1,\n2,2\n")
    for given in [csv, frame, objects, pl.from_pandas(frame), pa.table({"a": [1, 2], "o": [None, 2.0]})]:
        assert held(read_specs(given, model)) == [(1.5, [1], "d"), (2.0, [1], "d")]


@pytest.mark.parametrize("model", [Open, Checked])
def test_a_null_for_a_field_without_none_takes_its_default(model: Any) -> None:
    assert held(read_specs([{"a": 1, "s": None}], model)) == [(1.5, [1], "d")]

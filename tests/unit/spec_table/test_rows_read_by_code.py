"""Models whose own code makes fields of other columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from pydantic import model_validator
from spec_tables import made_again, refused, write

from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.spec_table.read import read_specs


class Window(ExperimentInputSpec):
    area: float
    panes: int = 2

    @model_validator(mode="before")
    @classmethod
    def _area(cls, row: dict[str, Any]) -> dict[str, Any]:
        if "w" not in row:
            return row
        others = {name: cell for name, cell in row.items() if name not in {"w", "h"}}
        return {**others, "area": float(row["w"]) * float(row["h"])}


def test_a_field_may_be_made_of_other_columns(tmp_path: Path) -> None:
    frame = pl.DataFrame({"w": [2.0, 1.0], "h": [3.0, 4.0], "panes": [1, 3]})
    frame.write_csv(tmp_path / "a.csv")
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ndjson(tmp_path / "a.ndjson")
    for given in ["a.csv", "a.parquet", "a.ndjson", frame, frame.to_dicts()]:
        specs = read_specs(given, Window, base=tmp_path)
        assert specs.table["area"].to_pylist() == [6.0, 4.0]
        assert [(spec.area, spec.panes) for spec in made_again(specs)] == [(6.0, 1), (4.0, 3)]
        assert specs.extra == ("w", "h")


def test_a_row_that_the_code_does_not_read_is_an_error_of_the_columns(tmp_path: Path) -> None:
    assert refused(write(tmp_path, "aera\n1\n"), Window)[0] == (
        "specs.csv  column 'aera' is not a field of Window. Did you mean 'area'?"
    )
    assert refused(write(tmp_path, "w,h,pans\n1,2,1\n"), Window)[:3] == [
        "specs.csv  column 'w' is not a field of Window.",
        "specs.csv  column 'h' is not a field of Window.",
        "specs.csv  column 'pans' is not a field of Window. Did you mean 'panes'?",
    ]
    assert refused(write(tmp_path, "panes\n1\n"), Window)[0] == "specs.csv  column 'area' is missing"


def test_a_later_row_that_the_code_does_not_read_is_an_error_of_the_row(tmp_path: Path) -> None:
    lines = refused(write(tmp_path, "w,h\n1,2\n1,many\n"), Window)
    assert lines[0].startswith("specs.csv:3  ")
    assert "could not convert string to float" in lines[0]

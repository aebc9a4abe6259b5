"""Outputs that are NaN, null, constant or out of bounds: in the summary, in status, in the gather's mark; `run.nan`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import FILE, project, runs, scythe

from scythe_cli.core import yaml_document

MODULE = '''
import math
from pydantic import Field
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    x: int

class Out(ExperimentOutputSpec):
    heat: float
    cool: float | None
    same: str
    share: float = Field(ge=0, le=10)
    fine: int

@ExperimentRegistry.Register()
def double(input_spec: In) -> Out:
    """Give what is asked for."""
    x = input_spec.x
    return Out.model_construct(
        heat=math.nan if x % 2 else float(x), cool=None if x == 3 else 1.5 * x, same="s", share=float(x), fine=x
    )
'''
TABLE = "x\n1\n2\n3\n4\n11\n"
COUNTS = {
    "heat": {"nan": 2, "null": 0, "constant": False, "out_of_bounds": 0},
    "cool": {"nan": 0, "null": 1, "constant": False, "out_of_bounds": 0},
    "same": {"nan": 0, "null": 0, "constant": True, "out_of_bounds": 0},
    "share": {"nan": 0, "null": 0, "constant": False, "out_of_bounds": 1},
    "fine": {"nan": 0, "null": 0, "constant": False, "out_of_bounds": 0},
}
LINES = ["  heat: 2 NaN", "  cool: 1 null", "  same: the same value in all specs", "  share: 1 out of bounds"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = project(tmp_path_factory.mktemp("home"), TABLE, module=MODULE)
    done = scythe("allocate", cwd=folder)
    assert done.code == 1, done.err
    (folder / "out.txt").write_text(done.out)
    return folder


def test_the_summary_has_a_line_for_each_conspicuous_output(home: Path) -> None:
    lines = (home / "out.txt").read_text().splitlines()
    assert [line for line in lines if line in LINES] == LINES
    assert not any("fine" in line for line in lines)


def test_nan_is_a_success(home: Path) -> None:
    table = pl.read_parquet(runs(home)[0] / "final" / "scalars.pq")
    assert table["heat"].is_nan().sum() == 2
    assert table.height == 4


def test_status_has_them_as_json(home: Path) -> None:
    assert scythe("status", "doubles", "--json", cwd=home).json("status")["outputs"] == COUNTS


def test_gather_has_them(home: Path) -> None:
    done = scythe("gather", "doubles", cwd=home)
    assert [line for line in done.out.splitlines() if line in LINES] == LINES
    assert scythe("gather", "doubles", "--json", cwd=home).json("gather")["outputs"] == COUNTS


def test_the_mark_of_the_gather_has_them(home: Path) -> None:
    text = (runs(home)[0] / "control" / "gathered-1.yml").read_text()
    found: Any = yaml_document.read(text, "gathered-1.yml").data["outputs"]
    assert found == {name: counts for name, counts in COUNTS.items() if name != "fine"}


def test_nan_fails_where_it_is_asked_for(tmp_path: Path) -> None:
    folder = project(tmp_path, TABLE, module=MODULE, file=FILE.replace("retries: 0", "nan: fail, retries: 0"))
    assert scythe("allocate", cwd=folder).code == 1
    errors = pl.read_parquet(runs(folder)[0] / "final" / "errors.pq")
    assert errors.filter(pl.col("x") < 10)["message"].to_list() == ["heat is NaN, and run.nan is fail"] * 2
    assert set(errors["kind"]) == {"invalid_output"}
    assert pl.read_parquet(runs(folder)[0] / "final" / "scalars.pq")["x"].to_list() == [2, 4]


def test_one_spec_alone_says_the_same(tmp_path: Path) -> None:
    folder = project(tmp_path, TABLE, module=MODULE, file=FILE.replace("retries: 0", "nan: fail, retries: 0"))
    done = scythe("allocate", "--only", "0", "--inline", cwd=folder)
    assert "heat is NaN, and run.nan is fail" in done.out + done.err

"""A spec whose frame does not fit the others' has failed for every command, and runs again."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from command import scythe
from polars.testing import assert_frame_equal

import scythe_cli
from scythe_cli.core import layout
from scythe_cli.core.layout import PartName

MODULE = """
import pandas as pd
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry


class Case(ExperimentInputSpec):
    x: int


class Out(ExperimentOutputSpec):
    y: float


@ExperimentRegistry.Register()
def frames(case: Case) -> Out:
    hours = pd.date_range("2026-01-01", periods=2, freq="h")
    frame = pd.DataFrame({"load": [1.0, case.x]}, index=hours)
    if case.x == 2:
        frame = frame.rename_axis("time")
    return Out(y=case.x, dataframes={"hourly": frame})
"""
MESSAGE = "dataframes['hourly']: the index has the levels ['time'], not ['index'], in spec 1, unlike in spec 0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of four specs, in one of which the index has another name."""
    (tmp_path / "frames.py").write_text(MODULE)
    (tmp_path / "specs.csv").write_text("x\n1\n2\n3\n4\n")
    (tmp_path / "experiment.yml").write_text("experiment: frames:frames\nspecs: specs.csv\n")
    done = scythe("allocate", cwd=tmp_path)
    assert (done.code, done.out.split(" in ")[0]) == (1, "3 succeeded, 1 failed")
    assert MESSAGE in done.out
    return tmp_path


def test_every_command_counts_it_as_failed(folder: Path) -> None:
    document = json.loads(scythe("status", "frames", "--json", cwd=folder).out)
    assert (document["done"], document["failed"]) == (4, 1)
    assert MESSAGE in scythe("status", "frames", "--errors", cwd=folder).out
    shown = json.loads(scythe("show", "frames", "1", "--json", cwd=folder).out)["specs"][0]
    assert (shown["state"], shown["kind"], shown["message"]) == ("failed", "invalid_output", MESSAGE)
    assert shown["outputs"] == {}
    assert scythe("gather", "frames", cwd=folder).out.splitlines()[0].endswith("3 succeeded, 1 failed")
    found = scythe_cli.open_run("frames", storage=folder / "scythe-runs")
    assert found.status().failed == 1
    (run,) = (folder / "scythe-runs").glob("*/*/*")
    assert pl.read_parquet(run / "final" / "scalars.pq")["sort_index"].to_list() == [0, 2, 3]
    assert len(pd.read_parquet(run / "final" / "hourly.pq")) == 6


def test_a_resume_runs_it_and_what_it_then_returns_counts(folder: Path) -> None:
    (folder / "frames.py").write_text(MODULE.replace("case.x == 2", "False"))
    done = scythe("allocate", "--resume", "frames", "--allow-changed-code", cwd=folder)
    assert "1 spec to run (1 failed before), 3 kept" in done.err
    assert (done.code, done.out.split(" in ")[0]) == (0, "4 succeeded, 0 failed")
    (run,) = (folder / "scythe-runs").glob("*/*/*")
    assert len(pd.read_parquet(run / "final" / "hourly.pq")) == 8


def test_a_resume_that_does_not_help_leaves_it_failed(folder: Path) -> None:
    for _ in range(2):
        done = scythe("allocate", "--resume", "frames", cwd=folder)
        assert (done.code, done.out.split(" in ")[0]) == (1, "3 succeeded, 1 failed")
    assert json.loads(scythe("status", "frames", "--json", cwd=folder).out)["failed"] == 1


def test_a_reuse_does_not_take_it_over(folder: Path) -> None:
    done = scythe("allocate", "--reuse", "latest", cwd=folder)
    assert "3 of 4 specs reused" in done.err + done.out


def test_only_a_gather_of_all_specs_keeps_the_failure(folder: Path) -> None:
    """The spec that comes first decides, and while specs are missing or run it may be one of those."""
    (run,) = (folder / "scythe-runs").glob("*/*/*")
    (kept,) = of_gathers(run)
    kept.unlink()
    assert scythe("gather", "frames", "--partial", cwd=folder).code == 0
    assert of_gathers(run) == []
    assert scythe("gather", "frames", cwd=folder).code == 0
    assert len(of_gathers(run)) == 1


def test_two_gathers_make_the_same_tables(folder: Path) -> None:
    (run,) = (folder / "scythe-runs").glob("*/*/*")
    tables = {path: pl.read_parquet(path) for path in (run / "final").glob("*.pq")}
    assert scythe("gather", "frames", cwd=folder).code == 0
    assert set(tables) == {*(run / "final").glob("*.pq")}
    for path, table in tables.items():
        assert_frame_equal(pl.read_parquet(path), table)
    assert len(of_gathers(run)) == 1


def of_gathers(run: Path) -> list[Path]:
    parts = (run / "scatter-gather" / "output" / "0").glob("*.pq")
    return [path for path in parts if (name := PartName.parse(f"{layout.OUTPUT}/0/{path.name}")) and name.of_gather]

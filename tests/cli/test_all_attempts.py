"""Failures that a retry or a resume replaced stay readable; and an old run's own frame named `execution` keeps it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from command import Done, project, runs, scythe

from scythe_cli import open_run
from scythe_cli.run.outcomes import FRAMES_KEY
from scythe_cli.run.parts import encode

MODULE = '''
import os
from pathlib import Path
import pandas as pd
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    fails: int
    crashes: bool = False

class Out(ExperimentOutputSpec):
    tries: int

@ExperimentRegistry.Register()
def work(input_spec: In) -> Out:
    """Fail so many times, then succeed."""
    tries = Path(__file__).with_name(f"{input_spec.fails}.tries")
    before = len(tries.read_text()) if tries.exists() else 0
    tries.write_text("x" * (before + 1))
    print("try", before)
    if before < input_spec.fails:
        if input_spec.crashes:
            os.abort()
        raise ValueError(f"failure {before}")
    return Out(tries=before, dataframes={"timing": pd.DataFrame({"t": [before]})})
'''
FILE = "experiment: doubles:work\nspecs: specs.csv\nrun: {retries: 1, workers: 2, grace: 1s}\n"
TABLE = "fails,crashes\n0,\n1,true\n3,\n"


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done, Done]:
    """A run with a retry that cured and one that did not, looked at before and after the resume that cured it."""
    folder = project(tmp_path_factory.mktemp("home"), TABLE, module=MODULE, file=FILE)
    assert scythe("allocate", cwd=folder).code == 1
    before = scythe("status", "work", "--all-attempts", "--json", cwd=folder)
    assert scythe("allocate", "--resume", "work", cwd=folder).code == 0
    return folder, before, scythe("status", "work", "--all-attempts", cwd=folder)


def grouped(groups: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    return [(one["kind"], one["count"], one["sort_index"]) for one in groups]


def test_status_has_the_failures_that_count_apart_from_the_earlier_ones(ends: tuple[Path, Done, Done]) -> None:
    document = ends[1].json("status")
    assert grouped(document["failures"]) == [("exception", 1, 2)]
    assert grouped(document["earlier_failures"]) == [("crash", 1, 1), ("exception", 1, 2)]


def test_an_earlier_failure_has_its_message_log_and_inputs(ends: tuple[Path, Done, Done]) -> None:
    _, exception = ends[1].json("status")["earlier_failures"]
    assert (exception["message"], exception["log"], exception["attempts"]) == ("failure 0", "try 0\n", 1)
    assert exception["inputs"] == {"fails": 3, "crashes": False}


def test_after_a_resume_the_failures_of_the_generation_before_are_earlier_ones(ends: tuple[Path, Done, Done]) -> None:
    text = ends[2].out
    assert "3 of 3 specs done, 0 failed" in text
    shown = text.partition("earlier attempts:")[2]
    assert "3x ValueError: failure 0 in work (doubles.py:24), spec 2" in shown
    assert "1x the process ended with signal SIGABRT in work (doubles.py:23), spec 1" in shown


def test_python_has_a_row_for_each_attempt(ends: tuple[Path, Done, Done]) -> None:
    run = open_run("work", storage=ends[0] / "scythe-runs")
    assert run.errors().is_empty()
    every = run.errors(all_attempts=True)
    rows = every.select("sort_index", "generation", "attempts", "kind", "final", "fails").rows()
    assert rows == [
        (1, 1, 1, "crash", False, 1),
        (2, 1, 1, "exception", False, 3),
        (2, 1, 2, "exception", False, 3),
        (2, 2, 1, "exception", False, 3),
    ]
    assert every["message"].to_list()[1:] == ["failure 0", "failure 1", "failure 2"]


def test_a_run_without_failures_has_none(ends: tuple[Path, Done, Done], tmp_path: Path) -> None:
    storage = shutil.copytree(ends[0] / "scythe-runs", tmp_path / "scythe-runs")
    (run,) = storage.glob("work/*/*")
    shutil.rmtree(run / "scatter-gather/output/0/_attempts")
    every = open_run("work", storage=storage).errors(all_attempts=True)
    assert every.columns[:4] == ["error_type", "message", "traceback", "kind"]
    assert every["generation"].to_list() == [1]  # of the part that generation 2 replaced


def test_a_frame_named_execution_of_an_old_run_keeps_its_name(ends: tuple[Path, Done, Done], tmp_path: Path) -> None:
    folder = shutil.copytree(ends[0], tmp_path / "old")
    (run,) = runs(folder, "work")
    output = run / "scatter-gather/output/0"
    (output / "timing").rename(output / "execution")
    for part in output.glob("*.pq"):
        outcomes = pq.read_table(part)
        if (outcomes.schema.metadata or {}).get(FRAMES_KEY):
            part.write_bytes(encode(outcomes.replace_schema_metadata({FRAMES_KEY: "execution"})))
    shutil.rmtree(run / "final")
    done = scythe("gather", "work", cwd=folder)
    assert done.code == 0, done.err
    assert pl.read_parquet(run / "final/execution.pq")["t"].to_list() == [0, 1, 3]
    assert pl.read_parquet(run / "final/execution_.pq")["state"].to_list() == ["succeeded"] * 3
    assert open_run("work", storage=folder / "scythe-runs").table("execution").columns[0] == "t"

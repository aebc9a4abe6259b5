"""`run.order: longest`: after a probe, the specs that take longest begin first; the tables are the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

MODULE = """
import time
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    slow: bool

class Out(ExperimentOutputSpec):
    twice: int

@ExperimentRegistry.Register()
def work(input_spec: In) -> Out:
    time.sleep(0.1 if input_spec.slow else 0.001)
    return Out(twice=2 * input_spec.slow)
"""


def scythe(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "scythe_cli.cli.app", "allocate", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[pl.DataFrame]]:
    """What the command said before anything was measured; and the executions without and with a probe."""
    folder = tmp_path_factory.mktemp("order")
    (folder / "work.py").write_text(MODULE)
    settings = "{workers: 1, order: longest}"
    (folder / "experiment.yml").write_text(f"experiment: work:work\nspecs: specs.csv\nrun: {settings}\n")
    (folder / "specs.csv").write_text("slow\n" + "false\n" * 12 + "true\n" * 4)
    said = scythe(folder)
    scythe(folder, "--probe", "8")
    scythe(folder, "--bump", "minor")
    finals = sorted(folder.glob("scythe-runs/work/*/*/final"))
    return said, [pl.read_parquet(final / "execution.pq") for final in finals]


def test_without_measurements_the_order_is_that_of_the_table(runs: tuple[str, list[pl.DataFrame]]) -> None:
    said, (first, _) = runs
    assert "no spec has been measured" in said
    assert first.sort("start")["sort_index"].to_list() == [*range(16)]


def test_after_a_probe_the_longest_begin_first(runs: tuple[str, list[pl.DataFrame]]) -> None:
    _, (_, second) = runs
    assert set(second.sort("start")["sort_index"].head(4)) == {12, 13, 14, 15}


def test_the_tables_are_the_same(runs: tuple[str, list[pl.DataFrame]]) -> None:
    _, (first, second) = runs
    assert first["sort_index"].equals(second["sort_index"])

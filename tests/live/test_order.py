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


CRASHING = """
import os
import time
from pathlib import Path
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    tenths: int

class Out(ExperimentOutputSpec):
    double: int

@ExperimentRegistry.Register()
def work(input_spec: In) -> Out:
    if not Path(__file__).with_name("again").exists():
        time.sleep(input_spec.tenths / 10)
        raise ValueError("not yet")
    if input_spec.tenths == 8:
        os._exit(3)
    return Out(double=2 * input_spec.tenths)
"""


def test_rows_in_an_order_of_their_own_all_run_once_after_a_crash(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(CRASHING)
    settings = "{workers: 1, order: longest, retries: 0}"
    (tmp_path / "experiment.yml").write_text(f"experiment: work:work\nspecs: specs.csv\nrun: {settings}\n")
    given = [9, 8, 4, 7, 3, 5, 2, 1, 6]
    (tmp_path / "specs.csv").write_text("tenths\n" + "".join(f"{one}\n" for one in given))
    command = [sys.executable, "-m", "scythe_cli.cli.app", "allocate"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    (tmp_path / "again").touch()
    subprocess.run([*command, "--resume", "work"], cwd=tmp_path, capture_output=True, check=False)
    (final,) = tmp_path.glob("scythe-runs/work/*/*/final")
    assert pl.read_parquet(final / "scalars.pq")["double"].to_list() == [2 * one for one in given if one != 8]
    errors = pl.read_parquet(final / "errors.pq")
    assert errors.select("sort_index", "kind").rows() == [(1, "crash")]

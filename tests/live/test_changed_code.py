"""A module that is edited while its run is at work: no table has results of two codes."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import polars as pl
import pytest

if TYPE_CHECKING:
    from pathlib import Path

MODULE = """
import os
import time
from pathlib import Path
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

FACTOR = 1
HERE = Path(__file__).parent

class In(ExperimentInputSpec):
    i: int

class Out(ExperimentOutputSpec):
    v: int

@ExperimentRegistry.Register()
def work(input_spec: In) -> Out:
    if input_spec.i == 3:
        (HERE / "begun").touch()
        while not (HERE / "edited").exists():
            time.sleep(0.01)
        os._exit(1)
    return Out(v=FACTOR)
"""
N = 12


def edited_while_at_work(folder: Path, settings: str) -> tuple[int, str]:
    """Run the experiment, and edit its module while a spec is at work that ends its worker; exit code and stderr."""
    (folder / "work.py").write_text(MODULE)
    (folder / "specs.csv").write_text("i\n" + "".join(f"{one}\n" for one in range(N)))
    file = f"experiment: work:work\nspecs: specs.csv\nrun: {{workers: 1, retries: 0, max_failures: all, {settings}}}\n"
    (folder / "experiment.yml").write_text(file)
    command = [sys.executable, "-m", "scythe_cli.cli.app", "allocate"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as run:
        deadline = time.monotonic() + 60
        while not (folder / "begun").exists():
            assert time.monotonic() < deadline, run.poll()
            time.sleep(0.01)
        (folder / "work.py").write_text(MODULE.replace("FACTOR = 1", "FACTOR = 2"))
        (folder / "edited").touch()
        said = run.communicate(timeout=60)[1]
    return run.returncode, said


def test_a_worker_that_imports_another_code_ends_the_run(tmp_path: Path) -> None:
    code, said = edited_while_at_work(tmp_path, "fresh_workers: true")
    assert code == 4
    assert "the code of work:work has changed while the run is at work; what is done is kept" in said
    parts = [*tmp_path.glob("scythe-runs/work/*/*/output/*/*.pq")]
    assert all(pl.read_parquet(part).get_column("v", default=pl.Series([1])).drop_nulls().eq(1).all() for part in parts)


@pytest.mark.parametrize("settings", ["fresh_workers: false"])
def test_workers_that_are_forked_have_the_code_of_the_start(tmp_path: Path, settings: str) -> None:
    code, _ = edited_while_at_work(tmp_path, settings)
    assert code == 1
    (final,) = tmp_path.glob("scythe-runs/work/*/*/final")
    assert pl.read_parquet(final / "scalars.pq")["v"].to_list() == [1] * (N - 1)

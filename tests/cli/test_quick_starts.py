"""A small run imports what it uses: neither pandas nor polars, in the command and in its workers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

MODULE = """
import sys
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    a: float
    kind: str

class Out(ExperimentOutputSpec):
    heavy: str

@ExperimentRegistry.Register()
def work(input_spec: In) -> Out:
    return Out(heavy=" ".join(name for name in ("pandas", "polars") if name in sys.modules))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """A run of three specs, and the packages that its command imported."""
    folder = tmp_path_factory.mktemp("quick")
    (folder / "work.py").write_text(MODULE)
    (folder / "experiment.yml").write_text("experiment: work:work\nspecs: specs.csv\nrun: {workers: 1}\n")
    (folder / "specs.csv").write_text("a,kind\n1,x\n2.5,y\n1,x\n")
    command = [sys.executable, "-X", "importtime", "-m", "scythe_cli.cli.app", "allocate"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, set(re.findall(r"^import time:.*\| +(\w+)$", done.stderr, re.MULTILINE))


def test_the_command_imports_neither(run: tuple[Path, set[str]]) -> None:
    assert "pyarrow" in run[1]
    assert not run[1] & {"polars", "scipy", "boto3", "obstore", "hatchet_sdk", "plotly"}


def test_the_workers_import_neither(run: tuple[Path, set[str]]) -> None:
    (final,) = run[0].glob("scythe-runs/*/*/*/final")
    assert set(pl.read_parquet(final / "scalars.pq")["heavy"]) == {""}

"""examples/surrogate: a design grows until a model that is fitted to it is good enough; nothing is computed twice."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from scythe_cli import scan

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "surrogate"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("surrogate")
    for file in EXAMPLE.glob("*.py"):
        shutil.copy(file, found)
    return found


@pytest.fixture(scope="module")
def lines(folder: Path) -> list[str]:
    done = subprocess.run([sys.executable, "grow.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_error_falls_until_it_is_small(lines: list[str]) -> None:
    errors = [float(found[1]) for line in lines if (found := re.search(r"off by ([\d.]+)%", line))]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 4


def test_each_spec_ran_once(lines: list[str], folder: Path) -> None:
    largest = int(lines[-1].partition(" ")[0])
    execution = scan("heat_room", "execution", storage=folder / "scythe-runs").collect()
    assert execution.filter(pl.col("reused_from").is_null()).height == largest

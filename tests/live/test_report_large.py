"""The report of a million specs and twenty columns: seconds, bytes, memory. Part of `make soak`."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from scythe_cli.report.page import LIMIT

SCYTHE = str(Path(sys.executable).with_name("scythe"))
ROWS = 1_000_000
MODULE = """
from typing import Annotated
import polars as pl
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    a: float; b: float; c: float; d: float; e: float; f: float; g: int; h: int; i: str; j: bool

class Out(ExperimentOutputSpec):
    p: float; q: float; r: float; s: float; t: float; u: float; v: float; w: float; x: int; y: float

@ExperimentRegistry.Register(batch=4096)
def work(t: Annotated[pl.DataFrame, In]) -> Annotated[pl.DataFrame, Out]:
    a, b, c, d, e, f, g, h = (pl.col(name) for name in "abcdefgh")
    return t.select(p=a + b, q=a * b, r=c**2, s=d - e, t=f * g, u=h + 0.0, v=a, w=e + g, x=h * 2, y=c)
"""


@pytest.mark.soak
def test_a_million_specs_are_reported_in_twenty_seconds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {name: rng.random(ROWS) for name in "abcdef"}
    columns |= {"g": rng.integers(0, 10, ROWS), "h": rng.integers(0, 1000, ROWS)}
    columns |= {"i": rng.choice(["x", "y", "z"], ROWS), "j": rng.random(ROWS) > 0.5}
    pl.DataFrame(columns).write_parquet(tmp_path / "specs.parquet")
    (tmp_path / "large.py").write_text(MODULE)
    (tmp_path / "experiment.yml").write_text("experiment: large:work\nspecs: specs.parquet\n")
    subprocess.run([SCYTHE, "allocate"], cwd=tmp_path, check=True, capture_output=True)
    before = time.monotonic()
    subprocess.run([SCYTHE, "report"], cwd=tmp_path, check=True, capture_output=True, env=os.environ)
    assert time.monotonic() - before < 20
    assert (tmp_path / "report.html").stat().st_size < 4_900_000 + LIMIT
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2 << 20  # KiB: the largest of both commands

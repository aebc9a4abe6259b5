"""What crashes cost: 2,000 trivial specs of which 10% segfault, against the same run with none."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl

from bench.harness import SCYTHE, Row, Usage, in_turn, median, ratio, report, run, write_project

SPECS = 2000
EVERY = 10
MODULE = """
import ctypes
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class Case(ExperimentInputSpec):
    crashes: bool

class Output(ExperimentOutputSpec):
    doubled: int

@ExperimentRegistry.Register()
def double(case: Case) -> Output:
    if case.crashes:
        ctypes.string_at(8)
    return Output(doubled=2 * case.sort_index)
"""
AT_MOST_FAILED_SPECS = ["sh", "-c", '"$@"; test $? -le 1', "sh"]
"""`allocate` exits 1 when specs fail."""


def allocate(*, crashes: bool) -> Usage:
    """One run, from the command to the final tables; every spec is counted."""
    with tempfile.TemporaryDirectory() as text:
        specs = {"crashes": [crashes and row % EVERY == 0 for row in range(SPECS)]}
        folder = write_project(Path(text), "crash:double", MODULE, specs)
        usage = run([*AT_MOST_FAILED_SPECS, *SCYTHE, "allocate"], cwd=folder)
        (final,) = folder.glob("scythe-runs/*/*/*/final")
        errors = pl.read_parquet(final / "errors.pq")
        assert errors.height == (SPECS // EVERY if crashes else 0)
        assert errors.height + pl.read_parquet(final / "scalars.pq").height == SPECS
        assert set(errors["kind"]) <= {"crash"}
        return usage


def main(times: int = 3) -> None:
    """Measure and report."""
    none, some = in_turn(times, lambda: allocate(crashes=False), lambda: allocate(crashes=True))
    deaths = 2 * SPECS // EVERY
    each = (median(some) - median(none)) / deaths
    detail = f"{median(some):.1f} s / {median(none):.1f} s; {deaths} deaths, {each * 1000:.0f} ms each on all lanes"
    restart = Row("the restart of a worker after a crash", each * 1000, 30.0, "ms", detail=f"of {deaths}")
    report(
        "crash",
        [Row("2,000 trivial specs, 10% segfault twice / none", ratio(some, none), 40.0, detail=detail), restart],
    )


if __name__ == "__main__":
    main()

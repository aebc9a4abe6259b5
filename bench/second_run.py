"""The second run: reuse of 999,000 of 1,000,000 specs, one column over 50 runs by `scan`, opening a run.

A column of 50 runs is compared with polars on the bare files of their final tables.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from bench.harness import SCYTHE, Row, Usage, median, ratio, report, run
from bench.trivial import project

N = 1_000_000
NEW = 1_000
RUNS, ROWS = 50, 100_000


def grow(path: Path) -> None:
    """Change the last thousand rows of a table."""
    table = pl.read_csv(path, infer_schema=False)
    last = pl.int_range(pl.len()) >= pl.len() - NEW
    table.with_columns(pl.when(last).then(pl.lit("new")).otherwise("code").alias("code")).write_csv(path)


def reuse(folder: Path, times: int) -> Row:
    """Run all, then change a few rows and take over the rest; both from the command to the final tables."""
    ran: list[Usage] = []
    took: list[Usage] = []
    for at in range(times):
        home = project(folder / str(at), N)
        ran.append(run([*SCYTHE, "allocate"], cwd=home))
        grow(home / "specs.csv")
        took.append(run([*SCYTHE, "allocate", "--reuse", "latest", "--bump", "minor"], cwd=home))
    memory = max(usage.memory for usage in took) / 1e9
    detail = f"{median(took):.1f} s, {median(ran):.1f} s to run them; {memory:.2f} GB"
    return Row(f"{N - NEW:,} of {N:,} specs reused / run", ratio(took, ran), 0.6, detail=detail)


def many(folder: Path) -> list[Row]:
    """One column of many runs, and opening one of them."""
    home = project(folder / "many", ROWS)
    for _ in range(RUNS):
        run([*SCYTHE, "allocate"], cwd=home)
    storage = home / "scythe-runs"
    files = [str(path) for path in sorted(storage.glob("*/*/*/final/scalars.pq"))]
    assert len(files) == RUNS
    from scythe_cli import open_run, scan

    lazy = scan("measure", storage=storage).select("area")
    bare = pl.scan_parquet(files).select("area")
    assert lazy.collect().height == bare.collect().height == RUNS * ROWS
    ours, theirs = quickest(lazy.collect), quickest(bare.collect)
    name = "/".join(Path(files[0]).parts[-5:-2])
    opened = quickest(lambda: open_run(name, storage=storage))
    made = quickest(lambda: scan("measure", storage=storage), times=3)
    return [
        Row(
            f"one column of {RUNS} runs x {ROWS:,} rows / polars on the files",
            ours / theirs,
            1.5,
            detail=f"{ours * 1e3:.1f} ms, {theirs * 1e3:.1f} ms; {made * 1e3:.0f} ms to make the scan",
        ),
        Row("opening a run", opened * 1e3, 10, "ms"),
    ]


def quickest(call: Callable[[], object], times: int = 20) -> float:
    """Seconds of the quickest of several calls: what others do on the machine counts least there."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return min(found)


def main(times: int = 3) -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as text:
        report("second_run", [reuse(Path(text), times), *many(Path(text))])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)

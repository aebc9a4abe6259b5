"""The second run: reuse of 999,000 of 1,000,000 specs, one column over 50 runs by `scan`, opening a run.

A column of 50 runs is compared with polars on the bare files of their final tables.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from bench.harness import SCYTHE, Row, Usage, median, median_cpu, ratio, ratio_cpu, report, run
from bench.trivial import project

N, MANY = 1_000_000, 4_000_000
NEW = 1_000
RUNS, ROWS = 50, 100_000


def grow(path: Path, *, shuffled: bool = False) -> None:
    """Change the last thousand rows of a table; with `shuffled` put its rows in another order, too."""
    table = pl.read_csv(path, infer_schema=False)
    last = pl.int_range(pl.len()) >= pl.len() - NEW
    grown = table.with_columns(pl.when(last).then(pl.lit("new")).otherwise("code").alias("code"))
    (grown.sample(fraction=1, shuffle=True, seed=1) if shuffled else grown).write_csv(path)


def reuse(folder: Path, times: int) -> list[Row]:
    """Run all, then change a few rows and take over the rest; both from the command to the final tables."""
    pairs = [run_and_reuse(folder / str(at), N) for at in range(times)]
    ran, took = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    memory = max(usage.memory for usage in took) / 1e9
    plain = max(usage.memory for usage in ran) / 1e9
    _, large = run_and_reuse(folder / "large", MANY)
    whole, shuffled = run_and_reuse(folder / "shuffled", N, shuffled=True)
    what = f"{N - NEW:,} of {N:,} specs reused / run"
    return [
        Row(what, ratio(took, ran), 0.6, detail=f"{median(took):.1f} s, {median(ran):.1f} s to run them"),
        Row(f"{what}: CPU", ratio_cpu(took, ran), 0.6, detail=f"{median_cpu(took):.1f} s, {median_cpu(ran):.1f} s"),
        Row(f"{what}: peak memory of the tree", memory / plain, 1.2, detail=f"{memory:.2f} GB, {plain:.2f} GB"),
        Row(f"growth of that memory to {MANY:,} specs", large.memory / 1e9 / memory, 1.4),
        Row(
            "the same, the table in another order / run",
            shuffled.seconds / whole.seconds,
            2,
            detail=f"{shuffled.memory / 1e9:.2f} GB",
        ),
    ]


def run_and_reuse(home: Path, specs: int, *, shuffled: bool = False) -> tuple[Usage, Usage]:
    """What it costs to run specs, and then to take over all but a few of them."""
    project(home, specs)
    ran = run([*SCYTHE, "allocate"], cwd=home)
    grow(home / "specs.csv", shuffled=shuffled)
    took = run([*SCYTHE, "allocate", "--reuse", "latest", "--bump", "minor"], cwd=home)
    shutil.rmtree(home)
    return ran, took


def many(folder: Path) -> list[Row]:
    """One column of many runs, and opening one of them."""
    home = project(folder / "many", ROWS)
    run([*SCYTHE, "allocate"], cwd=home)
    storage = home / "scythe-runs"
    copy_run(storage, RUNS)
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


def copy_run(storage: Path, runs: int) -> None:
    """Have so many runs in place of one; those of earlier days."""
    (first,) = storage.glob("*/*/*")
    for at in range(1, runs):
        other = shutil.copytree(first, first.with_name(f"2026-01-01_00-00-{at:02d}"))
        for file in [*other.glob("*.yml"), *other.glob("control/*.yml")]:
            file.write_text(file.read_text().replace(first.name, other.name))


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
        report("second_run", [*reuse(Path(text), times), *many(Path(text))])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)

"""Work that waits: an uneven table against the ideal schedule, and what a spec of a millisecond costs besides."""

from __future__ import annotations

import heapq
import random
import shutil
import statistics
import tempfile
from pathlib import Path

import polars as pl

from bench.harness import SCYTHE, Row, report, run, write_project

LANES = 2
MODULE = """
import time
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class Case(ExperimentInputSpec):
    seconds: float

class Output(ExperimentOutputSpec):
    slept: float

@ExperimentRegistry.Register()
def wait(case: Case) -> Output:
    begun = time.perf_counter()
    while (left := case.seconds - (time.perf_counter() - begun)) > 0:
        if left > 0.005:
            time.sleep(left - 0.002)
    return Output(slept=time.perf_counter() - begun)
"""


def ideal(seconds: list[float], lanes: int) -> float:
    """Wall time of list scheduling in the table's order: each spec goes to the lane that is free first."""
    free = [0.0] * lanes
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def allocate(seconds: list[float]) -> tuple[float, float]:
    """Seconds from the first spec's start to the last one's end, and the sum of all specs' own, as the run has them."""
    with tempfile.TemporaryDirectory() as text:
        settings = f"run: {{workers: {LANES}, max_failures: all}}\n"
        folder = write_project(Path(text), "uneven:wait", MODULE, {"seconds": seconds}, settings)
        run([*SCYTHE, "allocate"], cwd=folder)
        parts = pl.concat(
            pl.read_parquet(path, columns=["_start", "_duration"])
            for path in folder.glob("scythe-runs/*/*/*/scatter-gather/output/*/*.pq")
        )
        shutil.rmtree(folder / "scythe-runs")
    ends = parts["_start"].cast(pl.Int64) / 1e6 + parts["_duration"]
    wall = ends.max() - parts["_start"].cast(pl.Int64).min() / 1e6  # type: ignore[operator]  # never null
    return float(wall), float(parts["_duration"].sum())


def main(times: int = 3) -> None:
    """Measure and report."""
    rng = random.Random(7)
    heavy = [min(8.0, 0.02 * rng.paretovariate(1.1)) for _ in range(400)]
    uneven = statistics.median(allocate(heavy)[0] / ideal(heavy, LANES) for _ in range(times))
    runs = [allocate([0.001] * 20_000) for _ in range(times)]
    overhead = statistics.median(wall * LANES / own - 1 for wall, own in runs)
    rows = [
        Row(
            "400 specs of a heavy-tailed law, 2 lanes / list scheduling",
            uneven,
            1.02,
            detail=f"{sum(heavy):.0f} s of sleep",
        ),
        Row("overhead of a spec of 1 ms, 2 lanes", overhead * 100, 5.0, "%", detail="20,000 specs"),
    ]
    report("uneven", rows)


if __name__ == "__main__":
    main()

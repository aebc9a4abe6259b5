"""A run without a server against the local engine: a million trivial specs; specs of half a second on many lanes.

The times are those of the run's own objects in one folder: from the first claim, or the first spec, to the last part.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import polars as pl

from bench.harness import (
    SCYTHE,
    Row,
    Usage,
    cpu_of_children,
    in_turn,
    median,
    median_cpu,
    ratio,
    ratio_cpu,
    report,
    write_project,
)
from bench.trivial import N, project

SLEEPERS, SECONDS, WORKERS, LANES = 1024, 0.5, 4, 8
SLEEPING = """
import time
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    x: int

class Out(ExperimentOutputSpec):
    y: int

@ExperimentRegistry.Register()
def measure(spec: In) -> Out:
    time.sleep(0.5)
    return Out(y=spec.x)
"""


def only_run(folder: Path) -> Path:
    """The run in a folder."""
    (found,) = (folder / "scythe-runs").glob("*/*/*")
    return found


def last_part(run: Path) -> float:
    """When the last part was written."""
    return max(path.stat().st_mtime for path in run.glob("scatter-gather/output/*/g*.pq"))


def local(folder: Path) -> Usage:
    """The local engine with four workers' processes: from the first spec to the last part."""
    before = cpu_of_children()
    subprocess.run(
        [*SCYTHE, "allocate", "--set", f"run.workers={WORKERS}"], cwd=folder, check=True, capture_output=True
    )
    run = only_run(folder)
    began = pl.scan_parquet(run / "final/execution.pq").select(pl.col("start").min()).collect().item().timestamp()
    found = Usage(last_part(run) - began, 0, cpu_of_children() - before)
    shutil.rmtree(folder / "scythe-runs")
    return found


def shared(folder: Path, lanes: int) -> Usage:
    """Four workers on one folder: from the first claim to the last part."""
    before = cpu_of_children()
    subprocess.run([*SCYTHE, "allocate", "--engine", "shared"], cwd=folder, check=True, capture_output=True)
    run = only_run(folder)
    name = run.parents[1].name
    command = [*SCYTHE, "worker", "--run", name, "--workers", str(lanes)]
    quiet = subprocess.DEVNULL
    workers = [subprocess.Popen(command, cwd=folder, stdout=quiet, stderr=quiet) for _ in range(WORKERS)]
    assert [worker.wait() for worker in workers] == [0] * WORKERS
    claims = run.glob("scatter-gather/claims/1/*/*-c1.yml")
    found = Usage(last_part(run) - min(path.stat().st_mtime for path in claims), 0, cpu_of_children() - before)
    rows = pl.scan_parquet(run / "final/execution.pq").select(pl.len()).collect().item()
    assert rows == sum(1 for _ in (folder / "specs.csv").open()) - 1
    shutil.rmtree(folder / "scythe-runs")
    return found


def main(times: int = 3) -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as text:
        big = project(Path(text) / "big", N)
        small = write_project(Path(text) / "small", "sleeping:measure", SLEEPING, {"x": range(SLEEPERS)})
        ours, theirs = in_turn(times, lambda: shared(big, 1), lambda: local(big))
        slept = [shared(small, LANES) for _ in range(times)]
    ideal = SLEEPERS * SECONDS / (WORKERS * LANES)
    detail = f"{median(ours):.1f} s, CPU {median_cpu(ours):.1f} s; local {median(theirs):.1f} s"
    detail += f", CPU {median_cpu(theirs):.1f} s"
    rows = [
        Row(
            "1,000,000 trivial specs, 4 workers of one folder / run.workers: 4", ratio(ours, theirs), 1.3, detail=detail
        ),
        Row("the same, CPU of the whole commands", ratio_cpu(ours, theirs), 1.3),
        Row("1,024 specs of 0.5 s, 4 workers of 8 processes / the ideal", median(slept) / ideal, 1.15),
    ]
    report("shared", rows)


if __name__ == "__main__":
    main()

"""Quick starts: a run of three trivial specs, and a dry run of 24, in seconds and in CPU of all its processes."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from bench.harness import SCYTHE, TWO_WORKERS, Row, Usage, in_turn, median, median_cpu, report, run, write_project

HERE = Path(__file__).parent
MODULE = """
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    a: float

class Out(ExperimentOutputSpec):
    b: float

@ExperimentRegistry.Register()
def double(input_spec: In) -> Out:
    return Out(b=2 * input_spec.a)
"""


def allocate(folder: Path, *options: str) -> Usage:
    """One command in the folder; its run is removed."""
    used = run([*SCYTHE, "allocate", *options], cwd=folder, watch=False)
    shutil.rmtree(folder / "scythe-runs", ignore_errors=True)
    return used


def main(times: int = 11) -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as text:
        three, many = (
            write_project(Path(text) / str(n), "double:double", MODULE, {"a": range(n)}, TWO_WORKERS) for n in (3, 24)
        )
        allocate(three)  # bytecode
        runs, dry = in_turn(times, lambda: allocate(three), lambda: allocate(many, "--dry-run"))
    rows = [
        Row("three trivial specs, CPU", median_cpu(runs), 1.0, "s", detail=f"median of {times}"),
        Row("three trivial specs, wall", median(runs), 0.8, "s", detail=f"median of {times}"),
        Row("allocate --dry-run of 24 rows, wall", median(dry), 0.5, "s", detail=f"CPU {median_cpu(dry):.2f} s"),
    ]
    report("quick", rows)


if __name__ == "__main__":
    main()

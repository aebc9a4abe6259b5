"""A function of many specs: a million rows from parquet to the final tables; the same arithmetic in plain polars."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import polars as pl

from bench.harness import SCYTHE, Row, Usage, in_turn, median, median_cpu, report, run
from bench.trivial import N, write_specs

HERE = Path(__file__).parent
MODULE = """
from typing import Annotated
import polars as pl
from scythe_cli import ExperimentRegistry
from trivial import Case, Size

@ExperimentRegistry.Register(batch=4096)
def measure_many(table: Annotated[pl.DataFrame, Case]) -> Annotated[pl.DataFrame, Size]:
    area = pl.col("width") * pl.col("height")
    volume = area * 3.0 * pl.col("floors")
    return table.select(area=area, volume=volume, occupants=(area * pl.col("floors")).cast(pl.Int64) // 10)
"""
PLAIN = """
import sys
import polars as pl
area = pl.col("width") * pl.col("height")
pl.read_parquet(sys.argv[1]).with_columns(
    area=area, volume=area * 3.0 * pl.col("floors"), occupants=(area * pl.col("floors")).cast(pl.Int64) // 10
).write_parquet(sys.argv[2])
"""


def project(folder: Path) -> Path:
    """A folder as a user has it."""
    shutil.copy(HERE / "trivial_experiment.py", folder / "trivial.py")
    (folder / "many.py").write_text(MODULE)
    (folder / "experiment.yml").write_text("experiment: many:measure_many\nspecs: specs.parquet\nrun: {workers: 2}\n")
    write_specs(folder / "specs.csv", N)
    pl.read_csv(folder / "specs.csv", schema_overrides={"code": pl.String}).write_parquet(folder / "specs.parquet")
    return folder


def allocate(folder: Path) -> Usage:
    """The whole command; its run is removed."""
    used = run([*SCYTHE, "allocate"], cwd=folder)
    shutil.rmtree(folder / "scythe-runs")
    return used


def main(times: int = 5) -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as text:
        folder = project(Path(text))
        plain = [sys.executable, "-c", PLAIN, str(folder / "specs.parquet"), str(folder / "plain.parquet")]
        ours, theirs = in_turn(times, lambda: allocate(folder), lambda: run(plain, cwd=folder))
    detail = f"{median(ours):.1f} s, CPU {median_cpu(ours):.1f} s; plain polars {median(theirs):.2f} s"
    report(
        "many", [Row("a row of 1,000,000 in the table form, parquet to final tables", median(ours), 4.0, "us", detail)]
    )


if __name__ == "__main__":
    main()

"""10,000 specs that each return a frame of 100 rows: their gather against polars concatenating and sinking the same."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import polars as pl

from bench.harness import SCYTHE, TWO_WORKERS, Row, in_turn, median, ratio, report, run, write_project

N = 10_000
ROWS = 100
MODULE = f"""
import polars as pl
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class Case(ExperimentInputSpec):
    width: float

class Output(ExperimentOutputSpec):
    area: float

HOURS = pl.Series("hour", range({ROWS}))

@ExperimentRegistry.Register()
def simulate(case: Case) -> Output:
    frame = pl.DataFrame({{"hour": HOURS, "load": HOURS * case.width, "use": ["a"] * {ROWS}}})
    return Output(area=case.width, dataframes={{"hourly": frame}})
"""
CONCAT = """
import sys, polars as pl
from pathlib import Path
frames = [pl.read_ipc(p) for p in sorted(Path(sys.argv[1]).glob("*.ipc"))]
pl.concat(frames).lazy().sink_parquet(sys.argv[2])
"""


def main(times: int = 3) -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as text:
        widths = {"width": [at / 10 for at in range(N)]}
        folder = write_project(Path(text), "frames:simulate", MODULE, widths, TWO_WORKERS)
        run([*SCYTHE, "allocate"], cwd=folder)
        (final,) = (folder / "scythe-runs").glob("*/*/*/final/hourly.pq")
        frame = pl.read_parquet(final)
        assert frame.height == N * ROWS
        pieces = folder / "pieces"
        pieces.mkdir()
        for at, piece in enumerate(frame.iter_slices(ROWS)):
            piece.write_ipc(pieces / f"{at:06d}.ipc")
        run_id = "/".join(final.parts[-5:-2])
        gather = [*SCYTHE, "gather", run_id, "--storage", str(folder / "scythe-runs")]
        concat = [sys.executable, "-c", CONCAT, str(pieces), str(folder / "out.parquet")]
        ours, theirs = in_turn(times, lambda: run(gather), lambda: run(concat))
        shutil.rmtree(folder / "scythe-runs")
    each = f"scythe {median(ours):.2f} s, polars {median(theirs):.2f} s"
    report("frames", [Row(f"gather of {N:,} frames of {ROWS} rows / polars", ratio(ours, theirs), 3.0, detail=each)])


if __name__ == "__main__":
    main()

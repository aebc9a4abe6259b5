"""Gather of 100,000,000 rows of frames against polars scanning the same parts and sinking them; memory of both.

`SCYTHE_BENCH_SHARE=10` gathers a tenth of the rows.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import polars as pl

from bench.harness import SCYTHE, TWO_WORKERS, Row, in_turn, median, ratio, report, run, write_project
from scythe_cli.core import layout

SHARE = int(os.environ.get("SCYTHE_BENCH_SHARE", "1"))
HOURS = 8760
SPECS = 100_000_000 // HOURS // SHARE
MODULE = f"""
import numpy as np
import polars as pl
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class Case(ExperimentInputSpec):
    width: float

class Output(ExperimentOutputSpec):
    area: float

HOURS = np.arange({HOURS})

@ExperimentRegistry.Register()
def simulate(case: Case) -> Output:
    load = np.random.default_rng(case.sort_index).random({HOURS})
    frame = pl.DataFrame({{"hour": HOURS, "load": np.round(load * 100, 2), "heat": load * case.width}})
    return Output(area=case.width, dataframes={{"hourly": frame}})
"""
SINK = """
import sys
import polars as pl
pl.scan_parquet(sys.argv[1]).sink_parquet(sys.argv[2])
"""


def main(times: int = 2) -> None:
    """Measure and report. It needs some ten gigabytes of disk and six minutes."""
    with tempfile.TemporaryDirectory() as text:
        widths = {"width": [at / 10 for at in range(SPECS)]}
        folder = write_project(Path(text), "hourly:simulate", MODULE, widths, TWO_WORKERS)
        run([*SCYTHE, "allocate"], cwd=folder)
        storage = folder / "scythe-runs"
        (one,) = storage.glob("*/*/*")
        made = one / "final" / "hourly.pq"
        found = made / "*.parquet" if made.is_dir() else made
        assert pl.scan_parquet(found).select(pl.len()).collect().item() == SPECS * HOURS
        gather = [*SCYTHE, "gather", str(one.relative_to(storage)), "--storage", str(storage)]
        parts = one / layout.OUTPUT / "*" / "hourly" / "*.pq"
        sink = [sys.executable, "-c", SINK, str(parts), str(folder / "out.parquet")]
        ours, theirs = in_turn(times, lambda: run(gather), lambda: run(sink))
        shutil.rmtree(storage)
    what = f"gather of {SPECS * HOURS:,} rows of frames"
    memory = max(usage.memory for usage in ours) / 1e9
    each = f"scythe {median(ours):.1f} s, polars {median(theirs):.1f} s"
    rows = [
        Row(f"{what} / polars scan and sink of the parts", ratio(ours, theirs), 1.5, detail=each),
        Row("peak memory of that gather", memory, 1.0, "GB", f"polars {max(u.memory for u in theirs) / 1e9:.2f} GB"),
    ]
    report("large_frames", rows)


if __name__ == "__main__":
    main()

"""Frames at the shapes of building energy: a whole run against two plain processes that loop, concatenate and write.

The share of the machine that a busy neighbour takes is in both; CPU seconds of both are in the detail.
`SCYTHE_BENCH_SHARE=10` runs a tenth of the specs.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.harness import SCYTHE, TWO_WORKERS, Row, report, run, write_project

SHARE = int(os.environ.get("SCYTHE_BENCH_SHARE", "1"))
MODULE = """
import numpy as np
import pandas as pd
import polars as pl
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class Case(ExperimentInputSpec):
    width: float
    use: str = "office"
    year: int = 1980

class Output(ExperimentOutputSpec):
    area: float

HOURS = pd.date_range("2026-01-01", periods=8760, freq="h")
LEVELS = ["Measurement", "Aggregation", "Meter", "Month"]

def wide(case, rows):
    columns = pd.MultiIndex.from_product([["Temperature"], HOURS], names=["Meter", "Timestep"])
    return pd.DataFrame(np.random.default_rng(case.sort_index).random((rows, 8760)), columns=columns)

def months(case):
    columns = pd.MultiIndex.from_product([["Energy"], ["Raw"], [f"Meter {at}" for at in range(50)], range(1, 13)])
    columns.names = LEVELS
    return pd.DataFrame(np.random.default_rng(case.sort_index).random((1, 600)), columns=columns)

def long(case):
    random = np.random.default_rng(case.sort_index)
    own = {"hour": np.arange(8760), "month": np.arange(8760) // 730}
    own |= {f"load{at}": random.random(8760) * case.width for at in range(3)}
    return pl.DataFrame({**own, "rounded": np.round(random.random(8760) * 100, 1)})

SHAPES = {"five": lambda case: wide(case, 5), "one": lambda case: wide(case, 1), "months": months, "long": long}

@ExperimentRegistry.Register()
def simulate(case: Case) -> Output:
    return Output(area=case.width, dataframes={"made": SHAPES[case.use](case)})
"""
LOOP = """
import multiprocessing, sys
import pandas as pd
import polars as pl
from shapes import SHAPES, Case

def indexed(case):
    frame = SHAPES[case.use](case)
    index = {"experiment_id": "e", "sort_index": case.sort_index, "workflow_run_id": "%036d" % case.sort_index,
             "root_workflow_run_id": "r" * 36, "width": case.width, "use": case.use, "year": case.year}
    if isinstance(frame, pl.DataFrame):
        place = pl.int_range(frame.height).alias("sort_subindex")
        return frame.with_columns(*(pl.lit(value).alias(name) for name, value in index.items()), place)
    more = {"sort_subindex": range(len(frame))} if len(frame) > 1 else {}
    levels = pd.DataFrame({name: [value] * len(frame) for name, value in index.items()} | more)
    return frame.set_index(pd.MultiIndex.from_frame(levels))

def loop(cases):
    frames = [indexed(case) for case in cases]
    return pd.concat(frames) if isinstance(frames[0], pd.DataFrame) else pl.concat(frames)

if __name__ == "__main__":
    n, use = int(sys.argv[1]), sys.argv[2]
    cases = [Case(width=at / 10, use=use, sort_index=at) for at in range(n)]
    with multiprocessing.Pool(2) as pool:
        halves = pool.map(loop, [cases[: n // 2], cases[n // 2 :]])
    if use == "long":
        pl.concat(halves).write_parquet("plain.pq")
    else:
        pd.concat(halves).to_parquet("plain.pq")
"""


@dataclass(frozen=True)
class Shape:
    """Frames of one kind, and what their run may cost: in parts of what the loop takes, and in gigabytes of memory."""

    name: str
    use: str
    specs: int
    seconds: float
    memory: float
    size: float
    gigabytes: float | None = None


SHAPES = (
    Shape("500 x 5 rows x 8,760 columns (pandas)", "five", 500, 1.3, 1.5, 1.3),
    Shape("500 x 1 row x 600 columns of 4 levels (pandas)", "months", 500, 1.3, 1.5, 1.3),
    Shape("2,000 x 1 row x 8,760 columns (pandas)", "one", 2000, 1.3, 1.5, 1.3),
    Shape("2,000 x 8,760 rows x 6 columns (polars)", "long", 2000, 1.5, 1.5, 1.05, 0.8),
)


def compare(shape: Shape) -> list[Row]:
    """One shape."""
    n = max(2, shape.specs // SHARE)
    with tempfile.TemporaryDirectory() as text:
        specs = {"width": [at / 10 for at in range(n)], "use": [shape.use] * n}
        folder = write_project(Path(text), "shapes:simulate", MODULE, specs, TWO_WORKERS)
        (folder / "loop.py").write_text(LOOP)
        ours = run([*SCYTHE, "allocate"], cwd=folder)
        plain = run([sys.executable, "loop.py", str(n), shape.use], cwd=folder)
        (made,) = folder.glob("scythe-runs/*/*/*/final/made.pq")
        parts = made.rglob("*.parquet") if made.is_dir() else [made]
        size, other = sum(part.stat().st_size for part in parts), (folder / "plain.pq").stat().st_size
    each = f"{n} specs: {ours.seconds:.1f} s, {ours.cpu:.1f} CPU s / {plain.seconds:.1f} s, {plain.cpu:.1f} CPU s"
    memory = f"{ours.memory >> 20} MiB / {plain.memory >> 20} MiB"
    rows = [
        Row(f"{shape.name}: time", ours.seconds / plain.seconds, shape.seconds, detail=each),
        Row(f"{shape.name}: CPU", ours.cpu / plain.cpu, shape.seconds, detail=each),
        Row(f"{shape.name}: memory", ours.memory / plain.memory, shape.memory, detail=memory),
        Row(f"{shape.name}: size", size / other, shape.size, detail=f"{size >> 20} MiB / {other >> 20} MiB"),
    ]
    if shape.gigabytes is not None:
        rows.append(Row(f"{shape.name}: peak memory", ours.memory / 1e9, shape.gigabytes, "GB"))
    return rows


def main() -> None:
    """Measure and report."""
    report("frame_shapes", [row for shape in SHAPES for row in compare(shape)])


if __name__ == "__main__":
    main()

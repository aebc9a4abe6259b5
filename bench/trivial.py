"""A million trivial specs against a plain loop, joblib, a chunked pool, Dask, Ray and HyperQueue; memory; objects.

The slow peers run fewer specs, and their time is taken per spec: starting them is left out by taking two sizes.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

import polars as pl

from bench.harness import SCYTHE, Row, Usage, in_turn, median, ratio, ratio_cpu, report, run

N = 1_000_000
SLOW = {"dask": 10_000, "ray": 10_000, "hyperqueue": 40}
"""Specs that a slow peer runs."""
HERE = Path(__file__).parent


def write_specs(path: Path, n: int) -> None:
    """The table, as csv."""
    at = pl.int_range(n, eager=True)
    pl.DataFrame(
        {
            "width": (at % 997) / 10.0,
            "height": (at % 991) / 10.0,
            "floors": at % 200 + 1,
            "use": pl.Series(["office", "retail", "school"]).gather(at % 3),
            "code": at.cast(pl.String).str.zfill(8),
        }
    ).write_csv(path)


def project(folder: Path, n: int) -> Path:
    """A folder as a user has it."""
    folder.mkdir(parents=True)
    shutil.copy(HERE / "trivial_experiment.py", folder / "trivial.py")
    (folder / "experiment.yml").write_text("experiment: trivial:measure\nspecs: specs.csv\nrun: {workers: 2}\n")
    write_specs(folder / "specs.csv", n)
    return folder


def scythe(folder: Path) -> Usage:
    """The whole command, from nothing to final tables; the runs are removed afterwards."""
    used = run([*SCYTHE, "allocate"], cwd=folder)
    runs = folder / "scythe-runs"
    (found,) = runs.glob("*/*/*/final/scalars.pq")
    assert pl.scan_parquet(found).select(pl.len()).collect().item() == sum(1 for _ in (folder / "specs.csv").open()) - 1
    scythe.objects = sum(1 for path in runs.rglob("*") if path.is_file())  # type: ignore[attr-defined]
    shutil.rmtree(runs)
    return used


def peer(name: str, folder: Path) -> Usage:
    """One peer, from the table to a parquet."""
    command = [sys.executable, "-m", "bench.peers", name, str(folder / "specs.csv"), str(folder / "out.parquet")]
    return run(command, cwd=HERE.parent)


def slow_peer(name: str, folder: Path, ours: float) -> Row:
    """A slow peer, from two sizes: what it takes to start is left out."""
    n = SLOW[name]
    small, tiny = project(folder / f"{name}-s", n), project(folder / f"{name}-t", n // 10)
    theirs = (peer(name, small).seconds - peer(name, tiny).seconds) / (n * 0.9) * N
    detail = f"{name} {theirs:,.0f} s for a million, start left out"
    return Row(f"1,000,000 trivial specs / {name}, from {n:,}", ours / theirs, 1 / 50, detail=detail)


def main(times: int = 5) -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as text:
        big = project(Path(text) / "big", N)
        ours, joblib, pool, loop = in_turn(
            times, lambda: scythe(big), *(partial(peer, name, big) for name in ("joblib", "pool", "loop"))
        )
        objects = scythe.objects  # type: ignore[attr-defined]
        each = f"scythe {median(ours):.1f} s, joblib {median(joblib):.1f} s, pool {median(pool):.1f} s"
        each += f", plain loop {median(loop):.1f} s"
        memory = max(usage.memory for usage in ours) / 1e9
        rows = [
            Row("1,000,000 trivial specs / joblib", ratio(ours, joblib), 0.8, detail=each),
            Row("the same, CPU", ratio_cpu(ours, joblib), 0.8),
            Row("1,000,000 trivial specs / chunked ProcessPoolExecutor", ratio(ours, pool), 1.2, detail=each),
            Row("the same, CPU", ratio_cpu(ours, pool), 1.2),
            Row("1,000,000 trivial specs / one plain loop", ratio(ours, loop), 1.7, detail=each),
            Row("peak memory of the tree, 1,000,000 specs", memory, 1.5, "GB"),
            Row("objects for 1,000,000 specs", objects, 3000, ""),
        ]
        rows += [slow_peer(name, Path(text), median(ours)) for name in SLOW]
        huge = project(Path(text) / "huge", 4 * N)
        growth = scythe(huge).memory / 1e9 / memory
        rows.append(Row("growth of that memory to 4,000,000 specs", growth, 1.2, detail=f"{growth * memory:.2f} GB"))
    report("trivial", rows)


if __name__ == "__main__":
    main()

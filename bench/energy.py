"""Real work: annual EnergyPlus cases on two lanes against two plain processes that each loop over half of them."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import polars as pl

from bench.harness import SCYTHE, Row, in_turn, median, ratio, report, run

CASES = 16
LOOP = """
import multiprocessing, sys, tempfile
from pathlib import Path
import polars as pl

def loop(rows):
    from building_energy import BuildingSimulationInput, simulate_energy
    for row in rows:
        with tempfile.TemporaryDirectory() as folder:
            simulate_energy(BuildingSimulationInput.model_validate(row), Path(folder))

if __name__ == "__main__":
    rows = pl.read_csv("specs.csv").to_dicts()
    both = [multiprocessing.get_context("spawn").Process(target=loop, args=(rows[at::2],)) for at in range(2)]
    for one in both: one.start()
    for one in both: one.join()
    sys.exit(any(one.exitcode for one in both))
"""


def around_specs(run_folder: Path, seconds: float) -> float:
    """Of a command of so many seconds, those in which no spec of its run was at work."""
    rows = pl.read_parquet(run_folder / "final" / "execution.pq", columns=["start", "duration"])
    starts = rows["start"].cast(pl.Int64) / 1e6
    return seconds - float((starts + rows["duration"]).max() - starts.min())  # type: ignore[operator,arg-type]  # no nulls


def main(times: int = 1) -> None:
    """Measure and report. One round takes some four minutes on two cores."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text) / "energy"
        run([*SCYTHE, "init", str(folder), "--template", "energy"])
        specs = pl.read_csv(folder / "specs.csv")
        pl.concat([specs, specs]).head(CASES).write_csv(folder / "specs.csv")
        (folder / "loop.py").write_text(LOOP)
        ours, plain = in_turn(
            times,
            lambda: run([*SCYTHE, "allocate", "--set", "run.workers=2"], cwd=folder),
            lambda: run([sys.executable, "loop.py"], cwd=folder),
        )
        around = min(map(around_specs, folder.glob("scythe-runs/*/*/*"), [one.seconds for one in ours]))
        shutil.rmtree(folder / "scythe-runs")
    each = f"scythe {median(ours):.1f} s, two loops {median(plain):.1f} s"
    rows = [
        Row(f"{CASES} annual EnergyPlus cases / two plain loops", ratio(ours, plain), 1.03, detail=each),
        Row("seconds before the first of them plus after the last", around, 1.0, "s"),
    ]
    report("energy", rows)


if __name__ == "__main__":
    main()

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
        shutil.rmtree(folder / "scythe-runs")
    each = f"scythe {median(ours):.1f} s, two loops {median(plain):.1f} s"
    report("energy", [Row(f"{CASES} annual EnergyPlus cases / two plain loops", ratio(ours, plain), 1.03, detail=each)])


if __name__ == "__main__":
    main()

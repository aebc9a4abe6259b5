"""An experiment for workers: each spec writes a line to a diary, may take its time, fail, or kill its whole worker."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry


class Plot(ExperimentInputSpec):
    """One spec."""

    seed: int
    seconds: float = 0.0
    diary: str = ""
    does: str = ""


class Harvest(ExperimentOutputSpec):
    """Its output."""

    weight: float


@ExperimentRegistry.Register()
def grow(input_spec: Plot, tempdir: Path) -> Harvest:
    """Grow one plot."""
    if input_spec.diary:
        with Path(input_spec.diary).open("a") as diary:
            diary.write(f"{input_spec.seed}\n")
    time.sleep(input_spec.seconds)
    if input_spec.does == "fails":
        (tempdir / "growth.err").write_text(f"hail on {input_spec.seed}")
        raise ValueError("hail")
    if input_spec.does == "kills the worker":
        os.kill(int(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
        time.sleep(60)
    if input_spec.does == "draws":
        return Harvest(weight=input_spec.rng().random())
    if input_spec.does.startswith("http"):
        return Harvest(weight=float(input_spec.fetch_uri(input_spec.does).read_text()))
    return Harvest(weight=input_spec.seed * 1.5)

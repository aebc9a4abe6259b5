"""Runs commands, watches the memory of their whole process tree, takes medians, prints a table, writes JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"
SCYTHE = [sys.executable, "-m", "scythe_cli.cli.app"]
SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class Usage:
    """One run of a command: wall seconds, and the largest memory its process tree held at a time, in bytes."""

    seconds: float
    memory: int


@dataclass
class Row:
    """One line of the table.

    Attributes:
        measure: what was measured.
        value: the figure, a ratio unless `unit` says otherwise.
        target: what the issue asks for; the figure is to be at most this.
        detail: the absolute figures behind it.
    """

    measure: str
    value: float
    target: float
    unit: str = "x"
    detail: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the target was reached."""
        return self.value <= self.target


def run(command: Sequence[str], *, cwd: Path | None = None, environ: dict[str, str] | None = None) -> Usage:
    """Run a command to its end and watch it. Raises when it fails."""
    began = time.perf_counter()
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | (environ or {})
    with subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        peak = 0
        watched = psutil.Process(child.pid)
        while child.poll() is None:
            peak = max(peak, _tree_memory(watched))
            time.sleep(SAMPLE_SECONDS)
        seconds = time.perf_counter() - began
        assert child.stderr is not None
        told = child.stderr.read().decode()
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}:\n{told[-2000:]}")
    return Usage(seconds, peak)


def _tree_memory(process: psutil.Process) -> int:
    """Proportional set size of a process and its descendants: pages that they share count once."""
    total = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    for one in family:
        try:
            total += _proportional(one)
        except (psutil.Error, OSError):
            continue
    return total


def _proportional(process: psutil.Process) -> int:
    """The kernel's own sum; adding up the single mappings would halt the process for as long as that takes."""
    if sys.platform != "linux":
        return int(process.memory_info().rss)
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))


def in_turn(times: int, *contenders: Callable[[], Usage]) -> list[list[Usage]]:
    """Run contenders one after the other, several times: A B C A B C, so that all see the same machine."""
    rounds = [[contender() for contender in contenders] for _ in range(times)]
    return [[one[at] for one in rounds] for at in range(len(contenders))]


def median(usages: Sequence[Usage]) -> float:
    """Median wall seconds."""
    return statistics.median(usage.seconds for usage in usages)


def ratio(ours: Sequence[Usage], theirs: Sequence[Usage]) -> float:
    """Median of the ratios, run by run."""
    return statistics.median(a.seconds / b.seconds for a, b in zip(ours, theirs, strict=True))


def report(name: str, rows: Sequence[Row]) -> None:
    """Print the table of one measurement and keep it as JSON."""
    for row in rows:
        mark = "ok  " if row.met else "MISS"
        print(
            f"{mark}  {row.measure:<58} {row.value:>9.3g}{row.unit:<4} target {row.target:g}{row.unit}   {row.detail}",
            flush=True,
        )
    RESULTS.mkdir(exist_ok=True)
    document = {"measurement": name, "machine": machine(), "rows": [asdict(row) | {"met": row.met} for row in rows]}
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """Versions, cores and load: what a figure means nothing without."""
    names = ("scythe-runner", "polars", "pyarrow", "pydantic", "joblib", "dask", "ray", "obstore")
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "versions": versions,
    }

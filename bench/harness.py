"""Runs commands, watches the memory of their whole process tree, takes medians, prints a table, writes JSON."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import polars as pl
import psutil

RESULTS = Path(__file__).parent / "results"
SCYTHE = [sys.executable, "-m", "scythe_cli.cli.app"]
SAMPLE_SECONDS = 0.1
TWO_WORKERS = "run: {workers: 2}\n"


@dataclass(frozen=True)
class Usage:
    """One run of a command.

    Attributes:
        seconds: on the wall.
        memory: the largest that its process tree held at a time, in bytes; 0 where nobody looked.
        cpu: seconds of a core, of all its processes.
    """

    seconds: float
    memory: int
    cpu: float = 0.0


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


def write_project(folder: Path, entry: str, code: str, specs: Mapping[str, Any], settings: str = "") -> Path:
    """An experiment as a user has it.

    Args:
        folder: where; made where it is missing.
        entry: "module:function".
        code: of the module.
        specs: the table's columns.
        settings: more lines of experiment.yml.
    """
    folder.mkdir(exist_ok=True)
    (folder / f"{entry.partition(':')[0]}.py").write_text(code)
    (folder / "experiment.yml").write_text(f"experiment: {entry}\nspecs: specs.csv\n{settings}")
    pl.DataFrame(specs).write_csv(folder / "specs.csv")
    return folder


def run(
    command: Sequence[str], *, cwd: Path | None = None, environ: dict[str, str] | None = None, watch: bool = True
) -> Usage:
    """Run a command to its end and watch its memory, unless that would take a good part of its time.

    Raises:
        RuntimeError: it failed.
    """
    began, used = time.perf_counter(), cpu_of_children()
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | (environ or {})
    with subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        peak = 0
        watched = psutil.Process(child.pid)
        if not watch:
            child.wait()
        while child.poll() is None:
            peak = max(peak, _tree_memory(watched))
            time.sleep(SAMPLE_SECONDS)
        seconds = time.perf_counter() - began
        assert child.stderr is not None
        told = child.stderr.read().decode()
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}:\n{told[-2000:]}")
    return Usage(seconds, peak, cpu_of_children() - used)


def cpu_of_children() -> float:
    """CPU seconds of all processes that this one has waited for, with theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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


def median_cpu(usages: Sequence[Usage]) -> float:
    """Median seconds of CPU."""
    return statistics.median(usage.cpu for usage in usages)


def ratio_cpu(ours: Sequence[Usage], theirs: Sequence[Usage]) -> float:
    """Median of the ratios of CPU, run by run."""
    return statistics.median(a.cpu / b.cpu for a, b in zip(ours, theirs, strict=True))


def ratio(ours: Sequence[Usage], theirs: Sequence[Usage]) -> float:
    """Median of the ratios, run by run."""
    return statistics.median(a.seconds / b.seconds for a, b in zip(ours, theirs, strict=True))


def report(name: str, rows: Sequence[Row]) -> None:
    """Keep the rows of one measurement as JSON: `bench.results_table` prints them."""
    RESULTS.mkdir(exist_ok=True)
    document = {"measurement": name, "machine": machine(), "rows": [asdict(row) | {"met": row.met} for row in rows]}
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """Versions, cores and load: what a figure means nothing without."""
    names = ("scythe-runner", "polars", "pyarrow", "pydantic", "joblib", "dask", "ray", "hyperqueue", "obstore")
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return {
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "versions": versions,
    }

"""Runs of `engine: shared` for tests: a project in a folder, allocates and workers as processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from scythe_cli.run.find import find
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from scythe_cli.run.run import Run

SCYTHE = str(Path(sys.executable).with_name("scythe"))
PATIENCE = 120.0
MODULE = '''
import os
import signal
import time
from pathlib import Path

import pandas as pd
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference

HERE = Path(__file__).parent


class In(ExperimentInputSpec):
    x: int
    seconds: float = 0.0
    do: str = ""


class Out(ExperimentOutputSpec):
    double: int
    who: int
    text: FileReference | None = None


@ExperimentRegistry.Register()
def work(input_spec: In, tempdir: Path) -> Out:
    time.sleep(input_spec.seconds)
    while input_spec.do == "wait" and not (HERE / "go").exists():
        time.sleep(0.01)
    if input_spec.do == "leave a file and fail":
        (tempdir / f"{worker()}.err").write_text(str(worker()))
        (tempdir / "eplusout.err").write_text(str(worker()))
        raise ValueError("as asked")
    if input_spec.do == "fail until go" and not (HERE / "go").exists():
        (tempdir / "eplusout.err").write_text(str(input_spec.x))
        raise ValueError("not yet")
    if input_spec.do == "fail":
        raise ValueError("as asked")
    if input_spec.do == "kill the worker":
        os.kill(worker(), signal.SIGKILL)
        time.sleep(60)
    path = tempdir / "a.txt"
    path.write_text(f"{input_spec.x} {worker()}")
    frame = pd.DataFrame({"value": [input_spec.x, worker()]})
    return Out(double=2 * input_spec.x, who=worker(), text=path, dataframes={"series": frame})


def worker() -> int:
    """The process of `scythe worker`: the parent of the one that forks the lanes."""
    parents = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
    return int(parents[1])
'''
FILE = """\
experiment: work:work
specs: specs.csv
name: work
engine: shared
run: {retries: 0, grace: 1s, flush: 200ms}
"""


HASTY = """
from scythe_cli.engines.shared import liveness
liveness.PULSE_SECONDS, liveness.STILL_SECONDS, liveness.DOUBT_SECONDS = 0.5, 4.0, 2.0
"""
ELSEWHERE = """
import datetime
import time

now = time.time
time.time = lambda: now() + {hours} * 3600


class Wrong(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(time.time(), tz)


datetime.datetime = Wrong
from scythe_cli.core import processes

processes.host = lambda: "elsewhere"
"""
"""A process of another machine, as far as others can see, whose clock is wrong by some hours."""


@dataclass
class Project:
    """A folder with an experiment, and the processes that were started in it."""

    folder: Path
    storage: str
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def write(self, rows: list[dict[str, Any]], settings: str = "") -> None:
        """Write the experiment's files."""
        (self.folder / "work.py").write_text(MODULE)
        (self.folder / "experiment.yml").write_text(f"{FILE}storage: {self.storage}\n{settings}")
        frame = pl.DataFrame(rows, schema={"x": pl.Int64, "seconds": pl.Float64, "do": pl.String})
        frame.fill_null("").write_csv(self.folder / "specs.csv")

    def scythe(self, *arguments: str, code: int = 0) -> str:
        """Run the command; its stderr and stdout."""
        done = subprocess.run([SCYTHE, *arguments], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stderr + done.stdout

    def worker(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a worker on the latest run."""
        return self._start([SCYTHE, "worker", "--run", "work", *arguments])

    def _start(self, command: list[str]) -> subprocess.Popen[str]:
        with (self.folder / f"worker-{len(self.processes)}.log").open("w") as log:
            started = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, text=True)
        self.processes.append(started)
        return started

    def hasty_worker(self, *arguments: str, before: str = "") -> subprocess.Popen[str]:
        """Start a worker that takes others for dead after a few seconds, and holds itself to the same.

        Args:
            arguments: of `scythe worker --run work`.
            before: statements that its process runs first.
        """
        code = f"{before}\n{HASTY}\nfrom scythe_cli.cli.app import main\nmain()"
        return self._start([sys.executable, "-c", code, "worker", "--run", "work", *arguments])

    def close(self) -> None:
        """End what was started."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    @property
    def logs(self) -> str:
        """What the workers have printed."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("worker-*.log")))

    @property
    def run(self) -> Run:
        """The latest run."""
        return find(open_store(self.storage), "work")

    def table(self, name: str) -> pl.DataFrame:
        """A final table."""
        return pl.read_parquet(self.run.store.read(f"final/{name}.pq"))

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait; shows the workers' output when it takes too long."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.logs
            time.sleep(0.05)

    def counts(self) -> tuple[int, int, int]:
        """Specs of the latest run, and how many of them succeeded and failed, as `scythe status` says."""
        found = json.loads(self.scythe("status", "work", "--json"))
        return found["total"], found["succeeded"], found["failed"]

    def wait_for_workers(self, code: int = 0) -> None:
        """Wait until all workers have ended, with one exit code."""
        for process in self.processes:
            assert process.wait(PATIENCE) == code, self.logs

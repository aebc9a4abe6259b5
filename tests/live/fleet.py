"""Workers and runs for the tests of the Hatchet engine: real `scythe worker` processes, the double or a real engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from hatchet_double import HatchetDouble, Settings
from signals import inherited

from scythe_cli.engines.generation.plan import read_plan
from scythe_cli.engines.generation.progress import GenerationProgress, Snapshot
from scythe_cli.engines.hatchet.client.engine import HatchetEngine
from scythe_cli.experiment import config, experiment
from scythe_cli.operations import allocate
from scythe_cli.preparation.prepare import prepare
from scythe_cli.run.engine import Work
from scythe_cli.run.run import Run
from scythe_cli.storage.open_store import open_store

HERE = Path(__file__).parent
FIELD = HERE / "field"
NAMES = ("one", "two", "three")
REAL = bool(os.environ.get("HATCHET_CLIENT_TOKEN"))
PATIENCE = 150.0 if REAL else 60.0
T = TypeVar("T")


def until(check: Callable[[], T], what: str, *, timeout: float = PATIENCE, state: Callable[[], str] = str) -> T:
    """Poll until something truthy comes back; past the deadline, fail with the last state."""
    deadline = time.monotonic() + timeout
    while not (found := check()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}\n{state()}"
        time.sleep(0.05)
    return found


@dataclass
class Fleet:
    """Workers of one engine, each a process group of its own."""

    folder: Path
    env: dict[str, str]
    double: HatchetDouble | None = None
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def storage(self) -> Path:
        return self.folder / "runs"

    def start(self, name: str, *arguments: str, slots: int = 2, target: str = "field:grow", cwd: Path = FIELD) -> None:
        """Start a worker and wait until the engine knows it."""
        self.launch(name, *arguments, slots=slots, target=target, cwd=cwd)
        self.wait(name)

    def launch(self, name: str, *arguments: str, slots: int = 2, target: str = "field:grow", cwd: Path = FIELD) -> None:
        command = [sys.executable, str(HERE / "hatchet_worker.py"), "--real" if REAL else "--quick", target]
        command += ["--name", name, "--slots", str(slots), "--storage", str(self.storage), *arguments]
        with (self.folder / f"{name}.log").open("ab") as log, inherited(signal.SIGHUP, signal.SIG_DFL):
            self.workers[name] = subprocess.Popen(
                command, cwd=cwd, env={**os.environ, **self.env}, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self, name: str) -> None:
        engine = HatchetEngine()
        until(lambda: name in {row.name for row in engine._api.workers()}, f"worker {name}", state=self.logs)

    def kill(self, name: str) -> None:
        """As an outage does: no handler runs."""
        process = self.workers.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def terminate(self, name: str) -> int:
        process = self.workers.pop(name)
        process.terminate()
        return process.wait(PATIENCE)

    def hang_up(self, name: str) -> int:
        """As a terminal that is closed does: all that the worker has in its group is told."""
        process = self.workers.pop(name)
        os.killpg(process.pid, signal.SIGHUP)
        return process.wait(PATIENCE)

    def complete(self) -> None:
        """The workers of `NAMES` and no others, whatever an earlier test left."""
        gone = [name for name in NAMES if name not in self.workers or self.workers[name].poll() is not None]
        for name in [*gone, *(set(self.workers) - set(NAMES))]:
            if name in self.workers:
                self.kill(name)
        for name in gone:
            self.launch(name, slots=1)
        for name in gone:
            self.wait(name)

    def revive(self) -> None:
        """Start again what ended, as a service manager does."""
        for name, process in list(self.workers.items()):
            if process.poll() is not None:
                self.launch(name, slots=1)

    def logs(self) -> str:
        found = "\n".join(f"--- {log.name}\n{log.read_text()[-2000:]}" for log in self.folder.glob("*.log"))
        return found + ("\n" + self.double.describe() if self.double else "")

    def stop(self) -> None:
        for name in list(self.workers):
            self.kill(name)


@contextmanager
def fleet(folder: Path, settings: Settings | None = None) -> Iterator[Fleet]:
    """The engine and its workers; connects this process as well. Everything ends with the block."""
    before = dict(os.environ)
    if REAL:
        found = Fleet(folder, {})
        try:
            yield found
        finally:
            found.stop()
        return
    with HatchetDouble(settings or Settings(lost_after=0.5)) as double:
        os.environ.update(double.env)
        found = Fleet(folder, double.env, double)
        try:
            yield found
        finally:
            found.stop()
            for name in double.env:
                os.environ.pop(name, None)
                if name in before:
                    os.environ[name] = before[name]


def begin(fleet: Fleet, specs: list[dict[str, Any]], *, engine: str = "hatchet", **settings: object) -> Work:
    """A new run of `field.grow`, claimed and written, not handed to an engine yet."""
    values = {"experiment": "field:grow", "storage": str(fleet.storage), "engine": engine}
    values |= {key.replace("__", "."): value for key, value in settings.items()}  # type: ignore[misc]
    found = experiment.load("field:grow", FIELD)
    loaded = config.from_values(values, folder=FIELD).with_name("grow")
    table = pl.DataFrame([{"seconds": 0.0, "diary": "", "does": "", **spec} for spec in specs])
    prepared = prepare(loaded, found, specs=table)
    return allocate.first_work(allocate.begin(prepared, open_store(fleet.storage)), prepared)


def plots(n: int, **common: object) -> list[dict[str, Any]]:
    """So many specs."""
    return [{"seed": at, **common} for at in range(n)]


def look(work: Work) -> Snapshot:
    """How far a run is."""
    plan = read_plan(open_store(work.run.store.address.removesuffix("/" + work.run.id)), work.run.id, work.generation)
    return GenerationProgress(plan).read()


def table(run: Run, name: str) -> pl.DataFrame:
    """One final table."""
    return pl.read_parquet(run.store.read(f"final/{name}.pq"))

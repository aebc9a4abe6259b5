"""Measures runs over a real Hatchet engine: `python -m bench.hatchet [--soak]`, with HATCHET_CLIENT_* set.

Starts workers of its own on this machine, in a folder of its own; leaves a table on stdout and nothing running.

    many     100,000 specs that do nothing, one worker of two lanes: specs a second, from the submit to the final tables
    wide     1,024 specs of 0.5 s on 32 lanes: seconds, against the ideal 16
    short    20,000 specs of 20 ms on one worker of 8 lanes: seconds, against the ideal 50
    deep     a tree of depth 4 on one worker of one lane
    deaths   two workers, one of them killed every 20 s for two minutes (--soak): specs lost
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from scythe_cli.engines.hatchet.client.engine import HatchetEngine
from scythe_cli.engines.local import LocalEngine
from scythe_cli.experiment import config, experiment
from scythe_cli.operations import allocate
from scythe_cli.operations.gather import gather
from scythe_cli.preparation.prepare import prepare
from scythe_cli.storage.open_store import open_store

MODULE = """
import time
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class Case(ExperimentInputSpec):
    x: float
    seconds: float = 0.0

class Answer(ExperimentOutputSpec):
    y: float

@ExperimentRegistry.Register()
def measured(input_spec: Case) -> Answer:
    if input_spec.seconds:
        time.sleep(input_spec.seconds)
    return Answer(y=input_spec.x ** 0.5)
"""
KILL_EVERY, KILL_FOR = 20.0, 120.0


class Bench:
    """A folder with the experiment and its runs, and the workers that serve it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "measured.py").write_text(MODULE)
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, slots: int) -> None:
        command = [sys.executable, "-m", "scythe_cli.cli.app", "worker", "measured:measured", "--name", name]
        command += ["--slots", str(slots), "--storage", str(self.folder / "runs")]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.workers[name] = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self, *names: str) -> None:
        engine = HatchetEngine()
        deadline = time.monotonic() + 60
        while not set(names) <= {row.name for row in engine._api.workers()}:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the workers {names} did not come")
            time.sleep(0.2)

    def kill(self, name: str) -> None:
        process = self.workers.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        for name in list(self.workers):
            self.kill(name)

    def work(self, n: int, seconds: float = 0.0, *, engine: str = "hatchet", **settings: Any) -> Any:
        values = {"experiment": "measured:measured", "storage": str(self.folder / "runs"), "engine": engine}
        values |= {key.replace("__", "."): value for key, value in settings.items()}
        found = experiment.load("measured:measured", self.folder)
        loaded = config.from_values(values, folder=self.folder).with_name("measured")
        table = pl.DataFrame({"x": [float(at) for at in range(n)], "seconds": [seconds] * n})
        prepared = prepare(loaded, found, specs=table)
        return allocate.first_work(allocate.begin(prepared, open_store(self.folder / "runs")), prepared)

    def run(self, n: int, seconds: float = 0.0, **settings: Any) -> tuple[float, Any]:
        """Seconds from the validation's start to the final tables, and the work."""
        began = time.monotonic()
        work = self.work(n, seconds, **settings)
        ended = HatchetEngine().submit(work).wait(lambda _: None)
        if ended is not None:
            raise RuntimeError(ended.detail)
        return time.monotonic() - began, work


def scalars(work: Any) -> pl.DataFrame:
    return pl.read_parquet(work.run.store.read("final/scalars.pq"))


def many(bench: Bench) -> None:
    n = 100_000
    bench.start("many", 2)
    bench.wait("many")
    seconds, work = bench.run(n)
    here = bench.work(n, engine="local")
    LocalEngine(2).submit(here).wait(lambda _: None)
    gather(here.run)
    own = ["experiment_id", "workflow_run_id", "root_workflow_run_id"]
    same = scalars(work).drop(own).equals(scalars(here).drop(own))
    print(
        f"many    {n:,} specs in {seconds:.1f} s: {n / seconds:,.0f} a second; tables equal the local engine's: {same}"
    )


def wide(bench: Bench) -> None:
    bench.start("wide", 32)
    bench.wait("wide")
    seconds, _ = bench.run(1024, 0.5)
    print(
        f"wide    1,024 specs of 0.5 s on one worker of 32 lanes: {seconds:.1f} s, {seconds / 16:.2f}x the ideal 16 s"
    )
    bench.stop()
    names = [f"wide{at}" for at in range(2)]
    for name in names:
        bench.start(name, 16)
    bench.wait(*names)
    seconds, _ = bench.run(1024, 0.5)
    print(f"wide    the same on two workers of 16 lanes: {seconds:.1f} s, {seconds / 16:.2f}x")


def short(bench: Bench) -> None:
    bench.start("short", 8)
    bench.wait("short")
    seconds, _ = bench.run(20_000, 0.02)
    print(f"short   20,000 specs of 20 ms on a worker of 8 lanes: {seconds:.1f} s, {seconds / 50:.2f}x the ideal 50 s")


def deep(bench: Bench) -> None:
    bench.start("deep", 1)
    bench.wait("deep")
    seconds, work = bench.run(320, run__leaf_size=5, tree__factor=2, tree__max_depth=4)
    print(f"deep    a tree of depth 4, 64 leaves, one lane: {seconds:.1f} s, {scalars(work).height} of 320 specs")


def deaths(bench: Bench) -> None:
    names = ["first", "second"]
    for name in names:
        bench.start(name, 2)
    bench.wait(*names)
    work = bench.work(1600, 0.4, run__flush=2)
    began = time.monotonic()
    ticket = HatchetEngine().submit(work)
    killed = 0

    def disturb(_: object) -> None:
        nonlocal killed
        if began + KILL_EVERY * (killed + 1) < time.monotonic() < began + KILL_FOR + 1:
            name = names[killed % 2]
            killed += 1
            bench.kill(name)
            bench.start(name, 2)

    ended = ticket.wait(disturb)
    rows = scalars(work).height if ended is None else 0
    print(
        f"deaths  {killed} kills in {KILL_FOR:g} s: {1600 - rows} of 1,600 specs lost, {time.monotonic() - began:.0f} s"
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--soak", action="store_true")
    parser.add_argument("only", nargs="*")
    given = parser.parse_args()
    chosen = [many, wide, short, deep, *([deaths] if given.soak else [])]
    for measure in chosen:
        if given.only and measure.__name__ not in given.only:
            continue
        with tempfile.TemporaryDirectory(prefix="scythe-bench-") as folder:
            bench = Bench(Path(folder))
            try:
                measure(bench)
            finally:
                bench.stop()


if __name__ == "__main__":
    main()

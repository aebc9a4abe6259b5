"""Runs with trouble in them: made, driven, killed, counted, and what they must not leave behind.

Takes specs and settings; leaves runs in a folder. `python faults.py` drives one in a process of its own, which a test
can kill.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from scythe_cli import errors
from scythe_cli.core import layout
from scythe_cli.core.events import ignore
from scythe_cli.core.row_ranges import Range
from scythe_cli.engines.local import LocalEngine, LocalTicket
from scythe_cli.experiment import config, experiment
from scythe_cli.lane.job import RUN_TAG
from scythe_cli.operations.gather import gather
from scythe_cli.run.engine import Ended, Work
from scythe_cli.run.run import Run, open_run
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TROUBLE = Path(__file__).parent / "trouble"
LANES = 2
DEADLINE = 60.0


def begin(
    storage: Path | str, specs: Sequence[dict[str, Any]] | pa.Table, *, function: str = "trouble:work", **settings: Any
) -> Run:
    """Validate, claim, write: a run that nobody has worked on. `settings` are those under `run`."""
    from scythe_cli.operations import allocate  # here, for a driver that does not need it starts in half the time
    from scythe_cli.preparation.prepare import prepare

    values = {"experiment": function, "storage": str(storage), "name": "t"}
    loaded = config.from_values(values | {f"run.{k}": v for k, v in settings.items()}, folder=TROUBLE)
    table = specs if isinstance(specs, pa.Table) else pa.Table.from_pylist(list(specs))
    prepared = prepare(loaded, experiment.load(function, TROUBLE), specs=table)
    return allocate.begin(prepared, open_store(str(storage)))


def first(run: Run) -> Work:
    """All of a run."""
    file = run.experiment_file()
    loaded = experiment.load(file.experiment, TROUBLE)
    return Work(run, loaded, file, [Range(0, run.total - 1)], generation=1)


def rest(run: Run, *, sets: Sequence[str] = (), failed: bool = True, missing: bool = True) -> Work:
    """What a resume runs."""
    from scythe_cli.operations import resume

    loaded = experiment.load(run.experiment_file().experiment, TROUBLE)
    return resume.resumed_work(run, loaded, resume.remaining(run, failed=failed, missing=missing), sets=sets)


def submit(work: Work, *, lanes: int = LANES) -> LocalTicket:
    """Hand work to the local engine; it is done by whoever waits for the ticket."""
    return LocalEngine(lanes).submit(work)


def drive(work: Work, *, lanes: int = LANES) -> Ended | None:
    """Have the local engine do work, here, and let the run go: a ticket keeps it until its tables are built."""
    with contextlib.closing(submit(work, lanes=lanes)) as ticket:
        return ticket.wait(ignore)


@dataclass
class Tables:
    """The final tables of a run, by sort_index.

    Attributes:
        good: rows of scalars.
        bad: rows of errors.
    """

    good: dict[int, dict[str, Any]]
    bad: dict[int, dict[str, Any]]

    @property
    def kinds(self) -> Counter[str]:
        """How many failures of each kind."""
        return Counter(row["kind"] for row in self.bad.values())


def tables(run: Run, *, partial: bool = False) -> Tables:
    """Gather a run and count: every spec once, in one table or the other."""
    report = gather(run, partial=partial)
    good, bad = (_rows(run, name) for name in (layout.SCALARS, layout.ERRORS))
    counted = Counter(row[layout.SORT_INDEX] for row in (*good, *bad))
    assert not [row for row, n in counted.items() if n > 1], "a spec stands twice in the tables"
    assert len(counted) + report.missing == run.total
    assert partial or len(counted) == run.total, f"{run.total - len(counted)} specs vanished"
    return Tables({row[layout.SORT_INDEX]: row for row in good}, {row[layout.SORT_INDEX]: row for row in bad})


def _rows(run: Run, name: str) -> list[dict[str, Any]]:
    data = run.store.read(layout.final(name))
    rows: list[dict[str, Any]] = pq.read_table(pa.BufferReader(data)).to_pylist()
    return rows


@dataclass
class Traces:
    """What must be gone after a run: processes, shared memory, temporary files.

    Attributes:
        folder: where all temporary files go; `TMPDIR` of everything.
        tag: the argument of `sleep` in what specs start, and in the names of what they share.
    """

    folder: Path
    tag: str = field(default_factory=lambda: f"{90000 + os.getpid() % 9000}.{time.monotonic_ns() % 1000000}")

    def processes(self) -> list[str]:
        """Processes that a run started, by their command line."""
        inside = f"{RUN_TAG}={self.folder}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes()
                tagged = any(part.startswith(inside) for part in (process / "environ").read_bytes().split(b"\0"))
                if tagged or self.tag.encode() in command.split(b"\0"):
                    found.append(f"{process.name}: {command[:200]!r}")
        return found

    def processes_of_specs(self) -> list[str]:
        """Those that specs started to stay."""
        return [path.name for path in Path("/proc").glob("[0-9]*") if self.tag.encode() in _command(path)]

    def check(self) -> None:
        """Nothing is left. Processes that were killed may take a moment to be gone."""
        wait_for(lambda: not self.processes(), self.processes, seconds=3.0)
        assert [str(path) for path in self.folder.rglob("*")] == []
        wait_for(lambda: not self.shared_memory(), self.shared_memory, seconds=10.0)

    def shared_memory(self) -> set[str]:
        """What specs left of it; other programs leave some too."""
        return {name for name in _shared_memory() if self.tag in name}


def _command(process: Path) -> list[bytes]:
    with contextlib.suppress(OSError):
        return (process / "cmdline").read_bytes().split(b"\0")
    return []


def _shared_memory() -> list[str]:
    """Segments, and the semaphores of multiprocessing."""
    folder = Path("/dev/shm")
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def wait_for(true: Callable[[], object], state: Callable[[], object] = str, *, seconds: float = DEADLINE) -> None:
    """Wait on a condition; in the end, show the last state seen."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"after {seconds} s: {state()}"
        time.sleep(0.02)


@contextlib.contextmanager
def later(true: Callable[[], object], act: Callable[[], object]) -> Iterator[None]:
    """While the block runs: wait on a condition, then act, once."""
    over = threading.Event()

    def watch() -> None:
        wait_for(lambda: over.is_set() or true())
        if not over.is_set():
            act()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def driver(run: Run, *arguments: str, lanes: int = LANES) -> Iterator[subprocess.Popen[str]]:
    """A process that works on a run: the first time, or with `--resume`."""
    command = [sys.executable, __file__, run.store.locate(""), str(lanes), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def result(process: subprocess.Popen[str], code: int = 0) -> str:
    """Wait for a driver to end with an exit code; what it said."""
    said, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == code, said
    return said


def main(address: str, lanes: str, *options: str) -> int:
    """What `scythe allocate` does with a run, without its manners."""
    storage, _, run_id = address.rpartition("/t/")
    run = open_run(open_store(storage), f"t/{run_id}")
    sets = [option for option in options if "=" in option]
    try:
        work = rest(run, sets=sets) if "--resume" in options else first(run)
        if not work.todo:
            return 0
        ticket = LocalEngine(int(lanes)).submit(work)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ticket.stop())
        ended = ticket.wait(ignore)
    except errors.ScytheError as exc:
        print(json.dumps({"error": exc.message, "type": type(exc).__name__}), flush=True)
        return int(exc.exit_code)
    if ended is not None:
        print(json.dumps({"ended": ended.reason, "detail": ended.detail}), flush=True)
        return 130 if ended.reason == "interrupted" else 5
    return 0


@contextlib.contextmanager
def temporary(folder: Path) -> Iterator[Traces]:
    """Have this process and those it starts keep their temporary files in a folder of the test's own."""
    folder.mkdir()
    before, default = os.environ.get("TMPDIR"), tempfile.tempdir
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    try:
        yield Traces(folder)
    finally:
        tempfile.tempdir = default
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

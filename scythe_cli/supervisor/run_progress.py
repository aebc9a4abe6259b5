"""One run, or one leaf of it, as its supervisor sees it: what is to be run, how far it is, where its outcomes go.

Takes a run's settings and a writer of parts; leaves what a lane must be told, and the blocks of specs as they are read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from scythe_cli.core import layout
from scythe_cli.core.clock import Clock
from scythe_cli.core.processes import host
from scythe_cli.lane.job import Job
from scythe_cli.run.parts import block_bytes, read_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from scythe_cli.core.units import MaxFailures
    from scythe_cli.run.engine import Work
    from scythe_cli.run.parts import PartWriter
    from scythe_cli.storage.base import Store

CANARY = 20
"""When the first so many finished specs all failed alike, the rest would too."""
KEPT_BLOCKS = 8


class Source(Protocol):
    """Where the rows come from."""

    def next(self, cost: float | None, lanes: int) -> tuple[RunWork, int, Sequence[int]] | None:
        """The next rows for a free lane: their run, block and numbers; None when there are none now.

        Args:
            cost: seconds a spec is seen to take, None before the first.
            lanes: lanes that share the work.
        """

    def exhausted(self) -> bool:
        """Whether there never will be more."""


@dataclass
class RunWork:
    """One run as its supervisor sees it.

    Attributes:
        job: what the lanes are told.
        store: rooted at the run.
        writer: takes the outcomes.
        schema: of the outcome parts.
        place: where the function is defined, for failures that have no traceback.
        timeout: seconds one attempt may take.
        memory: bytes one spec's process tree may hold.
        left_in_block: by block, the rows that are to run and have no outcome yet; counted by whoever makes the source.
        name: tells apart several that a supervisor has of one run: leaves. Each lies in one block.
        over: told once, when every row of a leaf has its outcome in the store or was given up, or what writing failed
            with. Called from any thread. Such a leaf never stops the supervisor.
        released: a leaf's rows are given up from here on; what runs may end until this moment, on the monotonic clock.
    """

    job: Job
    store: Store
    writer: PartWriter
    schema: pa.Schema
    place: str
    total: int
    max_failures: MaxFailures
    timeout: float | None = None
    memory: int | None = None
    done_before: int = 0
    failed_before: int = 0
    done: int = 0
    failed: int = 0
    canary: bool = False
    alike: dict[tuple[str, str, str], int] = field(default_factory=dict)
    cost: float | None = None
    blocks: dict[int, Future[bytes]] = field(default_factory=dict)
    sort_indexes: tuple[int, pa.ChunkedArray[Any]] | None = None
    left_in_block: dict[int, int] = field(default_factory=dict)
    name: str = ""
    over: Callable[[BaseException | None], None] | None = None
    released: float | None = None
    closed: bool = False

    @property
    def key(self) -> str:
        """What its supervisor knows it by."""
        return self.name or self.job.key

    def close(self, failure: BaseException | None = None) -> None:
        """A leaf is over: tell it, once."""
        if not self.closed and self.over is not None:
            self.closed = True
            self.over(failure)

    def block(self, number: int) -> Future[bytes]:
        """The parquet of one block's specs, once it is read; a few are kept. Nobody's clock waits for a store."""
        if number not in self.blocks:
            while len(self.blocks) > KEPT_BLOCKS:
                del self.blocks[next(iter(self.blocks))]
            self.blocks[number] = self.writer.threads.readers.submit(block_bytes, self.store, number)
        return self.blocks[number]

    def sort_index(self, row: int) -> int:
        """The sort_index of one row."""
        block = layout.block_of(row)
        if self.sort_indexes is None or self.sort_indexes[0] != block:
            file = pq.ParquetFile(pa.BufferReader(self.block(block).result()))
            self.sort_indexes = (block, file.read(columns=[layout.SORT_INDEX], use_threads=False).column(0))
        value = self.sort_indexes[1][row - block * layout.BLOCK].as_py()
        assert isinstance(value, int)  # noqa: S101 - the column's type, for the type checker
        return value


def run_work(work: Work, writer: PartWriter, folder: Path, *, worker: str | None = None) -> RunWork:
    """What a supervisor needs to know of a run; shared by all engines."""
    settings = work.file.run
    outbox = folder / "outbox"
    outbox.mkdir(exist_ok=True)
    job = Job(
        key=f"{work.run.id}#{work.generation}",
        experiment_id=work.run.id,
        root=work.run.store.locate(""),
        outbox=str(outbox),
        max_attempts=1 + settings.retries,
        worker=worker or host(),
        memory=settings.memory,
        since=Clock.time(),
    )
    return RunWork(
        job=job,
        store=work.run.store,
        writer=writer,
        schema=read_schema(work.run.store),
        place=work.run.manifest.place,
        total=work.run.total,
        max_failures=settings.max_failures,
        timeout=settings.timeout,
        memory=settings.memory,
        done_before=work.done,
        failed_before=work.failed,
        canary=work.generation == 1 and work.todo > 20 and not settings.max_failures.off,
    )

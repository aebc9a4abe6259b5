"""One run, or one leaf of a run, as its supervisor sees it.

Input: a run's settings and a writer of parts. Output: what a lane needs to know of the run, the blocks of
specs once they are read, and the count of finished specs.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from scythe_cli.core import layout
from scythe_cli.core.clock import Clock
from scythe_cli.core.processes import host
from scythe_cli.core.units import MaxFailures
from scythe_cli.lane.job import Job
from scythe_cli.run.parts import block_bytes, read_schema
from scythe_cli.supervisor.failed_folders import FailedFolders
from scythe_cli.supervisor.failure_limits import FailureLimits, has_canary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor, Future
    from pathlib import Path

    from scythe_cli.lane.messages import FailureSample
    from scythe_cli.run.engine import Ended, Work
    from scythe_cli.run.parts import PartWriter
    from scythe_cli.storage.base import Store

KEPT_BLOCKS = 8


class RowSource(Protocol):
    """Where the rows come from."""

    def next(self, cost: float | None, lanes: int) -> tuple[RunWork, int, Sequence[int]] | None:
        """The next rows for a free lane: their run, block and numbers; None when there are none now.

        Args:
            cost: seconds a spec is seen to take, None before the first.
            lanes: lanes that share the work.
        """

    def exhausted(self) -> bool:
        """Whether there never will be more."""


@dataclass(frozen=True)
class RunInfo:
    """What does not change while a run is worked on.

    Attributes:
        job: what the lanes need to know.
        store: rooted at the run.
        schema: of the outcome parts.
        place: where the function is defined, for failures that have no traceback.
        total: the run's rows.
        timeout: seconds one attempt may take.
        memory: bytes one spec's process tree may hold.
        done_before: outcomes of earlier generations.
        failed_before: how many of them failed.
        batch: most specs in one call, of a function of many.
    """

    job: Job
    store: Store
    schema: pa.Schema
    place: str
    total: int
    timeout: float | None = None
    memory: int | None = None
    done_before: int = 0
    failed_before: int = 0
    batch: int | None = None


class Blocks:
    """The blocks of a run's specs, read in the background; a few are kept."""

    def __init__(self, store: Store, readers: Executor) -> None:
        self._store = store
        self._readers = readers
        self._kept: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._sort_indexes: tuple[int, pa.ChunkedArray[Any]] | None = None

    def get(self, number: int) -> Future[bytes]:
        """The parquet of one block, once it is read. Nobody's clock waits for a store."""
        if number not in self._kept:
            while len(self._kept) > KEPT_BLOCKS:
                self._kept.popitem(last=False)
            self._kept[number] = self._readers.submit(block_bytes, self._store, number)
        return self._kept[number]

    def discard(self, number: int) -> None:
        """Read it again the next time: it could not be read."""
        self._kept.pop(number, None)

    def sort_index(self, row: int) -> int:
        """The sort_index of one row."""
        block = layout.block_of(row)
        if self._sort_indexes is None or self._sort_indexes[0] != block:
            file = pq.ParquetFile(pa.BufferReader(self.get(block).result()))
            self._sort_indexes = (block, file.read(columns=[layout.SORT_INDEX], use_threads=False).column(0))
        value = self._sort_indexes[1][row - block * layout.BLOCK].as_py()
        assert isinstance(value, int)  # noqa: S101 - the column's type, for the type checker
        return value


@dataclass(eq=False)
class RunWork:
    """One run, or one leaf of it, on its way through the lanes.

    Attributes:
        info: the run.
        writer: takes the outcomes.
        limits: when to stop for failures.
        left_in_block: by block, the rows that are to run and have no outcome yet; counted where the source is made.
        name: distinguishes several that a supervisor has of one run: leaves. Each is in one block.
        over: called once, when every row of a leaf has its outcome in the store or was released, or with what writing
            failed with. Called from any thread. Such a leaf never stops the supervisor.
        released: a leaf's rows are released from here on; what runs may end until this moment, on the monotonic clock.
        done: outcomes counted here.
        failed: how many of them failed.
        cost: seconds that a spec is seen to take.
        slowest: the most that specs of one batch have taken, on average.
    """

    info: RunInfo
    writer: PartWriter
    limits: FailureLimits
    left_in_block: dict[int, int] = field(default_factory=dict)
    name: str = ""
    over: Callable[[BaseException | None], None] | None = None
    released: float | None = None
    closed: bool = False
    done: int = 0
    failed: int = 0
    cost: float | None = None
    slowest: float = 0.0

    def __post_init__(self) -> None:
        self._blocks = Blocks(self.info.store, self.writer.threads.readers)

    def leaf(self, name: str, writer: PartWriter, *, block: int, rows: int, claim: int = 1) -> RunWork:
        """A leaf of this run: so many rows of a block. It shares the blocks that were read and no count."""
        info = (
            self.info
            if claim == 1
            else replace(self.info, job=replace(self.job, claim=claim, key=f"{self.job.key}.{claim}"))
        )
        leaf = RunWork(info, writer, FailureLimits(MaxFailures(), self.limits.canary), {block: rows}, name)
        leaf._blocks = self._blocks
        writer.keep_folder = self.writer.keep_folder
        return leaf

    @property
    def job(self) -> Job:
        """What the lanes need to know."""
        return self.info.job

    @property
    def key(self) -> str:
        """What its supervisor knows it by."""
        return self.name or self.info.job.key

    def close(self, failure: BaseException | None = None) -> None:
        """A leaf is over: report it, once."""
        if not self.closed and self.over is not None:
            self.closed = True
            self.over(failure)

    def block(self, number: int) -> Future[bytes]:
        """The parquet of one block's specs, once it is read."""
        return self._blocks.get(number)

    def discard_block(self, number: int) -> None:
        """Read a block again the next time."""
        self._blocks.discard(number)

    def sort_index(self, row: int) -> int:
        """The sort_index of one row."""
        return self._blocks.sort_index(row)

    def check_limits(self, samples: Sequence[FailureSample]) -> Ended | None:
        """Why the run should stop after these failures, if it should."""
        before = {"done_before": self.info.done_before, "failed_before": self.info.failed_before}
        return self.limits.check(samples, done=self.done, failed=self.failed, total=self.info.total, **before)

    def update_cost(self, seconds: float) -> None:
        """Count what a spec has taken; the last ones count most."""
        self.slowest = max(self.slowest, seconds)
        self.cost = seconds if self.cost is None else 0.7 * self.cost + 0.3 * seconds


def run_work(
    work: Work, writer: PartWriter, folder: Path, *, worker: str | None = None, claimed: bool = False
) -> RunWork:
    """What a supervisor needs to know of a run; shared by all engines.

    Args:
        work: the run.
        writer: takes the outcomes.
        folder: for temporary files.
        worker: its name; that of the machine unless given.
        claimed: whether workers claim rows, so that two of them may run the same spec.
    """
    settings = work.file.run
    outbox = folder / "outbox"
    outbox.mkdir(parents=True, exist_ok=True)
    if settings.keep_failed:
        writer.keep_folder = FailedFolders(work.run.store).keep
    job = Job(
        key=f"{work.run.id}#{work.generation}",
        experiment_id=work.run.id,
        root=work.run.store.locate(""),
        generation=work.generation,
        outbox=str(outbox),
        retries=settings.retries,
        nan_fails=settings.nan == "fail",
        keep_failed=settings.keep_failed,
        claimed=claimed,
        worker=worker or host(),
        memory=settings.memory,
        since=Clock.time(),
        allow_private=work.file.artifacts.allow_private,
        seed=settings.seed,
    )
    info = RunInfo(
        job=job,
        store=work.run.store,
        schema=read_schema(work.run.store),
        place=work.run.manifest.place,
        total=work.run.total,
        timeout=settings.timeout,
        memory=settings.memory,
        done_before=work.done,
        failed_before=work.failed,
        batch=work.experiment.options.batch,
    )
    canary = has_canary(work.generation, work.todo, settings.max_failures)
    return RunWork(info, writer, FailureLimits(settings.max_failures, canary))

"""The local engine: all of a run's rows on the lanes of this machine, without any server."""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.core.events import Notice
from scythe_cli.core.machine import cores, require_files, require_memory, thread_settings, threads_in
from scythe_cli.core.row_ranges import cut_at_blocks, write_ranges
from scythe_cli.engines.engine_activity import cancel_tasks
from scythe_cli.engines.generation import fence
from scythe_cli.errors import EngineError, StoreError
from scythe_cli.experiment.hatchet_workflow import WorkflowCall
from scythe_cli.lane.job import ForkServerConfig
from scythe_cli.order.longest_source import LongestSource
from scythe_cli.run import lease
from scythe_cli.run.engine import Ended, EndReason
from scythe_cli.run.generation import begin_generation
from scythe_cli.run.parts import PartWriter
from scythe_cli.supervisor.chunk import chunk_size
from scythe_cli.supervisor.pool import Pool
from scythe_cli.supervisor.run_progress import run_work
from scythe_cli.supervisor.scratch import scratch
from scythe_cli.supervisor.supervisor import Supervisor
from scythe_cli.timing.live import publish_counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scythe_cli.core.events import Listener
    from scythe_cli.core.row_ranges import Range
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.run.engine import Work
    from scythe_cli.supervisor.run_progress import RunWork

CANCEL_POLL_SECONDS = 2.0


class GuidedSource:
    """Hands out ranges that shrink as the end nears, so that the last ones are single specs.

    Args:
        run: the run the rows belong to.
        ranges: the rows, sorted.
        leaf_size: the most rows at a time, or "auto".
    """

    def __init__(self, run: RunWork, ranges: list[Range], *, leaf_size: int | str) -> None:
        self._run = run
        self._left = deque(cut_at_blocks(ranges))
        self._rows = sum(map(len, self._left))
        for one in self._left:
            block = layout.block_of(one.first)
            run.left_in_block[block] = run.left_in_block.get(block, 0) + len(one)
        self._most = layout.BLOCK if isinstance(leaf_size, str) else leaf_size
        self._batch: int | None = None

    def next(self, cost: float | None, lanes: int) -> tuple[RunWork, int, Sequence[int]] | None:
        """The next rows; see `RowSource`."""
        if not self._left:
            return None
        one = self._left.popleft()
        if self._run.info.batch is not None and self._batch is None:
            self._batch = min(self._run.info.batch, -(-self._rows // lanes))  # each lane has some of few rows
        size = min(len(one), self._most, chunk_size(cost, self._rows, lanes, batch=self._batch))
        rows = range(one.first, one.first + size)
        if size < len(one):
            self._left.appendleft(type(one)(one.first + size, one.last))
        self._rows -= size
        self._read_ahead(layout.block_of(one.first))
        return self._run, layout.block_of(one.first), rows

    def _read_ahead(self, block: int) -> None:
        """Have the next block's specs at hand when its turn comes."""
        for ahead in islice(self._left, 2):
            if (number := layout.block_of(ahead.first)) != block:
                self._run.block(number)

    def exhausted(self) -> bool:
        """Whether all rows were handed out."""
        return not self._left


def _source(work: Work, run: RunWork, listener: Listener) -> GuidedSource | LongestSource:
    """The rows of a run in the order that its settings ask for."""
    settings = work.file.run
    if settings.order == "longest":
        from scythe_cli.order.measured import longest_first

        rows = longest_first(work.run, work.experiment, work.ranges)
        if rows is not None:
            return LongestSource(run, rows, leaf_size=settings.leaf_size)
        listener(Notice("run.order is longest, and no spec has been measured: they run in the order of the table"))
    return GuidedSource(run, work.ranges, leaf_size=settings.leaf_size)


class ReadyPool:
    """A pool that may be started ahead of its work: the import of the user's module takes a while."""

    def __init__(self) -> None:
        self._pool: Pool | None = None
        self._stack = ExitStack()

    def pool(self, experiment: Experiment, *, lanes: int, fresh: bool) -> Pool:
        """The pool, started now unless it was; from the thread that will feed it, with which its processes die.

        Raises:
            EngineError: the system refuses its folder or its process.
        """
        if self._pool is None:
            try:
                folder = self._stack.enter_context(scratch())
                threads = thread_settings(lanes)
                config = ForkServerConfig(experiment.target, str(experiment.folder), str(folder), fresh, threads)
                self._pool = Pool(
                    config, size=1, check=partial(experiment.refuse_changed_code, experiment.modules_hash())
                )
            except OSError as exc:
                raise EngineError(f"cannot start the process that specs run in: {exc}") from exc
            self._stack.callback(self._pool.close)
        return self._pool

    def close(self) -> None:
        """End its processes and remove its folder; once is enough."""
        self._stack.close()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self.close()


class LocalTicket:
    """Work on this machine. It is done in the thread that waits."""

    def __init__(self, work: Work, lanes: int, ready: ReadyPool | None = None) -> None:
        self._work = work
        self._lanes = lanes
        self._ready = ready or ReadyPool()
        self._supervisor: Supervisor | None = None
        self._stops: list[tuple[EndReason, str]] = []
        self._held = ExitStack()
        self.link: str | None = None

    @property
    def workflow_run_id(self) -> str | None:
        """The run's root id: the local engine has none of its own."""
        return self._work.run.manifest.root_workflow_run_id

    def stop(self) -> None:
        """Ask for the end; the second time, at once."""
        self._ask_to_stop(EndReason.INTERRUPTED, "interrupted")

    def close(self) -> None:
        """Let the run go; see `Ticket`."""
        self._held.close()

    def _taken_over(self) -> None:
        self._ask_to_stop(EndReason.TAKEN_OVER, "another process took over this run after its lease had expired")

    def _ask_to_stop(self, reason: EndReason, detail: str) -> None:
        self._stops.append((reason, detail))
        supervisor = self._supervisor
        if supervisor is not None:
            supervisor.stop(reason, detail)

    def wait(self, listener: Listener) -> Ended | None:
        """Work through the rows; see `Ticket`."""
        work = self._work
        with self._ready, ExitStack() as stack:
            kept = stack.enter_context(ExitStack())
            kept.enter_context(lease.hold(work.run.store, self._taken_over))
            rows = write_ranges(work.ranges)
            threads = threads_in({**os.environ, **thread_settings(self._lanes)})
            begin_generation(work, engine="local", lanes=self._lanes, threads=threads, labels={}, rows=rows)
            writer = PartWriter(work.run.store, generation=work.generation, flush=work.file.run.flush)
            stack.callback(writer.close)
            pool = self._ready.pool(work.experiment, lanes=self._lanes, fresh=work.file.run.fresh_workers)
            stack.callback(self._ready.close)
            pool.size = min(self._lanes, max(1, work.todo))
            run = run_work(work, writer, Path(pool.scratch))
            source = _source(work, run, listener)
            counting = stack.enter_context(publish_counts(work.run, listener))
            self._supervisor = Supervisor(pool, source, listener=counting, grace=work.file.run.grace)
            stack.callback(self._forget)
            for reason, detail in self._stops:
                self._supervisor.stop(reason, detail)
            with _watching_for_cancel(work, self._supervisor):
                ended = self._supervisor.run()
            fence.end_generation(
                work.run, work.generation, ended.reason if ended else EndReason.DONE, ended.detail if ended else ""
            )
            if ended is None:
                self._held = kept.pop_all()  # until the tables are built: nobody else may begin meanwhile
            elif isinstance(work.experiment.function, WorkflowCall):
                with suppress(EngineError):  # away, as it may be; the workflows' own timeouts end what nobody waits for
                    cancel_tasks(work.run)
        return ended

    def _forget(self) -> None:
        self._supervisor = None


@contextmanager
def _watching_for_cancel(work: Work, supervisor: Supervisor) -> Iterator[None]:
    """Look now and then whether this generation may still work, away from the loop that must not wait."""
    finished = threading.Event()

    def watch() -> None:
        while not finished.wait(CANCEL_POLL_SECONDS):
            try:
                over = fence.why_over(work.run.store, work.generation)
            except StoreError:
                continue
            if over is not None:
                supervisor.stop(over.reason, over.detail)
                return

    thread = threading.Thread(target=watch, daemon=True, name="scythe-cancel")
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


class LocalEngine:
    """Runs on this machine's lanes.

    Args:
        lanes: processes; the machine's cores unless given.
        fresh: have each of them import the user's module by itself.

    Raises:
        EngineError: a limit of the shell is too low for so many.
    """

    def __init__(self, lanes: int | None = None, *, fresh: bool = False) -> None:
        self.lanes = lanes or cores()
        require_memory()
        require_files(self.lanes)
        self._fresh = fresh
        self._ready: ReadyPool | None = None

    def submit(self, work: Work) -> LocalTicket:
        """Take on work; it is done when the ticket is waited for."""
        ready, self._ready = self._ready, None
        return LocalTicket(work, self.lanes, ready)

    @contextmanager
    def getting_ready(self, experiment: Experiment) -> Iterator[None]:
        """While the block lasts, the user's module is imported for the work that is to be submitted and waited for."""
        self._ready = ready = ReadyPool()
        with ready:
            with suppress(EngineError):  # it fails again in `wait`, which reports it
                ready.pool(experiment, lanes=self.lanes, fresh=self._fresh)
            yield

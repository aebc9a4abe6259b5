"""The lanes of one experiment on a worker: leaves of any run wait for a free lane and end when their rows are stored.

Input: leaves, from any thread. Output: their outcomes in their runs. One thread supervises the lanes of one experiment.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from scythe_cli.core import layout, processes, yaml_document
from scythe_cli.core.events import ignore
from scythe_cli.core.machine import thread_settings, threads_in
from scythe_cli.core.row_ranges import Range, within
from scythe_cli.engines.generation.leaf_queue import Leaf, LeafQueue
from scythe_cli.errors import EngineError, KeyExists
from scythe_cli.lane.job import ForkServerConfig
from scythe_cli.run.parts import PartThreads, PartWriter
from scythe_cli.supervisor.chunk import CHUNK_SECONDS
from scythe_cli.supervisor.pool import Pool
from scythe_cli.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scythe_cli.engines.generation.lane_budget import LaneBudget
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.experiment.settings import RunSettings
    from scythe_cli.supervisor.run_progress import RunWork


KEPT_RUNS = 8


class LeafRunner:
    """The lanes of one experiment, supervised by a thread of their own.

    Args:
        experiment: the loaded experiment.
        size: lanes.
        budget: shared with the worker's other experiments.
        folder: for temporary files.
        threads: that write parts.
    """

    def __init__(
        self, experiment: Experiment, size: int, *, budget: LaneBudget, folder: Path, threads: PartThreads
    ) -> None:
        self.experiment = experiment
        self.size = size
        self.queue = LeafQueue()
        self.failure: BaseException | None = None
        self._budget = budget
        self._folder = folder
        self.threads = threads
        self._bases: OrderedDict[tuple[str, int], RunWork] = OrderedDict()
        self._active: set[Leaf] = set()
        self._names = 0
        self._pool: Pool | None = None
        self._supervisor: Supervisor | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name=f"scythe-lanes-{experiment.name}", daemon=True)
        self._thread.start()

    def _supervise(self) -> None:
        """Run the lanes until the queue is closed. The thread starts them: on Linux they die with it."""
        threads = thread_settings(self.size)
        config = ForkServerConfig(
            self.experiment.target, str(self.experiment.folder), str(self._folder), environment=threads
        )
        try:
            with ExitStack() as stack:
                check = partial(self.experiment.refuse_changed_code, self.experiment.modules_hash())
                self._pool = pool = Pool(config, self.size, check=check)
                stack.callback(pool.close)
                self._supervisor = Supervisor(pool, self.queue, listener=ignore, grace=0.0, allowance=self._may)
                self._ready.set()
                self._supervisor.run()
        except BaseException as exc:  # noqa: BLE001 - every leaf and the worker get it, and the worker ends
            self.failure = exc
        finally:
            self._ready.set()
            why = self.failure or EngineError("the lanes are closed")
            for leaf in list(self._active):
                leaf.work.close(why)

    def _may(self, busy: int, more: int) -> int:
        return self._budget.ask(self, busy, more, wants=bool(self._active))

    def base(self, key: tuple[str, int], make: Callable[[], RunWork]) -> RunWork:
        """What the leaves of a run share, made once; a few runs are kept. Called by one leaf at a time."""
        if key not in self._bases:
            self._bases[key] = made = make()
            self._record(made, generation=key[1])
            while len(self._bases) > KEPT_RUNS:
                self._bases.popitem(last=False)
        self._bases.move_to_end(key)
        return self._bases[key]

    def _record(self, base: RunWork, *, generation: int) -> None:
        """Keep with the run what this worker runs it with, once for each generation."""
        worker = base.info.job.worker
        note = {
            "worker": worker,
            "host": processes.host(),
            "pid": os.getpid(),
            "lanes": self.size,
            "threads": threads_in({**os.environ, **thread_settings(self.size)}),
        }
        with suppress(KeyExists):
            text = yaml_document.write(note)
            base.info.store.write(layout.worker_note(generation, worker), text.encode(), new=True)

    @property
    def idle(self) -> bool:
        """Whether no leaf is here."""
        return not self._active

    @property
    def has_imported(self) -> bool:
        """Whether the lanes have the user's module, so that rows would begin at once."""
        return self._pool is not None and self._pool.imported

    @property
    def running(self) -> int:
        """About how many specs run."""
        return min(self.size, sum(leaf.rows - leaf.left - leaf.work.done for leaf in list(self._active)))

    @property
    def longest_grace(self) -> float:
        """Seconds that specs which run now may continue after a stop request."""
        return max((leaf.grace for leaf in list(self._active)), default=0.0)

    @property
    def needs_work(self) -> bool:
        """Whether a lane may soon be without work."""
        seconds = self.queue.seconds()
        return self.queue.rows() < self.size if seconds is None else seconds / self.size < CHUNK_SECONDS

    def begin(
        self,
        base: RunWork,
        one: Range,
        todo: list[Range],
        *,
        generation: int,
        settings: RunSettings,
        series: int,
        claim: int = 1,
    ) -> Leaf:
        """Put a leaf in the queue.

        Args:
            base: what its run's leaves share.
            one: the leaf's stretch.
            todo: the rows of it to run, at least one.
            generation: of the run.
            settings: of the run.
            series: distinguishes its parts from those of another worker with the same rows.
            claim: how often the rows were claimed; distinguishes its files likewise.
        """
        rows = within(todo, one)
        n = sum(map(len, rows))
        self._names += 1
        writer = PartWriter(
            base.info.store, generation=generation, flush=settings.flush, series=series, threads=self.threads
        )
        name = f"{base.job.key}:{one}:{self._names}"
        work = base.leaf(name, writer, block=layout.block_of(one.first), rows=n, claim=claim)
        leaf = Leaf(work, n, deque(rows), grace=settings.grace)
        work.over = lambda failure: self._over(leaf, failure)
        self._active.add(leaf)
        self._ready.wait()
        if self.failure is not None:
            work.close(self.failure)
            return leaf
        self.queue.add(leaf)
        if self._supervisor is not None:
            self._supervisor.wake()
        return leaf

    def _over(self, leaf: Leaf, failure: BaseException | None) -> None:
        self._active.discard(leaf)
        if not self._active:  # a worker of many runs would keep the most that one of them needed
            pa.default_memory_pool().release_unused()
            processes.give_memory_back()
        if failure is None:
            leaf.over.set_result(None)
        else:
            leaf.over.set_exception(failure)

    def cut(self, leaf: Leaf, keep: int) -> list[Range]:
        """Take back the rows of a leaf that wait, but the first `keep`. They get no outcome here."""
        rest = self.queue.cut(leaf, keep)
        self._release_rows(leaf, sum(map(len, rest)), None)
        return rest

    def withdraw(self, leaf: Leaf, *, grace: float) -> None:
        """Begin no more rows of a leaf; what runs may end within the grace time. Then `leaf.over` is set."""
        rest = self.queue.cut(leaf, 0)
        self._release_rows(leaf, sum(map(len, rest)), grace)

    def _release_rows(self, leaf: Leaf, rows: int, grace: float | None) -> None:
        if self._supervisor is not None:
            self._supervisor.release_rows(leaf.work, rows, grace=grace)

    def close(self) -> None:
        """End the lanes when their leaves are over."""
        self.queue.close()
        self._ready.wait()
        self._thread.join()

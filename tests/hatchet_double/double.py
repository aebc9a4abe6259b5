"""HatchetDouble: the engine in a thread of the test process, its two servers on free loopback ports."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Self, TypeVar

from .durable import Entry
from .engine import Engine
from .events_service import LogLine
from .records import Run, Task, Worker
from .rpc import Access
from .servers import Servers
from .settings import Settings
from .trouble import Trouble

T = TypeVar("T")
PULSE = 0.05
START_TIMEOUT = 30.0


class HatchetDouble:
    """A context manager; `env` connects an unmodified SDK, the properties are snapshots of what the engine knows.

    Example:
        with HatchetDouble(Settings(refill_interval=1.0)) as engine:
            subprocess.Popen(worker, env={**os.environ, **engine.env})
            engine.wait(lambda: len(engine.workers) == 1, "the worker")
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.trouble = Trouble()
        self.log_lines: list[LogLine] = []
        self.env: dict[str, str] = {}
        self._access = Access()
        self._engine: Engine
        self._loop: asyncio.AbstractEventLoop
        self._servers: Servers
        self._stop: asyncio.Event
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="hatchet-double", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(START_TIMEOUT):
            raise TimeoutError("the Hatchet double did not start")
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    # -- inspection ----------------------------------------------------------------------------------------------

    @property
    def runs(self) -> list[Run]:
        """All runs, in the order of their creation."""
        return self._ask(lambda: [_snapshot(run) for run in self._engine.runs.values()])

    @property
    def tasks(self) -> list[Task]:
        """All tasks, in the order of their creation."""
        return self._ask(lambda: [copy.copy(task) for task in self._engine.tasks.values()])

    @property
    def workers(self) -> list[Worker]:
        """All workers that ever registered; `connected` tells the living."""
        return self._ask(lambda: [copy.copy(worker) for worker in self._engine.fleet.workers.values()])

    @property
    def calls(self) -> Counter[str]:
        """How often each method (BulkTriggerWorkflow) and route (GET /api/v1/...) was called."""
        return self._access.calls.copy()

    def run(self, run_id: str) -> Run:
        return self._ask(lambda: _snapshot(self._engine.runs[run_id]))

    def durable_nodes(self, task_id: str) -> list[Entry]:
        """The log of a durable task: what it spawned, slept for and remembered; empty before its first node."""

        def entries() -> list[Entry]:
            log = self._engine.durable.get(task_id)
            return [copy.copy(entry) for entry in log.entries.values()] if log else []

        return self._ask(entries)

    def wait(self, until: Callable[[], T], what: str, *, timeout: float = 60.0) -> T:
        """Poll until something truthy comes back, and return it; past the deadline, fail with the state seen."""
        deadline = time.monotonic() + timeout
        while not (found := until()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout:g} s: {what}\n{self.describe()}")
            time.sleep(PULSE)
        return found

    def describe(self) -> str:
        """One line for each worker and task."""
        lines = [f"worker {w.name}: connected={w.connected} free={w.free} labels={w.labels}" for w in self.workers]
        for task in self.tasks:
            lines.append(f"task {task.spec.name} {task.status} retry={task.retry_count} error={task.error[:200]!r}")
        return "\n".join(lines)

    # -- trouble -------------------------------------------------------------------------------------------------

    def forget(self, run_id: str) -> None:
        """Lose a run: nobody finds it any more, but its child key still leads to its id."""
        self._ask(lambda: self._engine.forget(run_id))

    @contextlib.contextmanager
    def unreachable(self) -> Iterator[None]:
        """Both ports refuse connections, open streams break; what the engine knows stays."""
        self._await(self._servers.stop())
        try:
            yield
        finally:
            self._await(self._servers.start())
            self._ask(self._engine.fleet.spare)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Both ports take connections, and nothing answers: an engine that was stopped with SIGSTOP."""
        thaw, still = threading.Event(), threading.Event()

        def stand_still() -> None:
            still.set()
            thaw.wait()

        self._loop.call_soon_threadsafe(stand_still)
        still.wait(START_TIMEOUT)
        try:
            yield
        finally:
            thaw.set()
            self._ask(self._engine.fleet.spare)

    # -- the thread ----------------------------------------------------------------------------------------------

    def _ask(self, question: Callable[[], T]) -> T:
        async def answer() -> T:
            return question()

        return self._await(answer())

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_TIMEOUT)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:
            self._failure = failure
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(_quiet_poller)
        self._engine = Engine(self.settings, self.trouble)
        self._servers = Servers(self._engine, self._access, self.log_lines)
        await self._servers.start()
        self.env = {"HATCHET_CLIENT_TOKEN": self._access.token, "HATCHET_CLIENT_TLS_STRATEGY": "none"}
        pulse = asyncio.create_task(self._pulse())
        self._ready.set()
        await self._stop.wait()
        pulse.cancel()
        await self._servers.stop()

    async def _pulse(self) -> None:
        """The engine's heart: refill slots when their time comes, look for dead workers."""
        refill_at = self._loop.time()
        while True:
            await asyncio.sleep(PULSE)
            if self.settings.refill_interval and self._loop.time() >= refill_at:
                refill_at = self._loop.time() + self.settings.refill_interval
                self._engine.fleet.refill()
            if self._servers.up:
                self._engine.check_workers()
            self._engine.wake()


def _snapshot(run: Run) -> Run:
    return dataclasses.replace(run, tasks=[copy.copy(task) for task in run.tasks])


def _quiet_poller(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """With event loops in two threads, gRPC's shared poller wakes both and one reads nothing: harmless (grpc#25364)."""
    if not isinstance(context.get("exception"), BlockingIOError):
        loop.default_exception_handler(context)

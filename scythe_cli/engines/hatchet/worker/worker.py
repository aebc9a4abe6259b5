"""A worker: serves the tasks of its experiments to a Hatchet engine until it is asked to leave.

Input: experiments and a storage. Output: outcomes of the rows that it gets. At the first stop request it begins nothing
new, lets running specs end within their grace time, hands back the rest, and goes; asked twice, it goes at once.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scythe_cli.core import signals
from scythe_cli.core.events import Draining, LeafFinished, Notice, WorkerReady, ignore
from scythe_cli.core.machine import cores
from scythe_cli.engines.generation.lane_budget import LaneBudget
from scythe_cli.engines.generation.leaf_runner import LeafRunner
from scythe_cli.engines.hatchet import embedded
from scythe_cli.engines.hatchet.connection import connect_and_check
from scythe_cli.engines.hatchet.labels import CODE, FAN, LANES, STORAGE, STORAGE_AT, storage_label
from scythe_cli.engines.hatchet.worker.declarations import fan_tasks, leaf_task
from scythe_cli.engines.hatchet.worker.worker_context import WorkerContext
from scythe_cli.engines.hatchet.worker.worker_settings import WorkerSettings
from scythe_cli.engines.hatchet.worker.workflow_process import WorkflowProcessSettings, workflow_process
from scythe_cli.errors import EngineError, ExitCode, InputError, StoreError
from scythe_cli.experiment import config, experiment
from scythe_cli.experiment.registry import TASK_PREFIX, ExperimentRegistry
from scythe_cli.run.parts import PartThreads
from scythe_cli.storage.open_store import open_store
from scythe_cli.supervisor.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from types import FrameType

    from hatchet_sdk import Hatchet

    from scythe_cli.core.events import Event, Listener
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.storage.base import Store

REGISTER_SECONDS, REGISTER_POLL_SECONDS = 15.0, 0.3
PREFETCH, LEAST_SLOTS = 3, 32
"""Hatchet slots a lane, and at least: the engine refills a slot only once a second, so leaves wait here for a lane."""


def find_experiments(
    targets: Sequence[str], folder: Path, *, storage: str | None = None
) -> tuple[list[Experiment], str | None]:
    """What a worker was started with: experiment files, module:function targets, or modules.

    Args:
        targets: those.
        folder: where modules and functions are looked for.
        storage: the storage where the files' own do not matter.

    Returns:
        The experiments, and the storage of the first experiment file.

    Raises:
        InputError: something is not there, two experiments share a name, or two files have different storages.
    """
    files = {target: config.load(target) for target in targets if target.endswith((".yml", ".yaml"))}
    storages = {loaded.file.storage: target for target, loaded in files.items()}
    if len(storages) > 1 and storage is None:
        message = " and ".join(f"{target} has {address}" for address, target in list(storages.items())[:2])
        raise InputError(
            f"a worker serves one storage, and {message}",
            hint="start a worker for each, or give the storage of both: --storage S",
        )
    found: dict[str, Experiment] = {}
    for target in targets:
        if target in files:
            loaded = files[target]
            one = experiment.load(loaded.file.experiment, loaded.folder, place=loaded.place("experiment"))
            some = [one.including(loaded.file.code.include)]
        elif ":" in target:
            some = [experiment.load(target, folder)]
        else:
            some = experiment.load_all([target], folder)
        for one in some:
            other = found.setdefault(one.name, one)
            if other.function is not one.function:
                raise InputError(f"two experiments are called {one.name!r}, in {other.file} and {one.file}")
    return list(found.values()), next(iter(storages), None)


def look_at_storage(address: str) -> str | None:
    """See that a storage answers; returns a warning where it is a folder that is not there yet.

    Raises:
        StoreError: a bucket is missing or refuses, or something else is where the folder should be.
    """
    open_store(address).children()
    if "://" in address:
        return None
    path = Path(address)
    there = next(one for one in (path, *path.parents) if os.path.lexists(one))
    if not there.is_dir():
        raise StoreError(f"{address} cannot be the folder of runs: {there} is not a folder")
    missing = f"{address} is not there yet: if runs are on a disk that other machines share, it is not mounted here"
    return None if there == path else missing


def serve_registered(settings: WorkerSettings) -> None:
    """Serve what `ExperimentRegistry` holds until stopped; `ScytheWorkerConfig(...).start()`."""
    serve([experiment.from_function(found) for found in experiment.registered()], settings)


def serve(
    experiments: Sequence[Experiment],
    settings: WorkerSettings,
    *,
    storage: str | None = None,
    listener: Listener = ignore,
) -> None:
    """Serve until stopped; ends the process's main thread's work, never returns while connected.

    Args:
        experiments: whose leaves to run.
        settings: how.
        storage: the storage where neither the settings nor the environment give one.
        listener: gets the events.

    Raises:
        EngineError: the engine does not answer or refuses, or the token is missing.
        StoreError: the storage does not answer.
    """
    if "leaf" in settings.roles and not experiments and not settings.workflows:
        raise InputError("there is no experiment to serve", hint="scythe worker experiment.yml")
    address = settings.storage or storage or config.find_storage()
    if (warning := look_at_storage(address)) is not None:
        listener(Notice(warning))
    with ExitStack() as stack:
        if settings.embedded:
            joined = stack.enter_context(embedded.running())
            if joined is not None:
                listener(Notice(f"joined the embedded engine of process {joined}; it ends when that process ends"))
        hatchet = connect_and_check(patient=True)
        _Worker(hatchet, open_store(address, patient=True), experiments, settings, listener, stack).run()


class _Worker:
    def __init__(
        self,
        hatchet: Hatchet,
        storage: Store,
        experiments: Sequence[Experiment],
        settings: WorkerSettings,
        listener: Listener,
        stack: ExitStack,
    ) -> None:
        self._hatchet = hatchet
        self._settings = settings
        self._listener = listener
        self._early: list[Event] | None = []
        self._emitting = threading.Lock()
        self._experiments = list(experiments) if "leaf" in settings.roles else []
        self._slots = settings.slots or cores()
        folder = stack.enter_context(scratch())
        threads = PartThreads()
        stack.callback(threads.close)
        budget = LaneBudget(self._slots)
        runners = {
            _task_name(one): LeafRunner(one, self._slots, budget=budget, folder=folder, threads=threads)
            for one in self._experiments
        }
        for runner in runners.values():
            stack.callback(runner.close)
        name = settings.name_or_machine
        self._workflow_process: subprocess.Popen[bytes] | None = None
        included = ExperimentRegistry.included() if "leaf" in settings.roles else []
        if workflows := [*included, *(found for found in settings.workflows if found not in included)]:
            targets = [(target, str(where)) for target, where in map(experiment.target_of, workflows)]
            labels = {**(settings.workflow_labels or settings.labels or {}), LANES: str(self._slots)}
            process = WorkflowProcessSettings(targets, f"{name}-workflows", self._slots, labels)
            self._workflow_process = stack.enter_context(workflow_process(process))
        self._context = WorkerContext(
            hatchet=hatchet,
            storage=storage,
            name=name,
            folder=folder,
            runners=runners,
            any_code=settings.any_code,
            listener=self._emit,
        )

    def run(self) -> None:
        """Connect and serve. Comes back when the worker has left the engine."""
        context, hatchet = self._context, self._hatchet
        tasks = [leaf_task(hatchet, context, name) for name in context.runners]
        if "fan" in self._settings.roles:
            tasks += fan_tasks(hatchet, context)
        context.gates.update({name: asyncio.Lock() for name in context.runners})
        with warnings.catch_warnings(), signals.ignore_sighup_while_spawning():
            warnings.simplefilter("ignore")
            worker = hatchet.worker(
                context.name,
                slots=max(LEAST_SLOTS, PREFETCH * self._slots),
                durable_slots=self._settings.durable_slots,
                labels=self._labels(),
                workflows=tasks,
                lifespan=_sparing_the_listener,
            )
        self._take_signals()
        before = {row.metadata.id for row in context.api.workers() if row.name == context.name}
        threading.Thread(target=self._watch_lanes, daemon=True, name="scythe-watch").start()
        threading.Thread(target=self._announce, args=(before,), daemon=True, name="scythe-announce").start()
        try:
            worker.start()
        except SystemExit as exc:
            if exc.code:
                raise EngineError("the engine refused this worker; its message is above") from None

    def _emit(self, event: Event) -> None:
        """Pass an event on; what leaves do before the worker has said that it serves waits for that."""
        with self._emitting:
            if self._early is None or not isinstance(event, LeafFinished):
                self._listener(event)
            else:
                self._early.append(event)

    def _announce(self, before: set[str]) -> None:
        """Say that this worker serves, once the engine knows it; `before` are others of its name that it knew."""
        context, began, warned = self._context, time.monotonic(), False
        while context.draining is None:
            with suppress(EngineError):
                if {row.metadata.id for row in context.api.workers() if row.name == context.name} - before:
                    break
            if not warned and time.monotonic() - began > REGISTER_SECONDS:
                warned = True
                context.warn(f"Hatchet has not registered this worker after {REGISTER_SECONDS:g} s; still trying")
            time.sleep(REGISTER_POLL_SECONDS)
        else:
            return
        self._listener(
            WorkerReady(
                name=context.name,
                engine=self._hatchet.config.server_url,
                storage=context.storage.locate(""),
                experiments=[one.name for one in self._experiments],
                lanes=self._slots,
                roles=sorted(self._settings.roles),
            )
        )
        with self._emitting:
            early, self._early = self._early or [], None
            for event in early:
                self._listener(event)

    def _labels(self) -> dict[str, str | int]:
        """Strings only: for the engine, a label that is a number differs from one that is text."""
        given = dict(self._settings.labels or {})
        address = given.pop(STORAGE_AT, None) or self._context.storage.locate("")
        own: dict[str, str | int] = {
            LANES: str(self._slots),
            STORAGE: storage_label(address),
            STORAGE_AT: address.rstrip("/"),
        }
        if "fan" in self._settings.roles:
            own[FAN] = "true"
        for one in self._experiments:
            own[f"{CODE}_{one.name}".lower()] = "any" if self._settings.any_code else one.source_hash[:12]
        return own | dict(given)

    def _take_signals(self) -> None:
        """The SDK's own handlers drain; ours say since when, and make the second signal final."""
        drain: Any = signal.getsignal(signal.SIGTERM)
        for number in signals.stop_signals_not_ignored():

            def handle(number: int, frame: FrameType | None) -> None:
                signals.on_stop_signal(number)
                if self._context.draining is not None:
                    self._leave_now()
                self._context.draining = time.monotonic()
                runners = self._context.runners.values()
                grace = max((runner.longest_grace for runner in runners), default=0.0)
                self._listener(Draining(sum(runner.running for runner in runners), grace))
                drain(number, frame)

            signal.signal(number, handle)

    @staticmethod
    def _leave_now() -> None:
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(ExitCode.INTERRUPTED)  # lanes die with this process

    def _watch_lanes(self) -> None:
        """If the lanes of a worker cannot be started, the worker ends, so that the one who started it sees it."""
        while True:
            for runner in self._context.runners.values():
                if runner.failure is not None:
                    self._give_up(f"the worker processes of {runner.experiment.name} ended: {runner.failure}")
            process = self._workflow_process
            if process is not None and process.poll() is not None and self._context.draining is None:
                how = signals.describe_status(process.returncode)
                self._give_up(f"the process that serves workflows ended with {how}")
            time.sleep(1.0)

    def _give_up(self, why: str) -> None:
        self._listener(Notice(why))
        sys.stderr.flush()
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(ExitCode.BUG)


async def _sparing_the_listener() -> AsyncGenerator[None, None]:
    """Begun by the SDK right before it starts a process of its own, which a worker that drains still needs."""
    with ExitStack() as stack:
        stack.enter_context(signals.ignore_sighup_while_spawning())
        asyncio.get_running_loop().call_soon(stack.pop_all().close)
    yield


def _task_name(one: Experiment) -> str:
    return f"{TASK_PREFIX}{one.name}"

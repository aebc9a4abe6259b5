"""A worker: serves the tasks of its experiments to a Hatchet engine until it is asked to leave.

Takes experiments and a storage; leaves outcomes in the runs it is given work of. Asked once, it begins nothing new,
lets running specs end within their grace time, hands back the rest, and goes; asked twice, it goes at once.
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
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scythe_cli.core import processes, signals
from scythe_cli.core.events import Draining, Notice, WorkerReady, ignore
from scythe_cli.core.processes import cores
from scythe_cli.engines.hatchet import embedded
from scythe_cli.engines.hatchet.connection import Api, connect
from scythe_cli.engines.hatchet.labels import CODE, FAN, LANES, STORAGE, storage_label
from scythe_cli.engines.hatchet.worker.declarations import fan_tasks, leaf_task
from scythe_cli.engines.hatchet.worker.lane_budget import LaneBudget
from scythe_cli.engines.hatchet.worker.leaf_runner import LeafRunner
from scythe_cli.engines.hatchet.worker.worker_context import WorkerContext
from scythe_cli.engines.hatchet.worker.worker_settings import Role, WorkerSettings, machine_name
from scythe_cli.engines.hatchet.worker.workflow_process import WorkflowProcessSettings, workflow_process
from scythe_cli.errors import ConfigError, EngineError, ExitCode, InputError
from scythe_cli.experiment import config, experiment
from scythe_cli.experiment.registry import ExperimentRegistry
from scythe_cli.run.parts import PartThreads
from scythe_cli.run.run import TASK_PREFIX
from scythe_cli.storage.open_store import open_store
from scythe_cli.supervisor.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from types import FrameType

    from hatchet_sdk import Hatchet

    from scythe_cli.core.events import Listener
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.storage.base import Store

PREFETCH, LEAST_SLOTS = 3, 32
"""Hatchet slots a lane, and at least: the engine refills a slot only once a second, so leaves wait here for a lane."""


def find_experiments(targets: Sequence[str], folder: Path) -> tuple[list[Experiment], str | None]:
    """What a worker was started with: experiment files, module:function targets, or modules.

    Returns:
        The experiments, and the storage of the first experiment file.

    Raises:
        InputError: something is not there, or two experiments share a name.
    """
    found: dict[str, Experiment] = {}
    storage: str | None = None
    for target in targets:
        if target.endswith((".yml", ".yaml")):
            loaded = config.load(target)
            some = [experiment.load(loaded.file.experiment, loaded.folder, place=loaded.place("experiment"))]
            storage = storage or loaded.file.storage
        elif ":" in target:
            some = [experiment.load(target, folder)]
        else:
            some = experiment.load_all([target], folder)
        for one in some:
            other = found.setdefault(one.name, one)
            if other.function is not one.function:
                raise InputError(f"two experiments are called {one.name!r}, in {other.file} and {one.file}")
    return list(found.values()), storage


def serve_registered(**settings: Any) -> None:
    """Serve what `ExperimentRegistry` holds until stopped; `ScytheWorkerConfig(...).start()`."""
    known = set(WorkerSettings.__dataclass_fields__)
    lowered = {key.lower(): value for key, value in settings.items()}
    flags = {key: lowered.pop(key) for key in ("high_memory", "high_cpu", "has_gpu") if key in lowered}
    roles = {"fan": lowered.pop("does_fan", None), "leaf": lowered.pop("does_leaf", None)}
    if unknown := set(lowered) - known:
        raise ConfigError(f"{min(unknown)} is not a setting of a worker: {', '.join(sorted(known))}")
    base = WorkerSettings.from_environment()
    labels = {**(base.labels or {}), **(lowered.pop("labels", None) or {})}
    labels = {key: value for key, value in labels.items() if flags.get(key, True)}
    labels |= {key: "true" for key, on in flags.items() if on}
    chosen: tuple[Role, ...] = ("fan", "leaf")
    kept = frozenset(role for role in chosen if (role in base.roles if roles[role] is None else roles[role]))
    experiments = [experiment.from_function(found) for found in experiment.registered()]
    serve(experiments, replace(base, labels=labels, roles=kept, **lowered))


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
        listener: hears what happens.

    Raises:
        EngineError: the engine is away, refuses, or has no token.
        StoreError: the storage does not answer.
    """
    if "leaf" in settings.roles and not experiments:
        raise InputError("there is no experiment to serve", hint="scythe worker experiment.yml")
    address = settings.storage or storage or config.find_storage()
    with ExitStack() as stack:
        if settings.embedded:
            stack.enter_context(embedded.running())
        hatchet = connect(patient=True)
        Api(hatchet).workers()
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
        name = settings.name or machine_name()
        self._workflow_process: subprocess.Popen[bytes] | None = None
        if "leaf" in settings.roles and (workflows := ExperimentRegistry.included()):
            targets = [(one.target, str(one.folder)) for one in map(experiment.from_function, workflows)]
            labels = {**(settings.labels or {}), LANES: str(self._slots)}
            process = WorkflowProcessSettings(targets, f"{name}-workflows", self._slots, labels)
            self._workflow_process = stack.enter_context(workflow_process(process))
        self._context = WorkerContext(
            hatchet=hatchet,
            storage=storage,
            name=name,
            folder=folder,
            runners=runners,
            any_code=settings.any_code,
            listener=listener,
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
        threading.Thread(target=self._watch_lanes, daemon=True, name="scythe-watch").start()
        self._listener(
            WorkerReady(
                name=context.name,
                engine=hatchet.config.server_url,
                storage=context.storage.locate(""),
                experiments=[one.name for one in self._experiments],
                lanes=self._slots,
                roles=sorted(self._settings.roles),
            )
        )
        try:
            worker.start()
        except SystemExit as exc:
            if exc.code:
                raise EngineError("the engine refused this worker; its message is above") from None

    def _labels(self) -> dict[str, str | int]:
        """Strings only: the engine tells a number's label from a text's."""
        own: dict[str, str | int] = {
            LANES: str(self._slots),
            STORAGE: storage_label(self._context.storage.locate("")),
        }
        if "fan" in self._settings.roles:
            own[FAN] = "true"
        for one in self._experiments:
            own[f"{CODE}_{one.name}".lower()] = "any" if self._settings.any_code else one.source_hash[:12]
        return own | dict(self._settings.labels or {})

    def _take_signals(self) -> None:
        """The SDK's own handlers drain; ours say since when, and make the second signal final."""
        drain: Any = signal.getsignal(signal.SIGTERM)
        for number in signals.stop_signals_not_ignored():

            def handle(number: int, frame: FrameType | None) -> None:
                signals.on_stop_signal(number)
                if self._context.draining is not None:
                    self._leave_now()
                self._context.draining = time.monotonic()
                running = sum(runner.running for runner in self._context.runners.values())
                self._listener(Draining(running, 0.0))
                drain(number, frame)

            signal.signal(number, handle)

    @staticmethod
    def _leave_now() -> None:
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(ExitCode.INTERRUPTED)  # lanes die with this process

    def _watch_lanes(self) -> None:
        """A worker whose lanes cannot be started is no worker: it leaves, for whoever starts it to see."""
        while True:
            for runner in self._context.runners.values():
                if runner.failure is not None:
                    self._give_up(f"the worker processes of {runner.experiment.name} ended: {runner.failure}")
            process = self._workflow_process
            if process is not None and process.poll() is not None and self._context.draining is None:
                how = processes.describe_status(process.returncode)
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

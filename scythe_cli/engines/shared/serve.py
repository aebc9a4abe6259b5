"""`scythe worker --run`: from a run's directory and the code of this machine to a worker, and to the final tables.

Input: a run of an engine whose workers share the storage, and an experiment. Output: what the worker did; the last one
builds the final tables under the run's lease.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scythe_cli.core import processes, signals
from scythe_cli.core.clock import Clock
from scythe_cli.core.events import Notice, WorkerReady
from scythe_cli.core.layout import Mark
from scythe_cli.core.machine import cores, machine_name, require_files, require_memory
from scythe_cli.engines.generation import fence
from scythe_cli.engines.generation.lane_budget import LaneBudget
from scythe_cli.engines.generation.leaf_runner import LeafRunner
from scythe_cli.engines.generation.plan import plan_of
from scythe_cli.engines.generation.progress import GenerationProgress
from scythe_cli.engines.shared.claim_board import ClaimBoard
from scythe_cli.engines.shared.claim_names import CLAIMED
from scythe_cli.engines.shared.claimer import Claimer
from scythe_cli.engines.shared.liveness import Pulse, PulseWatch, worker_id
from scythe_cli.engines.shared.range_plan import read_range_plan
from scythe_cli.engines.shared.walltime import walltime_left
from scythe_cli.engines.shared.worker import RunWorker, WorkerLimits
from scythe_cli.errors import ConfigError, InputError, NotFinishedError
from scythe_cli.run import lease, state
from scythe_cli.run.compatibility import refuse_other_models
from scythe_cli.run.engine import Ended, EndReason
from scythe_cli.run.lease import LeaseWatcher
from scythe_cli.run.parts import PartThreads
from scythe_cli.run.run import refuse_original
from scythe_cli.supervisor.scratch import scratch

if TYPE_CHECKING:
    from scythe_cli.core.events import Listener
    from scythe_cli.engines.generation.plan import GenerationPlan
    from scythe_cli.engines.shared.range_plan import RangePlan
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.run.run import Run

PLAN_SECONDS = 60.0
"""A generation's plan follows its mark within this."""


@dataclass(frozen=True)
class ServeSettings:
    """How a worker serves.

    Attributes:
        lanes: specs at a time; this machine's cores unless given.
        name: of the worker, for people.
        any_code: work although the code differs from the run's.
        until: seconds from now on within which it ends.
        idle: seconds without rows after which it ends.
    """

    lanes: int | None = None
    name: str | None = None
    any_code: bool = False
    until: float | None = None
    idle: float | None = None


def plan_to_work_on(run: Run) -> GenerationPlan:
    """The latest generation of a run, where workers may work on it.

    Raises:
        ConfigError: its engine has no such workers; the hint says what to type.
    """
    refuse_original(run)
    generation = max(state.list_marks(run.store).get(Mark.GENERATION, [0]))
    note = state.read_mark(run.store, Mark.GENERATION, generation) if generation else None
    engine = str(note.get("engine", "local")) if note else run.manifest.engine
    if engine not in CLAIMED:
        hint = f"scythe allocate --resume {run.id} --engine shared"
        if engine == "hatchet":
            hint = f"scythe worker   or, to finish it without Hatchet: {hint}"
        raise ConfigError(
            f"{run.id} is a run of engine {engine}, whose specs no worker takes from its directory", hint=hint
        )
    plan = plan_of(run, generation)
    if plan is None:
        raise NotFinishedError(f"{run.id} has no generation to work on", hint=f"scythe allocate --resume {run.id}")
    return plan


def refuse_other_code(plan: GenerationPlan, source_hash: str, *, allowed: bool) -> None:
    """Compare the code of this machine with that of the run. Needs no import.

    Raises:
        InputError: the hashes differ, and that was not allowed.
    """
    if source_hash != plan.source_hash and not allowed:
        raise InputError(
            f"the code here differs from that of {plan.run.id} ({source_hash[:12]} here, {plan.source_hash[:12]} in "
            "the run)",
            hint="update the code of this machine, or add --allow-changed-code",
        )


def serve_run(
    plan: GenerationPlan, experiment: Experiment, settings: ServeSettings, listener: Listener
) -> Ended | None:
    """Work on a run until nothing is left, and build its tables if nobody else does.

    Returns:
        None when every spec has its outcome, else why the worker ended.

    Raises:
        InputError: the models of the code here do not fit the run.
        StoreError: the storage was away for too long.
    """
    if experiment.source_hash != plan.source_hash:
        refuse_other_models(plan.run, experiment)
    over = fence.why_over(plan.run.store, plan.generation)
    if over is not None and over.reason is not EndReason.DONE:
        return over
    if over is None and plan.todo:
        over = _work(plan, experiment, settings, listener)
        if over is not None and over.reason is not EndReason.DONE:
            return over
    return None


def _work(plan: GenerationPlan, experiment: Experiment, settings: ServeSettings, listener: Listener) -> Ended | None:
    lanes = settings.lanes or cores()
    require_memory()
    require_files(lanes)
    store, ranges = plan.run.store, _wait_for_ranges(plan)
    worker = worker_id()
    name = settings.name or machine_name()
    about = {"worker": worker, "name": name, "host": processes.host(), "at": datetime.now(UTC).isoformat()}
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        threads = PartThreads()
        stack.callback(threads.close)
        runner = LeafRunner(experiment, lanes, budget=LaneBudget(lanes), folder=folder, threads=threads)
        stack.callback(runner.close)
        watch = PulseWatch(store, plan.generation)
        pulse = Pulse(store, plan.generation, worker, {"name": name, "lanes": lanes})
        pulse.start()
        watch.look()
        board = ClaimBoard(store, plan.generation, ranges)
        claimer = Claimer(board, watch, store=store, generation=plan.generation, about=about)
        seconds = [one for one in (settings.until, walltime_left()) if one is not None]
        until = Clock.monotonic() + min(seconds) if seconds else None
        one = RunWorker(
            plan,
            claimer,
            runner=runner,
            pulse=pulse,
            folder=folder,
            name=name,
            listener=listener,
            limits=WorkerLimits(until, settings.idle),
        )
        listener(WorkerReady(name, plan.file.engine, store.locate(""), [experiment.name], lanes, ["leaf"]))
        try:
            with signals.calling_on_stop(one.stop):
                return _until_gathered(plan, one, board, listener)
        finally:
            pulse.end(remove=one.give_back())


def _until_gathered(plan: GenerationPlan, one: RunWorker, board: ClaimBoard, listener: Listener) -> Ended | None:
    """Work, then build the tables; where that finds rows missing, as of a damaged part, work on them once more.

    Raises:
        NotFinishedError: rows are missing after that, too.
    """
    ended = one.run()
    if ended is not None or build_tables(plan, listener, patient=one.is_last) is None:
        return ended
    over = fence.why_over(plan.run.store, plan.generation)
    if over is not None:
        return over
    board.reopen(GenerationProgress(plan).read().missing)
    ended = one.run()
    if ended is None and (still := build_tables(plan, listener, patient=one.is_last)) is not None:
        raise still
    return ended


def _wait_for_ranges(plan: GenerationPlan) -> RangePlan:
    deadline = Clock.monotonic() + PLAN_SECONDS
    while (found := read_range_plan(plan)) is None:
        if Clock.monotonic() > deadline:
            message = f"generation {plan.generation} of {plan.run.id} has no plan: the process that began it died"
            raise NotFinishedError(message, hint=f"scythe allocate --resume {plan.run.id}")
        time.sleep(1.0)
    return found


def build_tables(plan: GenerationPlan, listener: Listener, *, patient: bool) -> NotFinishedError | None:
    """Build the final tables unless another process does or did. Returns why not, where rows turned out to be missing.

    The generation ends, too, where it has all the outcomes that it was to make; see `gather_generation`.

    Args:
        plan: the generation, all of whose ranges are finished.
        listener: gets a sentence.
        patient: watch a holder on another machine, who may be dead; others end at once.
    """
    from scythe_cli.engines.generation.gather_process import gather_generation
    from scythe_cli.operations.gather import gathered

    run = plan.run
    if not patient and LeaseWatcher(run.store).holder() is not None:
        listener(Notice(f"all specs of {run.id} are finished; another process builds the tables"))
        return None
    try:
        with lease.hold(run.store):
            if gathered(run) is None:
                listener(Notice(f"all specs of {run.id} are finished; building the tables"))
                try:
                    gather_generation(plan)
                except NotFinishedError as exc:
                    return exc
            fence.end_generation(run, plan.generation, EndReason.DONE)
    except NotFinishedError:  # another process builds them
        listener(Notice(f"all specs of {run.id} are finished; another process builds the tables"))
    return None

"""The Hatchet engine as a client sees it: hand a run over, follow it, ask what it has at work, stop it.

Input: a connection from `HATCHET_CLIENT_*`, or the one that `scythe worker --embedded` left on this machine. Output:
one root task for a generation of a run. The directory has what the run is; the engine gets names and numbers.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.engines.generation.follow import RunFollower
from scythe_cli.engines.generation.plan import plan_of, write_plan
from scythe_cli.engines.hatchet.api import Api
from scythe_cli.engines.hatchet.client.diagnosis import NO_TASK, Stillness, why_nothing_runs
from scythe_cli.engines.hatchet.client.watch import HatchetWatch
from scythe_cli.engines.hatchet.connection import connect, connect_and_check, in_time, translated
from scythe_cli.engines.hatchet.labels import STORAGE, wanted_labels
from scythe_cli.engines.hatchet.names import ROOT, TaskPayload, metadata
from scythe_cli.errors import EngineError, StoreError
from scythe_cli.run import lease, state
from scythe_cli.run.engine import Active
from scythe_cli.run.run import write_manifest

if TYPE_CHECKING:
    from hatchet_sdk import Hatchet

    from scythe_cli.core.events import Listener
    from scythe_cli.engines.generation.plan import GenerationPlan
    from scythe_cli.experiment.config import ExperimentFile
    from scythe_cli.run.engine import Ended, Work
    from scythe_cli.run.run import Run

HAND_OVER_SECONDS = 20.0
COUNTS_LAG_SECONDS = 30.0
"""A task may be younger than what the engine counts; measured: 3 s, and 19 s under load."""


class HatchetEngine:
    """Runs where `scythe worker` serves.

    Args:
        file: the settings; only the engine's name in them matters, and it is this one.
        check: whether to hold first that the engine answers; a command that only looks makes one call less.

    Raises:
        EngineError: there is no token, the engine refuses it, does not answer, or is too old.
    """

    def __init__(self, file: ExperimentFile | None = None, *, check: bool = True) -> None:
        del file
        self._hatchet = connect_and_check() if check else connect()
        self._api = Api(self._hatchet)
        if check:
            self._api.workers()

    @property
    def lanes(self) -> int | None:
        """How many specs run at a time: nobody knows which workers will come."""
        return None

    def submit(self, work: Work) -> HatchetTicket:
        """Begin a generation and have a root follow it. Returns at once.

        Raises:
            EngineError: the engine refused or did not answer. The generation was taken back: nothing has begun.
        """
        self._declare(work.run)
        plan = write_plan(work, engine="hatchet", labels=wanted_labels(work))
        try:
            root = self._trigger(plan)
        except BaseException as exc:
            with contextlib.suppress(StoreError):
                state.remove_mark(work.run.store, Mark.GENERATION, work.generation)
            if isinstance(exc, EngineError):
                raise _not_handed_over(work.run, exc) from exc
            raise
        with contextlib.suppress(StoreError):
            write_manifest(work.run.store, work.run.manifest.model_copy(update={"workflow_run_id": root}))
        return HatchetTicket(self._hatchet, plan, root)

    def _declare(self, run: Run) -> None:
        from scythe_cli.engines.hatchet.worker.declarations import declare

        try:
            with translated(self._hatchet):
                in_time(lambda: declare(self._hatchet, run.manifest.experiment_name), HAND_OVER_SECONDS, self._hatchet)
        except EngineError as exc:
            raise _not_handed_over(run, exc) from exc

    def _trigger(self, plan: GenerationPlan) -> str:
        """Have the engine start the root. Returns its id."""
        from hatchet_sdk.types.labels import DesiredWorkerLabel

        task: Any = self._hatchet.stubs.task(name=ROOT, input_validator=TaskPayload)
        whole = TaskPayload(
            run=plan.run.id, generation=plan.generation, first=plan.ranges[0].first, last=plan.ranges[-1].last
        )
        label = DesiredWorkerLabel(key=STORAGE, value=plan.labels[STORAGE], required=True)

        def trigger() -> Any:
            return task.run(
                whole,
                wait_for_result=False,
                additional_metadata=metadata(plan, whole, ROOT),
                desired_worker_labels=[label],
            )

        with translated(self._hatchet):
            return str(in_time(trigger, HAND_OVER_SECONDS, self._hatchet).workflow_run_id)

    def active(self, run: Run) -> Active:
        """What the engine has at work for a run, and why nothing runs, where something should.

        Raises:
            EngineError: the engine refuses, or does not answer within three seconds.
        """
        generation = latest_generation(run)
        plan = plan_of(run, generation)
        if plan is None:
            return Active(0, 0, [], NO_TASK, abandoned=True)
        queued, running, workers = self._api.activity(run.manifest.experiment_name, plan.labels, all_tags(run))
        abandoned = not queued + running and _is_settled(run, generation) and lease.seen_holder(run.store) is None
        stillness = Stillness(queued, running, abandoned=abandoned, begun=has_worker(run, generation))
        return Active(queued, running, workers, why_nothing_runs(plan, workers, stillness), abandoned=abandoned)

    def cancel(self, run: Run) -> None:
        """Cancel what is queued and running of every generation of a run; the directory has the mark already.

        Raises:
            EngineError: the engine refuses or does not answer.
        """
        self._api.cancel(*all_tags(run))

    def watch(self, run: Run) -> HatchetWatch:
        """What answers, for the one who follows a run, whether the engine still has it."""
        return HatchetWatch(self._hatchet, run, lambda: self.active(run), run.manifest.workflow_run_id)


def _not_handed_over(run: Run, exc: EngineError) -> EngineError:
    message = f"{exc.message}; {run.id} is written, and nothing of it has begun"
    return EngineError(message, hint=f"scythe allocate --resume {run.id}")


def latest_generation(run: Run) -> int:
    """The number of the latest generation that began; 0 before the first."""
    return max(state.list_marks(run.store).get(Mark.GENERATION, [0]))


def all_tags(run: Run) -> list[str]:
    """What the tasks of every generation of a run are known by."""
    return [f"{run.id}/{number}" for number in range(1, max(1, latest_generation(run)) + 1)]


def has_worker(run: Run, generation: int) -> bool:
    """Whether a worker has given specs of a generation to its lanes: it leaves a note before it does."""
    note = layout.worker_note(generation, "")
    return any(entry.key.startswith(note.removesuffix(".yml")) for entry in run.store.list(layout.CONTROL))


def _is_settled(run: Run, generation: int) -> bool:
    """Whether a generation began so long ago that the engine must count its tasks."""
    note = state.read_mark(run.store, Mark.GENERATION, generation) or {}
    began = datetime.fromisoformat(str(note["began"]))
    return (datetime.now(UTC) - began).total_seconds() > COUNTS_LAG_SECONDS


class HatchetTicket:
    """A generation that the engine works through; followed by its directory."""

    def __init__(self, hatchet: Hatchet, plan: GenerationPlan, workflow_run_id: str) -> None:
        self._hatchet = hatchet
        self.workflow_run_id = workflow_run_id
        engine = HatchetEngine(check=False)
        watch = HatchetWatch(hatchet, plan.run, lambda: engine.active(plan.run), workflow_run_id)
        self._follower = RunFollower(plan.run, watch)

    @property
    def link(self) -> str:
        """The run in the engine's dashboard."""
        return f"{self._hatchet.config.server_url}/tenants/{self._hatchet.tenant_id}/runs/{self.workflow_run_id}"

    def stop(self) -> None:
        """Stop following. The run continues; `scythe cancel` ends it."""
        self._follower.stop()

    def wait(self, listener: Listener) -> Ended | None:
        """Follow the run's directory until its tables are there; see `Ticket`."""
        return self._follower.wait(listener)

    def close(self) -> None:
        """Nothing is held here; see `Ticket`."""

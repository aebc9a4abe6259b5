"""The Hatchet engine as a client sees it: hand a run over, follow it, ask what is under way, stop it.

Takes a connection from `HATCHET_CLIENT_*` (or the one that `scythe worker --embedded` left on this machine); leaves one
root task for a generation of a run. What the run is stands in its directory; the engine is told names and numbers.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from scythe_cli.core.events import Notice, Progress
from scythe_cli.core.layout import Mark
from scythe_cli.engines.generation import fence
from scythe_cli.engines.generation.plan import read_plan, write_plan
from scythe_cli.engines.generation.progress import GenerationProgress
from scythe_cli.engines.hatchet.client.diagnosis import why_nothing_runs
from scythe_cli.engines.hatchet.connection import Api, connect, translated
from scythe_cli.engines.hatchet.labels import STORAGE, wanted_labels
from scythe_cli.engines.hatchet.names import METADATA, ROOT, TaskPayload, tag
from scythe_cli.errors import EngineError, NotFoundError, StoreError
from scythe_cli.run import state
from scythe_cli.run.engine import Active, Ended, EndReason
from scythe_cli.run.run import write_manifest

if TYPE_CHECKING:
    from hatchet_sdk import Hatchet

    from scythe_cli.core.events import Listener
    from scythe_cli.engines.generation.plan import GenerationPlan
    from scythe_cli.experiment.config import ExperimentFile
    from scythe_cli.run.engine import Work
    from scythe_cli.run.run import Run

POLL_SECONDS = 1.0
ASK_EVERY = 10.0
NO_WORKER_SECONDS = 60.0


class HatchetEngine:
    """Runs where `scythe worker` serves.

    Args:
        file: the settings; only which engine they name is of interest here.

    Raises:
        EngineError: no token, a refused one, or nobody answers.
    """

    def __init__(self, file: ExperimentFile | None = None) -> None:
        del file
        self._hatchet = connect()
        self._api = Api(self._hatchet)
        self._api.workers()

    @property
    def lanes(self) -> int | None:
        """How many specs run at a time: nobody knows which workers will come."""
        return None

    def submit(self, work: Work) -> HatchetTicket:
        """Begin a generation and have a root follow it. Returns at once."""
        plan = write_plan(work, engine="hatchet", labels=wanted_labels(work))
        self._declare(work.run.manifest.experiment_name)
        task = self._hatchet.stubs.task(name=ROOT, input_validator=TaskPayload)
        whole = TaskPayload(
            run=work.run.id, generation=work.generation, first=plan.ranges[0].first, last=plan.ranges[-1].last
        )
        from hatchet_sdk.types.labels import DesiredWorkerLabel

        label = DesiredWorkerLabel(key=STORAGE, value=plan.labels[STORAGE], required=True)
        with translated(self._hatchet):
            ref = task.run(
                whole,
                wait_for_result=False,
                additional_metadata={METADATA: tag(plan)},
                desired_worker_labels=[label],
            )
        with contextlib.suppress(StoreError):
            write_manifest(
                work.run.store, work.run.manifest.model_copy(update={"workflow_run_id": ref.workflow_run_id})
            )
        return HatchetTicket(self._hatchet, plan, ref.workflow_run_id)

    def _declare(self, leaf: str) -> None:
        from scythe_cli.engines.hatchet.worker.declarations import declare

        with translated(self._hatchet):
            declare(self._hatchet, leaf)

    def active(self, run: Run) -> Active:
        """What is under way for a run, and why nothing is, where something should."""
        try:
            plan = read_plan(_storage_of(run), run.id, max(1, _generation(run)))
        except NotFoundError:
            return Active(0, 0, [], None)
        queued, running = self._api.counts(tag(plan))
        workers = self._api.live_workers(run.manifest.experiment_name, plan.labels)
        why = why_nothing_runs(plan, workers) if queued or not running else None
        return Active(queued, running, workers, why)

    def cancel(self, run: Run) -> None:
        """Cancel what is queued and running of every generation of a run; the directory has the mark already."""
        self._api.cancel(*(f"{run.id}/{number}" for number in range(1, max(1, _generation(run)) + 1)))


def _generation(run: Run) -> int:
    return max(state.read_state(run).marks.get(Mark.GENERATION, [0]))


def _storage_of(run: Run) -> Any:
    return _Opened(run)


class _Opened:
    """A storage that holds one run which is open already."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def within(self, _: str) -> Any:
        return self._run.store


class HatchetTicket:
    """A generation that the engine works through; followed by its directory."""

    def __init__(self, hatchet: Hatchet, plan: GenerationPlan, workflow_run_id: str) -> None:
        self._hatchet = hatchet
        self._api = Api(hatchet)
        self._plan = plan
        self._stopped = False
        self._asked = time.monotonic()
        self._reported: set[str] = set()
        self.workflow_run_id = workflow_run_id

    @property
    def link(self) -> str:
        """The run in the engine's dashboard."""
        return f"{self._hatchet.config.server_url}/tenants/{self._hatchet.tenant_id}/runs/{self.workflow_run_id}"

    def stop(self) -> None:
        """Stop following. The run goes on; `scythe cancel` ends it."""
        self._stopped = True

    def wait(self, listener: Listener) -> Ended | None:
        """Follow the run's directory until its root has ended it; see `Ticket`."""
        plan, progress = self._plan, GenerationProgress(self._plan)
        began = time.monotonic()
        while True:
            look = progress.read()
            listener(Progress(look.done + plan.done, look.failed + plan.failed, plan.run.total))
            if f"ended-{plan.generation}" in look.marks:
                return _ended(plan)
            over = fence.why_over(plan.run.store, plan.generation, fence.numbers_of(look.marks))
            if over is not None:
                return over
            if self._stopped:
                detail = f"no longer watching; the run continues (to stop it: scythe cancel {plan.run.id})"
                return Ended(EndReason.INTERRUPTED, detail)
            if not look.done and time.monotonic() - began > NO_WORKER_SECONDS:
                self._report_why_nothing_runs(listener)
            if time.monotonic() - self._asked > ASK_EVERY:
                self._check_root(listener)
            time.sleep(POLL_SECONDS if time.monotonic() - began > 10 else POLL_SECONDS / 4)

    def _report_why_nothing_runs(self, listener: Listener) -> None:
        try:
            why = why_nothing_runs(self._plan, self._api.live_workers(self._plan.run.manifest.experiment_name, {}))
        except EngineError as exc:
            why = exc.message
        if why and why not in self._reported:
            self._reported.add(why)
            listener(Notice(why))

    def _check_root(self, listener: Listener) -> None:
        """A root that the engine gave up would leave us waiting for ever."""
        import grpc

        self._asked = time.monotonic()
        try:
            details = self._hatchet.runs.get_details(self.workflow_run_id)
        except grpc.RpcError:
            if "away" not in self._reported:
                self._reported.add("away")
                listener(Notice("Hatchet does not answer; the progress comes from the run's directory"))
            return
        if not details.done or f"ended-{self._plan.generation}" in GenerationProgress(self._plan).read().marks:
            return
        errors = [task.error for task in details.task_runs.values() if task.error]
        reason = (errors or [f"its status is {details.status.value}"])[0].strip().rpartition("\n")[2]
        raise EngineError(
            f"Hatchet ended the root task of {self._plan.run.id} before all specs were finished: {reason}",
            hint=f"scythe allocate --resume {self._plan.run.id}",
        )


def _ended(plan: GenerationPlan) -> Ended | None:
    note = state.read_mark(plan.run.store, Mark.ENDED, plan.generation) or {"reason": "done", "detail": ""}
    return None if note["reason"] == EndReason.DONE else Ended(EndReason(note["reason"]), str(note["detail"]))

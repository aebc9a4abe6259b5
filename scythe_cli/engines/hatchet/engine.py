"""The Hatchet engine as a client sees it: hand a run over, follow it, ask what is under way, stop it.

Takes a connection from `HATCHET_CLIENT_*` (or the one that `scythe worker --embedded` left on this machine); leaves one
root task for a generation of a run. What the run is stands in its directory; the engine is told names and numbers.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from scythe_cli.core.events import Notice, Progress
from scythe_cli.engines.hatchet import embedded
from scythe_cli.engines.hatchet.plan import STORAGE, read_plan, write_plan
from scythe_cli.engines.hatchet.progress import Progress as Follower
from scythe_cli.errors import EngineError, KeyExists, NotFoundError, StoreError
from scythe_cli.experiment.hatchet_workflow import RUN_KEY
from scythe_cli.run import state as ledger
from scythe_cli.run.engine import Active, Ended, WorkerSeen
from scythe_cli.run.run import TASK_PREFIX, write_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hatchet_sdk import Hatchet

    from scythe_cli.core.events import Listener
    from scythe_cli.engines.hatchet.plan import Plan
    from scythe_cli.experiment.config import ExperimentFile
    from scythe_cli.run.engine import Work
    from scythe_cli.run.run import Run

ROOT = "scythe_scatter_gather"
NODE = "scythe_scatter_node"
METADATA = RUN_KEY
"""The one key of every task's metadata; see `tag`."""
LANES = "scythe_lanes"
CODE = "scythe_code"
FAN = "scythe_fan"
"""Labels of every worker: its lanes, the hash of each experiment's code, and whether it follows runs."""

TIMEOUT = (2.0, 10.0)
"""Seconds to connect and to read, for every REST call: the SDK's own have no limit."""
POLL_SECONDS = 1.0
ASK_EVERY = 10.0
NO_WORKER_SECONDS = 60.0


class Stretch(BaseModel):
    """The payload of every task: a run, a generation and row numbers.

    Attributes:
        run: the run's id.
        generation: of the run.
        first: row number.
        last: row number, included.
        depth: of a node; 0 is the root.
        tries: how often workers died over these rows before, as far as known.
    """

    model_config = ConfigDict(extra="forbid")

    run: str
    generation: int
    first: int
    last: int
    depth: int = 0
    tries: int = 0


def tag(plan: Plan) -> str:
    """What a generation's tasks are known by: the run's id, and its number, or cancelling one would reach the next."""
    return f"{plan.run.id}/{plan.generation}"


def connect(*, patient: bool = False) -> Hatchet:
    """A client of the engine that the environment names. Opens no connection.

    Args:
        patient: repeat calls while the engine is away, as workers should.

    Raises:
        EngineError: there is no token, or it is none.
    """
    embedded.adopt()
    os.environ.setdefault("HATCHET_CLIENT_DISABLE_LOG_CAPTURE", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from hatchet_sdk import Hatchet
        from hatchet_sdk.config import TenacityConfig

        from scythe_cli.engines.hatchet.quiet_config import QuietConfig
    try:
        settings = QuietConfig() if patient else QuietConfig(tenacity=TenacityConfig(max_attempts=2))
        return Hatchet(config=settings)
    except ValueError:
        given = bool(os.environ.get("HATCHET_CLIENT_TOKEN"))
        what = "HATCHET_CLIENT_TOKEN is no Hatchet token" if given else "HATCHET_CLIENT_TOKEN is not set"
        raise EngineError(
            f"no connection to Hatchet: {what}",
            hint="take a token from the engine's settings, or start one here: scythe worker --embedded",
        ) from None  # the cause would print the token


@contextmanager
def translated(hatchet: Hatchet) -> Iterator[None]:
    """What the SDK raises, as ours."""
    import grpc  # type: ignore[import-untyped]  # grpcio ships no types
    from hatchet_sdk.clients.rest.exceptions import ApiException, ForbiddenException, UnauthorizedException
    from urllib3.exceptions import HTTPError

    where = f"Hatchet at {hatchet.config.server_url}"
    refused = EngineError(f"{where} refuses the token", hint="set HATCHET_CLIENT_TOKEN to one of this engine's tenant")
    try:
        yield
    except (ForbiddenException, UnauthorizedException) as exc:
        raise refused from exc
    except grpc.RpcError as exc:
        code = exc.code() if hasattr(exc, "code") else None
        if code is grpc.StatusCode.UNAUTHENTICATED:
            raise refused from exc
        detail = exc.details() if hasattr(exc, "details") else str(exc)
        raise EngineError(f"Hatchet at {hatchet.config.host_port} does not answer: {detail}", hint=_HINT) from exc
    except (ApiException, HTTPError, OSError) as exc:
        raise EngineError(f"{where} does not answer: {_short(exc)}", hint=_HINT) from exc


_HINT = "is it running, and does HATCHET_CLIENT_TOKEN belong to it? docs/how-to/hatchet.md"


def _short(exc: BaseException) -> str:
    text = str(getattr(exc, "reason", None) or exc).strip().partition("\n")[0]
    return text[:200] or type(exc).__name__


class Api:
    """The few calls of the engine's that scythe makes besides running tasks."""

    def __init__(self, hatchet: Hatchet) -> None:
        self._hatchet = hatchet

    def workers(self) -> list[Any]:
        """The live workers' rows."""
        from hatchet_sdk.clients.rest.api.worker_api import WorkerApi

        with translated(self._hatchet), self._hatchet.workers.client() as client:
            found = WorkerApi(client).worker_list(tenant=self._hatchet.tenant_id, _request_timeout=TIMEOUT)
        return [row for row in found.rows or [] if row.status == "ACTIVE"]

    def seen(self, leaf: str, labels: dict[str, str]) -> list[WorkerSeen]:
        """The live workers, and whether they would take leaves of this name with these labels."""
        return [_seen(row, f"{leaf}:{leaf}".lower(), labels) for row in self.workers()]

    def counts(self, tagged: str) -> tuple[int, int]:
        """How many of a generation's tasks are queued and running, some seconds late."""
        from hatchet_sdk.clients.rest.api.task_api import TaskApi

        with translated(self._hatchet), self._hatchet.metrics.client() as client:
            rows = TaskApi(client).v1_task_list_status_metrics(
                tenant=self._hatchet.tenant_id,
                since=datetime.now(UTC) - timedelta(days=30),
                additional_metadata=[f"{METADATA}:{tagged}"],
                _request_timeout=TIMEOUT,
            )
        found = {row.status.value: row.count for row in rows}
        return found.get("QUEUED", 0), found.get("RUNNING", 0)

    def cancel(self, tagged: str) -> None:
        """Cancel every queued and running task of a generation, until a look finds none."""
        from hatchet_sdk.clients.rest.api.task_api import TaskApi
        from hatchet_sdk.clients.rest.models.v1_cancel_task_request import V1CancelTaskRequest
        from hatchet_sdk.clients.rest.models.v1_task_filter import V1TaskFilter
        from hatchet_sdk.clients.rest.models.v1_task_status import V1TaskStatus

        wanted = V1CancelTaskRequest(
            filter=V1TaskFilter(
                since=datetime.now(UTC) - timedelta(days=30),
                statuses=[V1TaskStatus.QUEUED, V1TaskStatus.RUNNING],
                additionalMetadata=[f"{METADATA}:{tagged}"],
            )
        )
        for _ in range(20):
            with translated(self._hatchet), self._hatchet.runs.client() as client:
                TaskApi(client).v1_task_cancel(self._hatchet.tenant_id, wanted, _request_timeout=(2.0, 60.0))
            time.sleep(0.5)
            if not sum(self.counts(tagged)):
                return


def _seen(row: Any, action: str, labels: dict[str, str]) -> WorkerSeen:
    own = {label.key: str(label.value) for label in row.labels or []}
    slots = (row.slot_config or {}).get("default")
    busy = (slots.limit or 0) - (slots.available or 0) if slots is not None else 0
    fits = action in (row.actions or []) and all(own.get(key) == value for key, value in labels.items())
    lanes = own.get(LANES, "")
    return WorkerSeen(row.name, int(lanes) if lanes.isdecimal() else 1, max(0, busy), own, fits)


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
        plan = write_plan(work)
        self._declare(work.run.manifest.experiment_name)
        task = self._hatchet.stubs.task(name=ROOT, input_validator=Stretch)
        whole = Stretch(
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
        from scythe_cli.engines.hatchet.serving import declare

        with translated(self._hatchet):
            declare(self._hatchet, leaf)

    def active(self, run: Run) -> Active:
        """What is under way for a run, and why nothing is, where something should."""
        try:
            plan = read_plan(_storage_of(run), run.id, max(1, _generation(run)))
        except NotFoundError:
            return Active(0, 0, [], None)
        queued, running = self._api.counts(tag(plan))
        workers = self._api.seen(run.manifest.experiment_name, plan.labels)
        why = why_nothing_runs(plan, workers) if queued or not running else None
        return Active(queued, running, workers, why)

    def cancel(self, run: Run) -> None:
        """Cancel what is queued and running of a run. The mark in its directory stands already."""
        self._api.cancel(f"{run.id}/{max(1, _generation(run))}")


def _generation(run: Run) -> int:
    return max(ledger.read_ledger(run).marks.get("generation", [0]))


def _storage_of(run: Run) -> Any:
    return _Opened(run)


class _Opened:
    """A storage that holds one run which is open already."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def within(self, _: str) -> Any:
        return self._run.store


def why_nothing_runs(plan: Plan, workers: Iterable[WorkerSeen]) -> str | None:  # noqa: PLR0911 - one line a reason
    """The sentence for a user whose run stands still; None when a worker could take it."""
    leaf = plan.run.manifest.experiment_name
    name = leaf.removeprefix(TASK_PREFIX)
    live = list(workers)
    if not live:
        return "no worker is connected; start one where the experiment is: scythe worker experiment.yml"
    here = [worker for worker in live if worker.labels.get(STORAGE) == plan.labels[STORAGE]]
    if not here:
        storage = plan.run.store.locate("").rstrip("/").removesuffix(f"/{plan.run.id}")
        return f"none of {len(live)} workers has this run's storage: scythe worker --storage {storage}"
    if not any(worker.labels.get(FAN) for worker in here):
        return "no worker follows runs: start one with --role fan"
    serving = [worker for worker in here if f"{CODE}_{name}".lower() in worker.labels]
    if not serving:
        return f"none of {len(here)} workers serves {name}: scythe worker experiment.yml"
    fitting = [w for w in serving if all(w.labels.get(key) == value for key, value in plan.labels.items())]
    if not fitting:
        wanted = ", ".join(f"{key}={value}" for key, value in plan.labels.items() if key != STORAGE)
        return f"no worker of {name} has the label {wanted}"
    codes = {worker.labels[f"{CODE}_{name}".lower()] for worker in fitting}
    if plan.source_hash[:12] not in codes and "any" not in codes:
        return (
            f"the workers of {name} have other code: the run's hash is {plan.source_hash[:12]}, theirs "
            f"{', '.join(sorted(codes))}; update them, or start them with --allow-changed-code"
        )
    return None


class HatchetTicket:
    """A generation that the engine works through; followed by its directory."""

    def __init__(self, hatchet: Hatchet, plan: Plan, workflow_run_id: str) -> None:
        self._hatchet = hatchet
        self._api = Api(hatchet)
        self._plan = plan
        self._stopped = False
        self._asked = time.monotonic()
        self._told: set[str] = set()
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
        plan, follower = self._plan, Follower(self._plan)
        began = time.monotonic()
        while True:
            look = follower.look()
            listener(Progress(look.done + plan.done, look.failed + plan.failed, plan.run.total))
            if f"ended-{plan.generation}" in look.marks:
                return _ended(plan)
            if f"cancel-{plan.generation}" in look.marks:
                return Ended("cancelled", "cancelled")
            if self._stopped:
                detail = f"no longer followed; it goes on without you (scythe cancel {plan.run.id} stops it)"
                return Ended("interrupted", detail)
            if not look.done and time.monotonic() - began > NO_WORKER_SECONDS:
                self._say_why(listener)
            if time.monotonic() - self._asked > ASK_EVERY:
                self._check_root(listener)
            time.sleep(POLL_SECONDS if time.monotonic() - began > 10 else POLL_SECONDS / 4)

    def _say_why(self, listener: Listener) -> None:
        try:
            why = why_nothing_runs(self._plan, self._api.seen(self._plan.run.manifest.experiment_name, {}))
        except EngineError as exc:
            why = exc.message
        if why and why not in self._told:
            self._told.add(why)
            listener(Notice(why))

    def _check_root(self, listener: Listener) -> None:
        """A root that the engine gave up would leave us waiting for ever."""
        import grpc

        self._asked = time.monotonic()
        try:
            details = self._hatchet.runs.get_details(self.workflow_run_id)
        except grpc.RpcError:
            if "away" not in self._told:
                self._told.add("away")
                listener(Notice("Hatchet does not answer; following the run by its directory"))
            return
        if not details.done or f"ended-{self._plan.generation}" in Follower(self._plan).look().marks:
            return
        errors = [task.error for task in details.task_runs.values() if task.error]
        reason = (errors or [f"its status is {details.status.value}"])[0].strip().rpartition("\n")[2]
        raise EngineError(
            f"Hatchet ended the root of {self._plan.run.id} before its specs were done: {reason}",
            hint=f"scythe allocate --resume {self._plan.run.id}",
        )


def _ended(plan: Plan) -> Ended | None:
    note = ledger.read_mark(plan.run.store, "ended", plan.generation) or {"reason": "done", "detail": ""}
    return None if note["reason"] == "done" else Ended(str(note["reason"]), str(note["detail"]))


def end(plan: Plan, reason: str, detail: str = "") -> None:
    """Put down why a generation is over. The first word counts."""
    note = {"ended": datetime.now(UTC).isoformat(), "reason": reason, "detail": detail}
    with contextlib.suppress(KeyExists):
        ledger.write_mark(plan.run.store, "ended", plan.generation, note)

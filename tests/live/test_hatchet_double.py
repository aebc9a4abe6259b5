"""The double against the unmodified SDK: real worker processes, the calls scythe makes, the trouble it must survive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from hatchet_double import HatchetDouble, Settings, Status
from hatchet_sdk import ClientConfig, Hatchet
from hatchet_sdk.clients.rest.api.task_api import TaskApi
from hatchet_sdk.clients.rest.exceptions import ForbiddenException
from hatchet_sdk.clients.rest.models.v1_task_status import V1TaskStatus
from hatchet_sdk.config import ClientTLSConfig
from hatchet_sdk.features.runs import BulkCancelReplayOpts, RunFilter
from sdk_worker import Number, Tasks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "HATCHET_CLIENT_TOKEN" in os.environ, reason="the double is not the engine whose token is in the environment"
    ),
]

WORKER = Path(__file__).with_name("sdk_worker.py")


class Fleet:
    """Starts workers as processes of their own group, so that a kill takes the SDK's listener process too."""

    def __init__(self, engine: HatchetDouble, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, slots: int, *labels: str) -> None:
        command = [sys.executable, str(WORKER), name, str(slots), *labels]
        env = {**os.environ, **self._engine.env}
        with (self._folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)

    def wait(self, name: str) -> str:
        """The worker's id, once it can take tasks."""
        return self._engine.wait(lambda: self._ready(name), f"worker {name}")

    def _ready(self, name: str) -> str:
        live = [w.id for w in self._engine.workers if w.name == name and w.connected and w.last_heartbeat]
        return live[0] if live else ""

    def kill(self, name: str) -> None:
        process = self._processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def terminate(self, name: str) -> subprocess.Popen[bytes]:
        """The process, which is told to end and may take seconds for it."""
        process = self._processes.pop(name)
        process.terminate()
        return process

    def stop(self) -> None:
        for name in list(self._processes):
            self.kill(name)


def connect(engine: HatchetDouble, token: str | None = None) -> Hatchet:
    return Hatchet(
        config=ClientConfig(
            token=token or engine.env["HATCHET_CLIENT_TOKEN"], tls_config=ClientTLSConfig(strategy="none")
        )
    )


@pytest.fixture(scope="module")
def engine() -> Iterator[HatchetDouble]:
    with HatchetDouble(Settings(lost_after=0.5, finished_tick=0.1, result_limit=10_000)) as double:
        yield double


@pytest.fixture(scope="module")
def workers(engine: HatchetDouble, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(engine, tmp_path_factory.mktemp("workers"))
    try:
        for name in ("alpha", "beta"):
            fleet.start(name, 4, f"site={name}")
        for name in ("alpha", "beta"):
            fleet.wait(name)
        yield fleet
    finally:
        fleet.stop()


@pytest.fixture(scope="module")
def hatchet(engine: HatchetDouble) -> Hatchet:
    return connect(engine)


@pytest.fixture(scope="module")
def tasks(hatchet: Hatchet) -> Tasks:
    return Tasks(hatchet)


def finished(engine: HatchetDouble, run_id: str, *, timeout: float = 60.0) -> dict[str, Any]:
    """Wait for a run's end; its output."""
    engine.wait(lambda: engine.run(run_id).status.final, f"the end of {run_id}", timeout=timeout)
    task = engine.run(run_id).tasks[0]
    assert task.status is Status.COMPLETED, engine.describe()
    output: dict[str, Any] = json.loads(task.output or "{}")
    return output


def counts(hatchet: Hatchet, run: str) -> dict[str, int]:
    with hatchet.metrics.client() as client:
        rows = TaskApi(client).v1_task_list_status_metrics(
            tenant=hatchet.tenant_id,
            since=datetime.now(UTC) - timedelta(hours=1),
            additional_metadata=[f"run:{run}"],
        )
    return {row.status.value: row.count for row in rows if row.count}


def test_a_plain_task_gets_its_input_and_metadata(tasks: Tasks, workers: Fleet) -> None:
    output = tasks.plain.run(Number(n=3), additional_metadata={"run": "plain"})
    assert output.pop("meta").items() >= {"run": "plain"}.items()
    assert output == {"ok": 1, "n": 3, "attempt": 1}


def test_child_keys_give_the_old_ids_again(engine: HatchetDouble, tasks: Tasks, workers: Fleet) -> None:
    ref = tasks.scatter.run(Number(n=3), wait_for_result=False, additional_metadata={"run": "scatter"})
    output = finished(engine, ref.workflow_run_id)
    assert output["same"]
    for run_id in output["ids"]:
        assert finished(engine, run_id)["meta"]["run"] == "scatter"


def test_a_durable_task_sleeps_waits_and_spawns(engine: HatchetDouble, tasks: Tasks, workers: Fleet) -> None:
    ref = tasks.root.run(Number(n=3, seconds=1), wait_for_result=False)
    output = finished(engine, ref.workflow_run_id)
    assert (output["slept"], output["waited"], output["invocation"]) == (1.0, 100, 1)
    assert [finished(engine, run_id)["n"] for run_id in output["ids"]] == [0, 1, 2]


def test_retries_are_used_up(engine: HatchetDouble, tasks: Tasks, workers: Fleet) -> None:
    lucky = tasks.fails.run(Number(n=2), wait_for_result=False)
    unlucky = tasks.fails.run(Number(n=3), wait_for_result=False)
    assert finished(engine, lucky.workflow_run_id) == {"attempt": 3}
    engine.wait(lambda: engine.run(unlucky.workflow_run_id).status is Status.FAILED, "the failure")
    task = engine.run(unlucky.workflow_run_id).tasks[0]
    assert (task.retry_count, task.app_retries) == (2, 2)
    assert "attempt 3" in task.error


def test_an_execution_timeout_fails_the_attempt(engine: HatchetDouble, tasks: Tasks, workers: Fleet) -> None:
    ref = tasks.slow.run(wait_for_result=False)
    engine.wait(lambda: engine.run(ref.workflow_run_id).status is Status.FAILED, "the timeout")
    assert engine.run(ref.workflow_run_id).tasks[0].error == "Task exceeded timeout of 1s"


def test_labels_route(engine: HatchetDouble, hatchet: Hatchet, tasks: Tasks, workers: Fleet) -> None:
    alpha = workers.wait("alpha")
    refs = tasks.choosy.run_many([tasks.choosy.create_bulk_run_item() for _ in range(8)], wait_for_result=False)
    for ref in refs:
        finished(engine, ref.workflow_run_id)
        assert engine.run(ref.workflow_run_id).tasks[0].workers_seen == [alpha]
    rows = hatchet.workers.list().rows or []
    served = [flow.name for flow in hatchet.workers.get(alpha).registered_workflows or []]
    assert set(served) >= {"plain", "choosy", "root"}
    assert {row.name: [label.value for label in row.labels or []] for row in rows if row.name in ("alpha", "beta")} == {
        "alpha": ["alpha"],
        "beta": ["beta"],
    }


def test_a_paused_worker_gets_nothing_and_the_schedule_timeout_cancels(
    engine: HatchetDouble, hatchet: Hatchet, tasks: Tasks, workers: Fleet
) -> None:
    alpha = workers.wait("alpha")
    hatchet.workers.pause(alpha)
    try:
        ref = tasks.choosy.run(wait_for_result=False)
        engine.wait(lambda: engine.run(ref.workflow_run_id).status.final, "the schedule timeout")
    finally:
        hatchet.workers.unpause(alpha)
    assert engine.run(ref.workflow_run_id).status is Status.CANCELLED
    shown = hatchet.runs.get(ref.workflow_run_id).run
    assert (shown.status, shown.error_message) == (V1TaskStatus.FAILED, "")
    with pytest.raises(ValueError, match="was cancelled"):
        ref.result()


def test_cancel_by_metadata_reaches_running_and_queued(
    engine: HatchetDouble, hatchet: Hatchet, tasks: Tasks, workers: Fleet
) -> None:
    meta = {"run": "doomed"}
    items = [tasks.plain.create_bulk_run_item(Number(seconds=60), additional_metadata=meta) for _ in range(20)]
    tasks.plain.run_many(items, wait_for_result=False)
    bystander = tasks.plain.run(Number(n=1), wait_for_result=False, additional_metadata={"run": "other"})
    engine.wait(lambda: counts(hatchet, "doomed") == {"RUNNING": 8, "QUEUED": 12}, "8 slots at work")
    since = datetime.now(UTC) - timedelta(hours=1)
    live = [V1TaskStatus.QUEUED, V1TaskStatus.RUNNING]
    chosen = RunFilter(since=since, statuses=live, additional_metadata=meta)
    hatchet.runs.bulk_cancel(BulkCancelReplayOpts(filters=chosen))
    engine.wait(lambda: counts(hatchet, "doomed") == {"CANCELLED": 20}, "all cancelled")
    assert finished(engine, bystander.workflow_run_id)["n"] == 1
    page = hatchet.runs.list(since=since, additional_metadata=meta, limit=7, include_payloads=False)
    assert [row.status for row in page.rows] == [V1TaskStatus.CANCELLED] * 7


async def test_cancelled_and_oversized_results_are_empty(engine: HatchetDouble, workers: Fleet) -> None:
    hatchet = connect(engine)  # its listener belongs to this test's event loop
    tasks = Tasks(hatchet)
    cancelled = await tasks.plain.aio_run(Number(seconds=60), wait_for_result=False)
    large = await tasks.large.aio_run(Number(n=20_000), wait_for_result=False)
    small = await tasks.large.aio_run(Number(n=5), wait_for_result=False)
    await hatchet.runs.aio_cancel(cancelled.workflow_run_id)
    assert await cancelled.aio_result() == {}
    assert await large.aio_result() == {}
    assert await small.aio_result() == {"text": "xxxxx"}


def test_lost_tasks_and_runs_stay_lost(engine: HatchetDouble, tasks: Tasks, workers: Fleet) -> None:
    engine.trouble.lose_assignments(1, workflow="plain")
    lost = tasks.plain.run(Number(n=1), wait_for_result=False)
    kept = tasks.plain.run(Number(n=2), wait_for_result=False)
    assert finished(engine, kept.workflow_run_id)["n"] == 2
    assert engine.run(lost.workflow_run_id).status is Status.QUEUED
    engine.trouble.lose_runs(1, workflow="plain")
    scatter = tasks.scatter.run(Number(n=2), wait_for_result=False)
    output = finished(engine, scatter.workflow_run_id)
    assert output["same"]
    assert output["ids"][0] not in {run.id for run in engine.runs}
    assert finished(engine, output["ids"][1])["n"] == 1
    engine.forget(output["ids"][1])
    assert output["ids"][1] not in {run.id for run in engine.runs}


@contextmanager
def refused(kind: type[Exception], check: Callable[[Any], bool]) -> Iterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert check(caught.value)


def test_another_token_is_refused(engine: HatchetDouble) -> None:
    stranger = connect(engine, engine.env["HATCHET_CLIENT_TOKEN"] + "x")
    with refused(grpc.RpcError, lambda error: error.code() is grpc.StatusCode.UNAUTHENTICATED):
        Tasks(stranger).plain.run(Number(), wait_for_result=False)
    with refused(ForbiddenException, lambda error: error.status == 403):
        stranger.runs.list()


def test_unknown_workflows_get_an_id_and_no_run(engine: HatchetDouble, hatchet: Hatchet) -> None:
    @hatchet.task(name="nobody-serves-this", input_validator=Number)
    def unknown(spec: Number, ctx: object) -> dict[str, int]:
        return {}

    ref = unknown.run(Number(), wait_for_result=False)
    assert ref.workflow_run_id not in {run.id for run in engine.runs}


def test_a_terminated_worker_hands_its_sleeping_task_on(
    engine: HatchetDouble, tasks: Tasks, workers: Fleet, hatchet: Hatchet
) -> None:
    """SIGTERM: paused, the waiting durable task evicted, and started again elsewhere when its sleep is over."""
    with ExitStack() as stack:
        beta = workers.wait("beta")
        hatchet.workers.pause(beta)
        stack.callback(hatchet.workers.unpause, beta)
        ref = tasks.root.run(Number(n=1, seconds=10), wait_for_result=False)
        engine.wait(lambda: engine.calls["DurableTask"] >= 1 and _sleeps(engine, ref.workflow_run_id), "the sleep")
    alpha = workers.terminate("alpha")
    try:  # evicted while the worker ends, which may take longer than the rest of the sleep
        engine.wait(lambda: engine.run(ref.workflow_run_id).tasks[0].evicted, "the eviction", timeout=10)
        assert alpha.wait(60) == 0
        output = finished(engine, ref.workflow_run_id)
        assert (output["invocation"], output["waited"]) == (2, 100)
        assert len(set(engine.run(ref.workflow_run_id).tasks[0].workers_seen)) == 2
    finally:
        with suppress(ProcessLookupError):
            os.killpg(alpha.pid, signal.SIGKILL)
        alpha.wait()
        workers.start("alpha", 4, "site=alpha")  # for the next test


def _sleeps(engine: HatchetDouble, run_id: str) -> bool:
    return bool(engine.durable_nodes(run_id))


def test_a_killed_workers_tasks_start_again_elsewhere(engine: HatchetDouble, tasks: Tasks, workers: Fleet) -> None:
    workers.wait("alpha")
    items = [tasks.plain.create_bulk_run_item(Number(n=n, seconds=1)) for n in range(8)]
    refs = tasks.plain.run_many(items, wait_for_result=False)
    run_ids = [ref.workflow_run_id for ref in refs]
    engine.wait(lambda: all(engine.run(i).tasks[0].started for i in run_ids), "all 8 started")
    workers.kill("beta")
    outputs = [finished(engine, run_id) for run_id in run_ids]
    assert sorted(output["attempt"] for output in outputs) == [1] * 4 + [2] * 4
    again = [engine.run(i).tasks[0] for i in run_ids if engine.run(i).tasks[0].retry_count]
    assert {(task.reassignments, task.app_retries) for task in again} == {(1, 0)}


def test_an_engine_that_was_away_finds_its_workers_again(
    engine: HatchetDouble, hatchet: Hatchet, tasks: Tasks, workers: Fleet
) -> None:
    workers.wait("alpha")
    ref = tasks.plain.run(Number(n=7, seconds=1), wait_for_result=False)
    engine.wait(lambda: engine.run(ref.workflow_run_id).tasks[0].started, "the start")
    with engine.unreachable(), pytest.raises(Exception, match=r"refused|Connection"):
        hatchet.runs.list()
    assert finished(engine, ref.workflow_run_id, timeout=30)["n"] == 7
    workers.wait("alpha")

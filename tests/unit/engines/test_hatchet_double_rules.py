"""The rules of the Hatchet double that need no server: labels, queues, slots, deaths, durable logs."""

from __future__ import annotations

import pytest
from hatchet_double import Settings, Status, Trouble
from hatchet_double.durable import DurableLog, Kind, NonDeterminismError
from hatchet_double.durations import seconds
from hatchet_double.engine import Engine
from hatchet_double.labels import Desired, weigh
from hatchet_double.records import Task, Worker
from hatchet_sdk.contracts.dispatcher_pb2 import WorkerLabels, WorkerRegisterRequest
from hatchet_sdk.contracts.v1.shared.trigger_pb2 import DesiredWorkerLabels, TriggerWorkflowRequest
from hatchet_sdk.contracts.v1.workflows_pb2 import CreateTaskOpts, CreateWorkflowVersionRequest


def make_engine(settings: Settings | None = None) -> Engine:
    """An engine that knows the workflow "w" of one task."""
    engine = Engine(settings or Settings(), Trouble())
    task = CreateTaskOpts(readable_id="w", action="w:w", timeout="60s", schedule_timeout="1h", retries=1)
    engine.workflows.put(CreateWorkflowVersionRequest(name="w", tasks=[task]))
    return engine


def add_worker(engine: Engine, name: str, slots: int, **labels: str) -> Worker:
    request = WorkerRegisterRequest(
        worker_name=name,
        actions=["w:w"],
        slot_config={"default": slots},
        labels={key: WorkerLabels(str_value=value) for key, value in labels.items()},
    )
    worker = engine.fleet.register(request)
    engine.fleet.open_stream(worker)
    engine.fleet.heartbeat(worker)
    return worker


def submit(engine: Engine, count: int = 1, **wishes: str) -> list[Task]:
    labels = {key: DesiredWorkerLabels(str_value=value, required=True) for key, value in wishes.items()}
    trigger = TriggerWorkflowRequest(name="w", desired_worker_labels=labels)
    tasks = [engine.tasks[engine.submit(trigger)] for _ in range(count)]
    engine.assign_now()
    return tasks


def running(tasks: list[Task]) -> int:
    return sum(task.status is Status.RUNNING for task in tasks)


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("1h30m", 5400), ("500ms", 0.5), ("0h", 0), ("168h", 604_800)]
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "5", "-5s", "1d", "s"])
def test_durations_that_the_engine_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        seconds(text)


@pytest.mark.parametrize(
    ("comparator", "value", "actual", "met"),
    [
        (0, "a", "a", True),
        (0, "a", "b", False),
        (1, "a", "b", True),
        (2, 4, 8, True),
        (5, 4, 8, False),
        (2, 4, "8", False),
    ],
)
def test_labels(comparator: int, value: str | int, actual: str | int, met: bool) -> None:
    wish = Desired(key="k", value=value, required=True, comparator=comparator, weight=7)
    assert weigh((wish,), {"k": actual}) == (7 if met else None)
    assert weigh((wish,), {}) is None
    assert weigh((Desired("k", value, False, comparator, 7),), {}) == 0


async def test_a_task_without_a_place_does_not_hold_up_others() -> None:
    engine = make_engine()
    add_worker(engine, "a", 1, site="a")
    hopeless = submit(engine, 3, site="nowhere")
    served = submit(engine, 1, site="a")
    assert (running(hopeless), running(served)) == (0, 1)


async def test_freed_slots_wait_for_the_refill() -> None:
    engine = make_engine(Settings(refill_interval=1.0))
    add_worker(engine, "a", 2)
    tasks = submit(engine, 6)
    assert running(tasks) == 2
    for task in tasks[:2]:
        engine.complete(task, "")
    engine.assign_now()
    assert running(tasks) == 0
    engine.fleet.refill()
    engine.assign_now()
    assert running(tasks) == 2


@pytest.mark.parametrize(("pause_lag", "taken"), [(0.0, 0), (60.0, 1)])
async def test_a_paused_worker_takes_tasks_until_the_scheduler_knows(pause_lag: float, taken: int) -> None:
    engine = make_engine(Settings(pause_lag=pause_lag))
    engine.fleet.pause(add_worker(engine, "a", 2), paused=True)
    assert running(submit(engine)) == taken


async def test_a_death_uses_up_no_retry_and_too_many_fail() -> None:
    engine = make_engine(Settings(max_reassignments=2))
    add_worker(engine, "a", 1)
    (task,) = submit(engine)
    for death in (1, 2):
        engine.reassign(task)
        engine.assign_now()
        assert (task.status, task.retry_count, task.app_retries) == (Status.RUNNING, death, 0)
    engine.reassign(task)
    assert (task.status, task.error) == (Status.FAILED, "")
    assert task.shown_error == "Task reached its maximum reassignment count"


async def test_reports_of_an_old_attempt_do_not_count() -> None:
    engine = make_engine()
    add_worker(engine, "a", 1)
    (task,) = submit(engine)
    assert engine.current(task.id, 0) is task
    engine.fail(task, "first")
    engine.assign_now()
    assert engine.current(task.id, 0) is None
    assert engine.current(task.id, 1) is task
    engine.fail(task, "second")
    assert (task.status, task.error) == (Status.FAILED, "second")


async def test_what_a_broken_stream_did_not_send_goes_elsewhere() -> None:
    engine = make_engine()
    first = add_worker(engine, "a", 1)
    (task,) = submit(engine)
    assert first.stream is not None
    second = add_worker(engine, "b", 1)
    engine.close_stream(first, first.stream)
    engine.assign_now()
    assert (task.worker_id, task.reassignments) == (second.id, 1)


def test_a_replay_walks_the_same_nodes() -> None:
    log = DurableLog("task")
    log.start_invocation()
    sleep, is_new = log.visit(Kind.WAIT_FOR, b"1s")
    assert is_new
    child, _ = log.visit(Kind.RUN, b"input")
    log.adopt(child, "run")
    log.satisfy(child)
    log.satisfy(sleep)
    assert (child.order, sleep.order) == (1, 2)
    log.start_invocation()
    assert log.visit(Kind.WAIT_FOR, b"1s") == (sleep, False)
    log.revisit(child, None)
    assert log.latest_node == 2


def test_a_replay_that_does_something_else_is_refused() -> None:
    log = DurableLog("task")
    log.start_invocation()
    log.visit(Kind.WAIT_FOR, b"1s")
    log.start_invocation()
    with pytest.raises(NonDeterminismError, match="node 1"):
        log.visit(Kind.RUN, b"input")

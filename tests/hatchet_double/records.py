"""What the engine remembers: workflows, runs, tasks, workers. Plain data; a test may read all of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from hatchet_sdk.contracts.dispatcher_pb2 import AssignedAction

from .labels import Desired, Label

Stream = asyncio.Queue[AssignedAction]


def now() -> datetime:
    return datetime.now(UTC)


class Status(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        return self in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True)
class TaskSpec:
    """One task of a workflow, as it was registered."""

    id: str
    name: str
    action: str
    timeout: str
    schedule_timeout: str
    retries: int
    backoff_factor: float | None
    backoff_max: float | None
    slots: tuple[tuple[str, int], ...]
    labels: tuple[Desired, ...]
    durable: bool
    parents: tuple[str, ...]


@dataclass(frozen=True)
class Workflow:
    id: str
    version_id: str
    name: str
    tasks: tuple[TaskSpec, ...]
    definition: bytes
    created: datetime = field(default_factory=now)


@dataclass
class Task:
    """One task of one run.

    `retry_count` counts every start after the first; `app_retries` those that used up a retry, `reassignments` those
    after a worker's death. `shown_status` and `shown_error` are what REST tells, late and sometimes different.
    """

    id: str
    number: int
    run_id: str
    spec: TaskSpec
    input: dict[str, Any]
    metadata: dict[str, Any]
    labels: tuple[Desired, ...]
    priority: int = 1
    desired_worker: str | None = None
    parent_task: str | None = None
    child_index: int | None = None
    child_key: str | None = None
    status: Status = Status.QUEUED
    error: str = ""
    output: str = ""
    retry_count: int = 0
    app_retries: int = 0
    reassignments: int = 0
    worker_id: str | None = None
    evicted: bool = False
    workers_seen: list[str] = field(default_factory=list)
    created: datetime = field(default_factory=now)
    started: datetime | None = None
    finished: datetime | None = None
    shown_status: Status = Status.QUEUED
    shown_error: str = ""
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)


@dataclass
class Run:
    """One run of a workflow; a workflow of one task shares the task's id, as in the engine."""

    id: str
    workflow: Workflow
    tasks: list[Task]
    input: dict[str, Any]
    metadata: dict[str, Any]
    parent_task: str | None
    visible: bool = False
    created: datetime = field(default_factory=now)

    @property
    def status(self) -> Status:
        return derive([task.status for task in self.tasks])

    @property
    def shown_status(self) -> Status:
        return derive([task.shown_status for task in self.tasks])

    @property
    def result(self) -> dict[str, Any]:
        """The output as others get it: the task's own for a workflow of one task, else by task name."""
        outputs = {task.spec.name: json.loads(task.output) for task in self.tasks if task.output}
        return next(iter(outputs.values()), {}) if len(self.workflow.tasks) == 1 else outputs


def derive(statuses: list[Status]) -> Status:
    """A run's status from its tasks'."""
    if any(not status.final for status in statuses):
        return Status.QUEUED if all(status is Status.QUEUED for status in statuses) else Status.RUNNING
    for worst in (Status.FAILED, Status.CANCELLED):
        if worst in statuses:
            return worst
    return Status.COMPLETED


@dataclass
class Worker:
    """A registered worker: `free` slots are takable, `owed` ones come back at the next refill."""

    id: str
    name: str
    actions: frozenset[str]
    labels: dict[str, Label]
    slots: dict[str, int]
    free: dict[str, int]
    owed: dict[str, int]
    sdk_version: str = ""
    paused: bool = False
    paused_since: float = 0.0
    tasks: set[str] = field(default_factory=set)
    stream: Stream | None = field(default=None, repr=False)
    last_heartbeat: float | None = None  # the loop's clock, as the next
    stream_lost: float | None = None
    registered: datetime = field(default_factory=now)
    heartbeat_at: datetime | None = None

    @property
    def connected(self) -> bool:
        return self.stream is not None

"""Definitions: PutWorkflow's message in, a frozen Workflow out. The same definition twice is one version."""

from __future__ import annotations

import uuid

from hatchet_sdk.contracts.v1.workflows_pb2 import CreateTaskOpts, CreateWorkflowVersionRequest

from .durations import seconds
from .labels import Desired
from .records import TaskSpec, Workflow

DEFAULT_TIMEOUT = "60s"
DEFAULT_SCHEDULE_TIMEOUT = "5m"


class Workflows:
    """The newest version of each workflow, by name."""

    def __init__(self) -> None:
        self.by_name: dict[str, Workflow] = {}

    def put(self, request: CreateWorkflowVersionRequest) -> Workflow:
        """Register a workflow. ValueError for a definition that the engine refuses."""
        definition = request.SerializeToString(deterministic=True)
        known = self.by_name.get(request.name)
        if known is not None and known.definition == definition:
            return known
        workflow = Workflow(
            id=known.id if known else str(uuid.uuid4()),
            version_id=str(uuid.uuid4()),
            name=request.name,
            tasks=tuple(_spec(task) for task in request.tasks),
            definition=definition,
        )
        self.by_name[request.name] = workflow
        return workflow


def _spec(task: CreateTaskOpts) -> TaskSpec:
    timeout = task.timeout or DEFAULT_TIMEOUT
    schedule_timeout = task.schedule_timeout or DEFAULT_SCHEDULE_TIMEOUT
    for duration in (timeout, schedule_timeout):
        seconds(duration)
    slots = dict(task.slot_requests) or {"durable" if task.is_durable else "default": 1}
    return TaskSpec(
        id=str(uuid.uuid4()),
        name=task.readable_id,
        action=task.action,
        timeout=timeout,
        schedule_timeout=schedule_timeout,
        retries=task.retries,
        backoff_factor=task.backoff_factor if task.HasField("backoff_factor") else None,
        backoff_max=float(task.backoff_max_seconds) if task.HasField("backoff_max_seconds") else None,
        slots=tuple(sorted(slots.items())),
        labels=tuple(Desired.from_proto(key, wish) for key, wish in sorted(task.worker_labels.items())),
        durable=task.is_durable,
        parents=tuple(task.parents),
    )

"""A trigger becomes a run and its tasks, not queued yet."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator
from typing import Any

from hatchet_sdk.contracts.v1.shared.trigger_pb2 import TriggerWorkflowRequest

from .labels import Desired
from .records import Run, Task, TaskSpec, Workflow

_NUMBERS = itertools.count(1)


def new_run(run_id: str, workflow: Workflow, request: TriggerWorkflowRequest) -> Run:
    run = Run(
        id=run_id,
        workflow=workflow,
        tasks=[],
        input=_stored(json.loads(request.input or "{}")),
        metadata=_with_origin(json.loads(request.additional_metadata or "{}"), request),
        parent_task=request.parent_task_run_external_id or None,
    )
    run.tasks.extend(_tasks(run, request))
    return run


def _with_origin(metadata: dict[str, Any], request: TriggerWorkflowRequest) -> dict[str, Any]:
    """The engine adds keys of its own to everybody's metadata."""
    metadata.setdefault("traceparent", f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01")
    if request.HasField("parent_task_run_external_id"):
        metadata["hatchet__parent_step_run_id"] = request.parent_task_run_external_id
        metadata["hatchet__parent_workflow_run_id"] = request.parent_id
    return metadata


def _stored(value: Any) -> Any:
    """What comes back from the engine's database: 2.0 as 2."""
    if isinstance(value, dict):
        return {key: _stored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_stored(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _tasks(run: Run, request: TriggerWorkflowRequest) -> Iterator[Task]:
    alone = len(run.workflow.tasks) == 1
    for spec in run.workflow.tasks:
        yield _task(run.id if alone else str(uuid.uuid4()), run, spec, request)


def _task(task_id: str, run: Run, spec: TaskSpec, request: TriggerWorkflowRequest) -> Task:
    wishes = tuple(Desired.from_proto(key, wish) for key, wish in sorted(request.desired_worker_labels.items()))
    return Task(
        id=task_id,
        number=next(_NUMBERS),
        run_id=run.id,
        spec=spec,
        input=run.input,
        metadata=run.metadata,
        labels=wishes or spec.labels,
        priority=request.priority if request.HasField("priority") else 1,
        desired_worker=request.desired_worker_id or None,
        parent_task=run.parent_task,
        child_index=request.child_index if request.HasField("child_index") else None,
        child_key=request.child_key if request.HasField("child_key") else None,
    )

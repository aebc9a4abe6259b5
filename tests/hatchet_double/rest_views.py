"""What REST shows of runs, tasks and workers: the JSON the SDK's models read."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from .records import Run, Status, Task, Worker, Workflow

Json = dict[str, Any]


def _meta(identifier: str, created: datetime, updated: datetime | None = None) -> Json:
    return {"id": identifier, "createdAt": created.isoformat(), "updatedAt": (updated or created).isoformat()}


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _milliseconds(task: Task) -> int | None:
    if task.started is None or task.finished is None:
        return None
    return int((task.finished - task.started) / timedelta(milliseconds=1))


def task_summary(task: Task, run: Run, tenant: str, *, payloads: bool = True) -> Json:
    completed = task.shown_status is Status.COMPLETED
    return {
        "metadata": _meta(task.id, task.created, task.finished),
        "actionId": task.spec.action,
        "retryCount": task.retry_count,
        "attempt": task.retry_count + 1,
        "additionalMetadata": task.metadata,
        "createdAt": _time(task.created),
        "displayName": f"{task.spec.name}-{task.number}",
        "duration": _milliseconds(task),
        "isDurable": task.spec.durable,
        "errorMessage": task.shown_error,
        "startedAt": _time(task.started),
        "finishedAt": _time(task.finished),
        "input": task.input if payloads else {},
        "output": json.loads(task.output) if payloads and completed and task.output else {},
        "numSpawnedChildren": 0,
        "status": task.shown_status.value,
        "isEvicted": task.evicted,
        "stepId": task.spec.id,
        "taskExternalId": task.id,
        "taskId": task.number,
        "taskInsertedAt": _time(task.created),
        "tenantId": tenant,
        "type": "TASK",
        "workflowId": run.workflow.id,
        "workflowName": run.workflow.name,
        "workflowRunExternalId": run.id,
        "workflowVersionId": run.workflow.version_id,
        "parentTaskExternalId": task.parent_task,
    }


def run_summary(run: Run, tenant: str, *, payloads: bool = True) -> Json:
    """A row of the list of runs: the task itself, or a frame around several."""
    rows = [task_summary(task, run, tenant, payloads=payloads) for task in run.tasks]
    if len(rows) == 1:
        return rows[0]
    return {
        **rows[0],
        "metadata": _meta(run.id, run.created),
        "taskExternalId": run.id,
        "displayName": f"{run.workflow.name}-{run.tasks[0].number}",
        "type": "DAG",
        "status": run.shown_status.value,
        "output": run.result if payloads else {},
        "children": rows,
    }


def run_details(run: Run, tenant: str) -> Json:
    errors = [task.shown_error for task in run.tasks if task.shown_error]
    completed = run.shown_status is Status.COMPLETED
    return {
        "run": {
            "metadata": _meta(run.id, run.created),
            "status": run.shown_status.value,
            "startedAt": _time(_extreme(min, [task.started for task in run.tasks])),
            "finishedAt": _time(_extreme(max, [task.finished for task in run.tasks])),
            "tenantId": tenant,
            "additionalMetadata": run.metadata,
            "displayName": f"{run.workflow.name}-{run.tasks[0].number}",
            "workflowId": run.workflow.id,
            "workflowVersionId": run.workflow.version_id,
            "output": run.result if completed else {},
            "errorMessage": errors[0] if errors else "",
            "input": run.input,
            "createdAt": _time(run.created),
            "parentTaskExternalId": run.parent_task,
        },
        "taskEvents": [],
        "shape": [
            {"taskExternalId": task.id, "stepId": task.spec.id, "childrenStepIds": [], "taskName": task.spec.name}
            for task in run.tasks
        ],
        "tasks": [task_summary(task, run, tenant) for task in run.tasks],
    }


def _extreme(choose: Callable[[list[datetime]], datetime], moments: list[datetime | None]) -> datetime | None:
    known = [moment for moment in moments if moment is not None]
    return choose(known) if known else None


def serves(worker: Worker, flow: Workflow) -> bool:
    return any(spec.action in worker.actions for spec in flow.tasks)


def worker_view(worker: Worker, flows: list[Workflow] | None = None) -> Json:
    """A worker; the workflows it serves are told of one worker only, not in lists."""
    status = "PAUSED" if worker.paused else "ACTIVE" if worker.connected else "INACTIVE"
    return {
        "metadata": _meta(worker.id, worker.registered, worker.heartbeat_at),
        "name": worker.name,
        "type": "SELFHOSTED",
        "status": status,
        "lastHeartbeatAt": _time(worker.heartbeat_at),
        "lastListenerEstablished": _time(worker.registered),
        "actions": sorted(worker.actions),
        "slotConfig": {pool: {"available": worker.free[pool], "limit": limit} for pool, limit in worker.slots.items()},
        "labels": [
            {"metadata": _meta(f"{index}", worker.registered), "key": key, "value": str(value)}
            for index, (key, value) in enumerate(worker.labels.items())
        ],
        "registeredWorkflows": [{"id": flow.id, "name": flow.name} for flow in flows or []],
        "runtimeInfo": {"sdkVersion": worker.sdk_version, "language": "PYTHON"},
    }


def pagination(total: int, offset: int, limit: int) -> Json:
    page = offset // limit + 1
    pages = max(1, -(-total // limit))
    return {"current_page": page, "next_page": min(page + 1, pages), "num_pages": pages}

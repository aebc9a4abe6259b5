"""The messages to workers: start this, cancel that."""

from __future__ import annotations

import json

from hatchet_sdk.contracts.dispatcher_pb2 import CANCEL_STEP_RUN, START_STEP_RUN, ActionType, AssignedAction

from .records import Run, Task


def start_action(tenant: str, run: Run, task: Task, *, invocation: int | None) -> AssignedAction:
    """What a worker needs to run a task: its input, and the outputs of its parents in a workflow of several tasks."""
    parents = {
        other.spec.name: json.loads(other.output or "{}") for other in run.tasks if other.spec.name in task.spec.parents
    }
    action = _action(tenant, run, task, START_STEP_RUN, invocation)
    triggers = {"filter_payload": None}
    payload = {"input": task.input, "parents": parents, "triggers": triggers, "triggered_by": "manual"}
    action.action_payload = json.dumps(payload)
    return action


def cancel_action(tenant: str, run: Run, task: Task, *, invocation: int | None) -> AssignedAction:
    return _action(tenant, run, task, CANCEL_STEP_RUN, invocation)


def _action(tenant: str, run: Run, task: Task, kind: ActionType, invocation: int | None) -> AssignedAction:
    return AssignedAction(
        tenant_id=tenant,
        workflow_run_id=run.id,
        job_id=task.spec.id,
        job_name=task.spec.name,
        job_run_id=task.id,
        task_id=task.spec.id,
        task_run_external_id=task.id,
        action_id=task.spec.action,
        action_type=kind,
        task_name=task.spec.name,
        retry_count=task.retry_count,
        additional_metadata=json.dumps(task.metadata),
        child_workflow_index=task.child_index,
        child_workflow_key=task.child_key,
        parent_workflow_run_id=task.parent_task,
        priority=task.priority,
        workflow_id=run.workflow.id,
        workflow_version_id=run.workflow.version_id,
        durable_task_invocation_count=invocation,
    )

"""AdminService and WorkflowService: workflows are registered, runs triggered and looked up."""

from __future__ import annotations

import json

from hatchet_sdk.contracts import workflows_pb2 as v0
from hatchet_sdk.contracts.v1 import workflows_pb2 as v1
from hatchet_sdk.contracts.v1.shared.trigger_pb2 import TriggerWorkflowRequest

from .engine import Engine
from .records import Run, Status, Task
from .rpc import Code, Context, Method

_PROTO_STATUS = {status: v1.RunStatus.Value(status.value) for status in Status}


class AdminService:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def methods(self) -> dict[str, Method]:
        return {
            "PutWorkflow": Method(v1.CreateWorkflowVersionRequest, self.put_workflow),
            "GetRunDetails": Method(v1.GetRunDetailsRequest, self.get_run_details),
        }

    async def put_workflow(
        self, request: v1.CreateWorkflowVersionRequest, context: Context
    ) -> v1.CreateWorkflowVersionResponse:
        try:
            workflow = self._engine.workflows.put(request)
        except ValueError as error:
            await context.abort(Code.INVALID_ARGUMENT, str(error))
        return v1.CreateWorkflowVersionResponse(id=workflow.version_id, workflow_id=workflow.id)

    async def get_run_details(self, request: v1.GetRunDetailsRequest, context: Context) -> v1.GetRunDetailsResponse:
        run = self._engine.runs.get(request.external_id)
        if run is None:
            await context.abort(Code.NOT_FOUND, "workflow run not found")
        return _details(run)


def _details(run: Run) -> v1.GetRunDetailsResponse:
    return v1.GetRunDetailsResponse(
        input=json.dumps(run.input).encode(),
        additional_metadata=json.dumps(run.metadata).encode(),
        status=_PROTO_STATUS[run.status],
        task_runs={task.spec.name: _task_detail(task) for task in run.tasks},
        done=run.status.final,
        is_evicted=any(task.evicted and not task.status.final for task in run.tasks),
    )


def _task_detail(task: Task) -> v1.TaskRunDetail:
    return v1.TaskRunDetail(
        external_id=task.id,
        readable_id=task.spec.name,
        status=_PROTO_STATUS[task.status],
        error=task.error or None,
        output=task.output.encode() or None,
        is_evicted=task.evicted and not task.status.final,
    )


class WorkflowService:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def methods(self) -> dict[str, Method]:
        return {
            "TriggerWorkflow": Method(TriggerWorkflowRequest, self.trigger_workflow),
            "BulkTriggerWorkflow": Method(v0.BulkTriggerWorkflowRequest, self.bulk_trigger_workflow),
        }

    async def trigger_workflow(self, request: TriggerWorkflowRequest, context: Context) -> v0.TriggerWorkflowResponse:
        if self._engine.trouble.refuses_triggers:
            await context.abort(Code.RESOURCE_EXHAUSTED, "could not extend file: no space left on device")
        return v0.TriggerWorkflowResponse(workflow_run_id=self._engine.submit(request))

    async def bulk_trigger_workflow(
        self, request: v0.BulkTriggerWorkflowRequest, context: Context
    ) -> v0.BulkTriggerWorkflowResponse:
        limit = self._engine.settings.bulk_limit
        if len(request.workflows) > limit:
            await context.abort(Code.INVALID_ARGUMENT, f"at most {limit} workflows in one request")
        run_ids = [self._engine.submit(wish) for wish in request.workflows]
        return v0.BulkTriggerWorkflowResponse(workflow_run_ids=run_ids)

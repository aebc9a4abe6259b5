"""Dispatcher: workers register, listen, send heartbeats and reports; anyone may subscribe to a run's end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from hatchet_sdk.contracts import dispatcher_pb2 as v0

from .engine import Engine
from .records import Task, Worker, now
from .rpc import Code, Context, Method
from .subscription import Subscription


class DispatcherService:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def methods(self) -> dict[str, Method]:
        return {
            "GetVersion": Method(v0.GetVersionRequest, self.get_version),
            "Register": Method(v0.WorkerRegisterRequest, self.register),
            "ListenV2": Method(v0.WorkerListenRequest, self.listen_v2, answers=True),
            "Heartbeat": Method(v0.HeartbeatRequest, self.heartbeat),
            "Unsubscribe": Method(v0.WorkerUnsubscribeRequest, self.unsubscribe),
            "UpsertWorkerLabels": Method(v0.UpsertWorkerLabelsRequest, self.upsert_worker_labels),
            "SendStepActionEvent": Method(v0.StepActionEvent, self.send_step_action_event),
            "RefreshTimeout": Method(v0.RefreshTimeoutRequest, self.refresh_timeout),
            "ReleaseSlot": Method(v0.ReleaseSlotRequest, self.release_slot),
            "RestoreEvictedTask": Method(v0.RestoreEvictedTaskRequest, self.restore_evicted_task),
            "SubscribeToWorkflowRuns": Method(
                v0.SubscribeToWorkflowRunsRequest, self.subscribe_to_workflow_runs, asks=True, answers=True
            ),
        }

    async def get_version(self, request: v0.GetVersionRequest, context: Context) -> v0.GetVersionResponse:
        return v0.GetVersionResponse(version=self._engine.settings.version)

    # -- workers -------------------------------------------------------------------------------------------------

    async def register(self, request: v0.WorkerRegisterRequest, context: Context) -> v0.WorkerRegisterResponse:
        worker = self._engine.fleet.register(request)
        return v0.WorkerRegisterResponse(tenant_id=self._engine.tenant, worker_id=worker.id, worker_name=worker.name)

    async def listen_v2(self, request: v0.WorkerListenRequest, context: Context) -> AsyncIterator[v0.AssignedAction]:
        worker = await self._worker(request.worker_id, context)
        stream = self._engine.fleet.open_stream(worker)
        try:
            while True:
                yield await stream.get()
        finally:
            self._engine.close_stream(worker, stream)

    async def heartbeat(self, request: v0.HeartbeatRequest, context: Context) -> v0.HeartbeatResponse:
        worker = await self._worker(request.worker_id, context)
        if worker.stream_lost is not None:
            reason = f"Heartbeat rejected: worker stream is not active: {worker.id}"
            await context.abort(Code.FAILED_PRECONDITION, reason)
        self._engine.fleet.heartbeat(worker)
        self._engine.wake()
        return v0.HeartbeatResponse()

    async def unsubscribe(self, request: v0.WorkerUnsubscribeRequest, context: Context) -> v0.WorkerUnsubscribeResponse:
        worker = await self._worker(request.worker_id, context)
        return v0.WorkerUnsubscribeResponse(tenant_id=self._engine.tenant, worker_id=worker.id)

    async def upsert_worker_labels(
        self, request: v0.UpsertWorkerLabelsRequest, context: Context
    ) -> v0.UpsertWorkerLabelsResponse:
        worker = await self._worker(request.worker_id, context)
        for key, label in request.labels.items():
            worker.labels[key] = label.int_value if label.HasField("int_value") else label.str_value
        self._engine.wake()
        return v0.UpsertWorkerLabelsResponse(tenant_id=self._engine.tenant, worker_id=worker.id)

    async def _worker(self, worker_id: str, context: Context) -> Worker:
        worker = self._engine.fleet.workers.get(worker_id)
        if worker is None:
            await context.abort(Code.NOT_FOUND, f"worker not found: {worker_id}")
        return worker

    # -- reports -------------------------------------------------------------------------------------------------

    async def send_step_action_event(self, request: v0.StepActionEvent, context: Context) -> v0.ActionEventResponse:
        task = self._engine.current(request.task_run_external_id, request.retry_count)
        if task is not None:
            self._take_report(task, request)
        return v0.ActionEventResponse(tenant_id=self._engine.tenant, worker_id=request.worker_id)

    def _take_report(self, task: Task, report: v0.StepActionEvent) -> None:
        match report.event_type:
            case v0.STEP_EVENT_TYPE_STARTED | v0.STEP_EVENT_TYPE_ACKNOWLEDGED:
                self._engine.started(task)
            case v0.STEP_EVENT_TYPE_COMPLETED:
                self._engine.complete(task, report.event_payload)
            case v0.STEP_EVENT_TYPE_FAILED:
                self._engine.fail(task, report.event_payload, retry=not report.should_not_retry)
            case v0.STEP_EVENT_TYPE_CANCELLED:
                self._engine.cancel(task)

    async def refresh_timeout(self, request: v0.RefreshTimeoutRequest, context: Context) -> v0.RefreshTimeoutResponse:
        task = await self._task(request.task_run_external_id, context)
        left = self._engine.refresh_timeout(task, request.increment_timeout_by)
        return v0.RefreshTimeoutResponse(timeout_at=now() + timedelta(seconds=left))

    async def release_slot(self, request: v0.ReleaseSlotRequest, context: Context) -> v0.ReleaseSlotResponse:
        self._engine.release_slot(await self._task(request.task_run_external_id, context))
        return v0.ReleaseSlotResponse()

    async def restore_evicted_task(
        self, request: v0.RestoreEvictedTaskRequest, context: Context
    ) -> v0.RestoreEvictedTaskResponse:
        self._engine.restore(await self._task(request.task_run_external_id, context))
        return v0.RestoreEvictedTaskResponse(requeued=True)

    async def _task(self, task_id: str, context: Context) -> Task:
        task = self._engine.tasks.get(task_id)
        if task is None:
            await context.abort(Code.NOT_FOUND, f"task not found: {task_id}")
        return task

    # -- ends of runs --------------------------------------------------------------------------------------------

    async def subscribe_to_workflow_runs(
        self, requests: AsyncIterator[v0.SubscribeToWorkflowRunsRequest], context: Context
    ) -> AsyncIterator[v0.WorkflowRunEvent]:
        subscription = Subscription(self._engine)
        reader = asyncio.create_task(subscription.read(requests))
        try:
            async for event in subscription.events():
                yield event
        finally:
            reader.cancel()
            subscription.close()

"""EventsService: user events wake durable waits; log lines are kept for inspection."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from hatchet_sdk.contracts import events_pb2 as v0

from .durable_service import DurableService
from .rpc import Context, Method


@dataclass(frozen=True)
class LogLine:
    task_id: str
    level: str
    message: str


class EventsService:
    def __init__(self, tenant: str, durable: DurableService, lines: list[LogLine]) -> None:
        self._tenant = tenant
        self._durable = durable
        self._lines = lines

    def methods(self) -> dict[str, Method]:
        return {
            "Push": Method(v0.PushEventRequest, self.push),
            "BulkPush": Method(v0.BulkPushEventRequest, self.bulk_push),
            "PutLog": Method(v0.PutLogRequest, self.put_log),
            "PutStreamEvent": Method(v0.PutStreamEventRequest, self.put_stream_event),
        }

    async def push(self, request: v0.PushEventRequest, context: Context) -> v0.Event:
        self._durable.user_event(request.key, request.payload)
        return v0.Event(
            tenant_id=self._tenant,
            event_id=str(uuid.uuid4()),
            key=request.key,
            payload=request.payload,
            event_timestamp=request.event_timestamp,
        )

    async def bulk_push(self, request: v0.BulkPushEventRequest, context: Context) -> v0.Events:
        return v0.Events(events=[await self.push(event, context) for event in request.events])

    async def put_log(self, request: v0.PutLogRequest, context: Context) -> v0.PutLogResponse:
        self._lines.append(LogLine(request.task_run_external_id, request.level, request.message))
        return v0.PutLogResponse()

    async def put_stream_event(self, request: v0.PutStreamEventRequest, context: Context) -> v0.PutStreamEventResponse:
        return v0.PutStreamEventResponse()

"""The stream between a worker and the logs of its durable tasks: answers, and completions in recorded order."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hatchet_sdk.contracts.v1.dispatcher_pb2 import (
    DurableEventLogEntryRef,
    DurableTaskEventLogEntryCompletedResponse,
    DurableTaskResponse,
    DurableTaskServerEvictNotice,
)

from .durable import BRANCH, DurableLog, Entry

Invocation = tuple[str, int]


@dataclass
class _Release:
    """Completions go out in their order; one that is ahead of its turn waits."""

    sent: int = 0
    held: dict[int, DurableTaskResponse] = field(default_factory=dict)


@dataclass
class Session:
    """One DurableTask stream."""

    worker_id: str = ""
    out: asyncio.Queue[DurableTaskResponse | None] = field(default_factory=asyncio.Queue)
    _releases: dict[Invocation, _Release] = field(default_factory=dict)

    def send(self, response: DurableTaskResponse) -> None:
        self.out.put_nowait(response)

    def close(self) -> None:
        self.out.put_nowait(None)

    def resume(self, task_id: str, invocation: int, received: int) -> None:
        """After a reconnect the worker says how far it got."""
        release = self._releases.setdefault((task_id, invocation), _Release())
        release.sent = max(release.sent, received)

    def deliver(self, log: DurableLog, entry: Entry) -> None:
        """Tell the worker that a node came true."""
        response = _completed(log, entry)
        if entry.order is None:
            self.send(response)
            return
        release = self._releases.setdefault((log.task_id, log.invocation), _Release())
        if entry.order <= release.sent:
            self.send(response)
            return
        release.held[entry.order] = response
        while release.sent + 1 in release.held:
            release.sent += 1
            self.send(release.held.pop(release.sent))

    def evict_stale(self, task_id: str, invocation: int, current: int) -> None:
        """Tell the worker to drop an invocation that another one has replaced."""
        reason = f"stale invocation: server has {current}, worker sent {invocation}"
        notice = DurableTaskServerEvictNotice(
            durable_task_external_id=task_id, invocation_count=invocation, reason=reason
        )
        self.send(DurableTaskResponse(server_evict=notice))


def reference(log: DurableLog, node: int) -> DurableEventLogEntryRef:
    return DurableEventLogEntryRef(
        durable_task_external_id=log.task_id, invocation_count=log.invocation, branch_id=BRANCH, node_id=node
    )


def _completed(log: DurableLog, entry: Entry) -> DurableTaskResponse:
    return DurableTaskResponse(
        entry_completed=DurableTaskEventLogEntryCompletedResponse(
            ref=reference(log, entry.node),
            payload=b"" if entry.error is not None else entry.payload,
            is_failure=entry.error is not None,
            error_message=entry.error,
            satisfied_order=entry.order,
        )
    )

"""V1Dispatcher: durable tasks spawn, sleep, wait for events, remember, and are evicted over one stream a worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from hatchet_sdk.contracts.v1 import dispatcher_pb2 as v1
from hatchet_sdk.contracts.v1.shared.condition_pb2 import DurableEventListenerConditions
from hatchet_sdk.contracts.v1.shared.trigger_pb2 import TriggerWorkflowRequest

from .durable import BRANCH, DurableLog, Entry, Kind, NonDeterminismError, content_key
from .durations import seconds
from .engine import Engine
from .records import Run, Status
from .rpc import Context, Method
from .sessions import Session, reference

CANCELLED_CHILD = "task was cancelled"


class DurableService:
    """The logs belong to the engine; this turns messages into visits of their nodes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions: dict[str, Session] = {}
        self._waiting_for_event: dict[str, list[tuple[DurableLog, Entry, str, str]]] = {}
        engine.on_finished.append(self._child_finished)

    def methods(self) -> dict[str, Method]:
        return {"DurableTask": Method(v1.DurableTaskRequest, self.durable_task, asks=True, answers=True)}

    async def durable_task(
        self, requests: AsyncIterator[v1.DurableTaskRequest], context: Context
    ) -> AsyncIterator[v1.DurableTaskResponse]:
        session = Session()
        reader = asyncio.create_task(self._read(requests, session))
        try:
            while (response := await session.out.get()) is not None:
                yield response
        finally:
            reader.cancel()
            self._sessions = {task: other for task, other in self._sessions.items() if other is not session}

    async def _read(self, requests: AsyncIterator[v1.DurableTaskRequest], session: Session) -> None:
        handlers: dict[str, Callable[[Session, v1.DurableTaskRequest], None]] = {
            "register_worker": self._register_worker,
            "trigger_runs": self._trigger_runs,
            "wait_for": self._wait_for,
            "memo": self._memo,
            "complete_memo": self._complete_memo,
            "evict_invocation": self._evict,
            "worker_status": self._worker_status,
        }
        try:
            async for request in requests:
                handlers[request.WhichOneof("message") or ""](session, request)
        finally:
            session.close()

    def _open(self, session: Session, task_id: str, invocation: int) -> DurableLog | None:
        """The log, with this session as the way back; None for an invocation that is over."""
        log = self._engine.durable.get(task_id)
        if log is None or log.invocation != invocation:
            session.evict_stale(task_id, invocation, log.invocation if log else 0)
            return None
        self._sessions[task_id] = session
        return log

    def _register_worker(self, session: Session, request: v1.DurableTaskRequest) -> None:
        session.worker_id = request.register_worker.worker_id
        answer = v1.DurableTaskResponseRegisterWorker(worker_id=session.worker_id)
        session.send(v1.DurableTaskResponse(register_worker=answer))

    # -- children ------------------------------------------------------------------------------------------------

    def _trigger_runs(self, session: Session, request: v1.DurableTaskRequest) -> None:
        message = request.trigger_runs
        log = self._open(session, message.durable_task_external_id, message.invocation_count)
        if log is None:
            return
        try:
            entries = [self._spawn(log, wish) for wish in message.trigger_opts]
        except NonDeterminismError as error:
            session.send(_refusal(log, error))
            return
        entries.sort(key=lambda entry: entry.node)  # as the engine does, whatever the order of the request
        ack = v1.DurableTaskEventTriggerRunsAckResponse(
            durable_task_external_id=log.task_id, invocation_count=log.invocation
        )
        for entry in entries:
            ack.run_entries.add(node_id=entry.node, branch_id=BRANCH, workflow_run_external_id=entry.child or "")
        session.send(v1.DurableTaskResponse(trigger_runs_ack=ack))
        self._deliver_satisfied(session, log, entries)

    def _spawn(self, log: DurableLog, wish: TriggerWorkflowRequest) -> Entry:
        content = content_key(Kind.RUN, wish.name, wish.input)
        _, known = self._engine.find_child(wish)
        entry = log.by_child.get(known) if known else None
        if entry is not None:
            log.revisit(entry, None if wish.HasField("child_key") else content)
            return entry
        entry, is_new = log.visit(Kind.RUN, content)
        if is_new:
            run_id = self._engine.submit(wish)
            log.adopt(entry, run_id)
            run = self._engine.runs.get(run_id)
            if run is not None and run.status.final:
                _satisfy_with(log, entry, run)
        return entry

    def _child_finished(self, run: Run) -> None:
        log = self._engine.durable.get(run.parent_task or "")
        entry = log.by_child.get(run.id) if log else None
        if log is not None and entry is not None:
            _satisfy_with(log, entry, run)
            self._came_true(log, entry)

    # -- waits ---------------------------------------------------------------------------------------------------

    def _wait_for(self, session: Session, request: v1.DurableTaskRequest) -> None:
        message = request.wait_for
        log = self._open(session, message.durable_task_external_id, message.invocation_count)
        if log is None:
            return
        conditions = message.wait_for_conditions
        try:
            entry, is_new = log.visit(Kind.WAIT_FOR, content_key(Kind.WAIT_FOR, *_describe(conditions)))
        except NonDeterminismError as error:
            session.send(_refusal(log, error))
            return
        if is_new:
            self._arm(log, entry, conditions)
        ack = v1.DurableTaskEventWaitForAckResponse(ref=reference(log, entry.node))
        session.send(v1.DurableTaskResponse(wait_for_ack=ack))
        self._deliver_satisfied(session, log, [entry])

    def _arm(self, log: DurableLog, entry: Entry, conditions: DurableEventListenerConditions) -> None:
        for sleep in conditions.sleep_conditions:
            entry.open_groups.add(sleep.base.or_group_id)
            payload = _create_payload(sleep.base.readable_data_key, {"sleep_duration": sleep.sleep_for})
            group = sleep.base.or_group_id
            self._engine.loop.call_later(seconds(sleep.sleep_for), self._met, log, entry, group, payload)
        for event in conditions.user_event_conditions:
            entry.open_groups.add(event.base.or_group_id)
            waiter = (log, entry, event.base.or_group_id, event.base.readable_data_key)
            self._waiting_for_event.setdefault(event.user_event_key, []).append(waiter)

    def user_event(self, key: str, payload: str) -> None:
        """An event was pushed: whoever waits for it goes on."""
        for log, entry, group, data_key in self._waiting_for_event.pop(key, []):
            self._met(log, entry, group, _create_payload(data_key, json.loads(payload or "{}")))

    def _met(self, log: DurableLog, entry: Entry, group: str, payload: bytes) -> None:
        """One condition is met; the wait is over when each group has one."""
        entry.open_groups.discard(group)
        if not entry.open_groups and not entry.satisfied:
            log.satisfy(entry, payload=payload)
            self._came_true(log, entry)

    # -- memos ---------------------------------------------------------------------------------------------------

    def _memo(self, session: Session, request: v1.DurableTaskRequest) -> None:
        message = request.memo
        log = self._open(session, message.durable_task_external_id, message.invocation_count)
        if log is None:
            return
        try:
            entry, is_new = log.visit(Kind.MEMO, message.key)
        except NonDeterminismError as error:
            session.send(_refusal(log, error))
            return
        ack = v1.DurableTaskEventMemoAckResponse(
            ref=reference(log, entry.node),
            memo_already_existed=not is_new,
            memo_result_payload=entry.payload or None,
        )
        session.send(v1.DurableTaskResponse(memo_ack=ack))
        self._deliver_satisfied(session, log, [entry])

    def _complete_memo(self, session: Session, request: v1.DurableTaskRequest) -> None:
        ref = request.complete_memo.ref
        log = self._engine.durable.get(ref.durable_task_external_id)
        entry = log.entries.get(ref.node_id) if log else None
        if log is not None and entry is not None:
            entry.satisfied, entry.payload = True, request.complete_memo.payload
            session.deliver(log, entry)

    # -- eviction and delivery -----------------------------------------------------------------------------------

    def _evict(self, session: Session, request: v1.DurableTaskRequest) -> None:
        message = request.evict_invocation
        log = self._engine.durable.get(message.durable_task_external_id)
        task = self._engine.tasks.get(message.durable_task_external_id)
        current = log is not None and log.invocation == message.invocation_count
        if task is not None and current and task.status is Status.RUNNING and not task.evicted:
            self._engine.evict(task)
        ack = v1.DurableTaskEvictionAckResponse(
            invocation_count=message.invocation_count, durable_task_external_id=message.durable_task_external_id
        )
        session.send(v1.DurableTaskResponse(eviction_ack=ack))

    def _worker_status(self, session: Session, request: v1.DurableTaskRequest) -> None:
        message = request.worker_status
        for got in message.received_satisfied_orders:
            session.resume(got.durable_task_external_id, got.invocation_count, got.highest_received_satisfied_order)
        for waiting in message.waiting_entries:
            log = self._open(session, waiting.durable_task_external_id, waiting.invocation_count)
            if log is not None and waiting.node_id in log.entries:
                self._deliver_satisfied(session, log, [log.entries[waiting.node_id]])

    def _deliver_satisfied(self, session: Session, log: DurableLog, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.satisfied:
                session.deliver(log, entry)

    def _came_true(self, log: DurableLog, entry: Entry) -> None:
        """Wake an evicted task, else tell its worker: also of children that nobody waits for, as the engine does."""
        task = self._engine.tasks.get(log.task_id)
        if task is None or task.status.final:
            return
        session = self._sessions.get(log.task_id)
        if task.evicted:
            self._engine.restore(task)
        elif session is not None:
            session.deliver(log, entry)


def _satisfy_with(log: DurableLog, entry: Entry, run: Run) -> None:
    if run.status is Status.COMPLETED:
        log.satisfy(entry, payload=json.dumps(run.result).encode())
    else:
        errors = [task.error for task in run.tasks if task.error]
        log.satisfy(entry, error=errors[0] if errors else CANCELLED_CHILD)


def _refusal(log: DurableLog, error: NonDeterminismError) -> v1.DurableTaskResponse:
    return v1.DurableTaskResponse(
        error=v1.DurableTaskErrorResponse(
            ref=reference(log, error.node),
            error_type=v1.DURABLE_TASK_ERROR_TYPE_NONDETERMINISM,
            error_message=str(error),
        )
    )


def _describe(conditions: DurableEventListenerConditions) -> list[str]:
    """The content of a wait, without the ids that are new each time."""
    sleeps = [f"{c.base.readable_data_key}:{c.base.expression}:{c.sleep_for}" for c in conditions.sleep_conditions]
    events = [
        f"{c.base.readable_data_key}:{c.base.expression}:{c.user_event_key}" for c in conditions.user_event_conditions
    ]
    return sorted(sleeps) + sorted(events)


def _create_payload(key: str, data: object) -> bytes:
    return json.dumps({"CREATE": {key: [data]}}).encode()

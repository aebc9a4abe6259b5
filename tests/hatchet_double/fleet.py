"""The workers: who is there, who may take what, whose slots are free, who is dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from hatchet_sdk.contracts.dispatcher_pb2 import AssignedAction, WorkerRegisterRequest

from .labels import Label, weigh
from .records import Stream, Task, Worker, now
from .settings import Settings


class Fleet:
    """Workers by id. `clock` is the loop's time, so that tests never depend on the wall clock."""

    def __init__(self, settings: Settings, clock: Callable[[], float], new_id: Callable[[], str]) -> None:
        self.workers: dict[str, Worker] = {}
        self._settings = settings
        self._clock = clock
        self._new_id = new_id

    def register(self, request: WorkerRegisterRequest) -> Worker:
        slots = dict(request.slot_config) or {"default": request.slots}
        worker = Worker(
            id=self._new_id(),
            name=request.worker_name,
            actions=frozenset(request.actions),
            labels={},
            slots=slots,
            free=dict(slots),
            owed=dict.fromkeys(slots, 0),
            sdk_version=request.runtime_info.sdk_version,
        )
        for key, label in request.labels.items():
            value: Label = label.int_value if label.HasField("int_value") else label.str_value
            worker.labels[key] = value
        self.workers[worker.id] = worker
        return worker

    def open_stream(self, worker: Worker) -> Stream:
        worker.stream = asyncio.Queue()
        worker.stream_lost = None
        return worker.stream

    def close_stream(self, worker: Worker, stream: Stream) -> list[AssignedAction]:
        """Forget a broken stream; what was not sent yet comes back."""
        if worker.stream is stream:
            worker.stream = None
            worker.stream_lost = self._clock()
        return [stream.get_nowait() for _ in range(stream.qsize())]

    def heartbeat(self, worker: Worker) -> None:
        worker.last_heartbeat = self._clock()
        worker.heartbeat_at = now()

    def find(self, task: Task) -> Worker | None:
        """The best worker for a task: the one it asks for, then by labels, then by free slots."""
        best: tuple[tuple[bool, int, int], Worker] | None = None
        for worker in self.workers.values():
            weight = weigh(task.labels, worker.labels)
            if weight is None or not self._can_take(worker, task):
                continue
            rank = (worker.id == task.desired_worker, weight, sum(worker.free.values()))
            if best is None or rank > best[0]:
                best = (rank, worker)
        return best[1] if best else None

    def _can_take(self, worker: Worker, task: Task) -> bool:
        return (
            worker.connected
            and not self._resting(worker)
            and task.spec.action in worker.actions
            and all(worker.free.get(pool, 0) >= units for pool, units in task.spec.slots)
            and self._silence(worker) < self._settings.heartbeat_grace
        )

    def pause(self, worker: Worker, *, paused: bool) -> None:
        if paused and not worker.paused:
            worker.paused_since = self._clock()
        worker.paused = paused

    def _resting(self, worker: Worker) -> bool:
        """Paused, and the scheduler knows it."""
        return worker.paused and self._clock() - worker.paused_since >= self._settings.pause_lag

    def _silence(self, worker: Worker) -> float:
        return float("inf") if worker.last_heartbeat is None else self._clock() - worker.last_heartbeat

    def occupy(self, worker: Worker, task: Task) -> None:
        worker.tasks.add(task.id)
        for pool, units in task.spec.slots:
            worker.free[pool] -= units

    def vacate(self, worker: Worker, task: Task) -> None:
        if task.id not in worker.tasks:
            return
        worker.tasks.remove(task.id)
        pools = worker.owed if self._settings.refill_interval else worker.free
        for pool, units in task.spec.slots:
            pools[pool] += units

    def refill(self) -> None:
        """Give back the slots that were freed since the last refill."""
        for worker in self.workers.values():
            for pool, units in worker.owed.items():
                worker.free[pool] += units
                worker.owed[pool] = 0

    def dead(self) -> Iterator[Worker]:
        """Workers with tasks that will not come back."""
        for worker in self.workers.values():
            lost_for = 0.0 if worker.stream_lost is None else self._clock() - worker.stream_lost
            silent = self._silence(worker) > self._settings.heartbeat_timeout
            if worker.tasks and (lost_for > self._settings.lost_after or silent):
                yield worker

    def spare(self) -> None:
        """Start the patience with broken streams and silence anew: the engine itself was away."""
        for worker in self.workers.values():
            worker.stream_lost = None if worker.connected else self._clock()
            if worker.last_heartbeat is not None:
                worker.last_heartbeat = self._clock()

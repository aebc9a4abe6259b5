"""Tasks that wait for a worker, in lanes of equal wishes, so that one hopeless task does not hold up the others."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from .labels import Desired
from .records import Status, Task

Lane = tuple[str, tuple[Desired, ...], str | None]
Ticket = tuple[int, int, int, Task]  # minus the priority, arrival, the attempt it is for, the task


class Queues:
    """One heap a lane: higher priority first, then first come, first served."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, list[Ticket]] = {}
        self._arrivals = itertools.count()

    def push(self, task: Task) -> None:
        lane = (task.spec.action, task.labels, task.desired_worker)
        ticket = (-task.priority, next(self._arrivals), task.retry_count, task)
        heapq.heappush(self._lanes.setdefault(lane, []), ticket)

    def drain(self, place: Callable[[Task], bool]) -> None:
        """Offer tasks, best first, until every lane is empty or its head finds no place."""
        open_lanes = dict(self._lanes)
        while open_lanes:
            lane, heap = min(open_lanes.items(), key=lambda item: item[1][0][:2] if item[1] else (0, -1))
            if not heap:
                del open_lanes[lane], self._lanes[lane]
            elif _stale(heap[0]) or place(heap[0][3]):
                heapq.heappop(heap)
            else:
                del open_lanes[lane]


def _stale(ticket: Ticket) -> bool:
    """The task was cancelled, or is queued again under another ticket."""
    _, _, attempt, task = ticket
    return task.status is not Status.QUEUED or task.retry_count != attempt

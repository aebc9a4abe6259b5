"""One clock a task: the schedule timeout, the execution timeout or the backoff, whichever it is in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .records import Task


class Clocks:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def set(self, task: Task, delay: float, then: Callable[[Task], None]) -> None:
        self.stop(task)
        task.timer = self._loop.call_later(delay, self._ring, task, then)

    def stop(self, task: Task) -> None:
        if task.timer is not None:
            task.timer.cancel()
            task.timer = None

    def left(self, task: Task) -> float:
        return max(0.0, task.timer.when() - self._loop.time()) if task.timer else 0.0

    @staticmethod
    def _ring(task: Task, then: Callable[[Task], None]) -> None:
        task.timer = None
        then(task)


def backoff(task: Task) -> float:
    """Seconds until the next attempt."""
    if task.spec.backoff_factor is None:
        return 0.0
    delay = float(task.spec.backoff_factor**task.app_retries)
    return delay if task.spec.backoff_max is None else min(delay, task.spec.backoff_max)

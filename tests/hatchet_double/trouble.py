"""Trouble to order: what real engines do on bad days, on request."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass
class _Order:
    left: int
    workflow: str | None


@dataclass
class Trouble:
    """Orders given by the test's thread, met by the engine's."""

    _lost_assignments: list[_Order] = field(default_factory=list)
    _lost_runs: list[_Order] = field(default_factory=list)
    refuses_triggers: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def lose_assignments(self, count: int = 1, *, workflow: str | None = None) -> None:
        """The scheduler drops the next tasks it assigns: they stay queued for ever, in no queue."""
        with self._lock:
            self._lost_assignments.append(_Order(count, workflow))

    def lose_runs(self, count: int = 1, *, workflow: str | None = None) -> None:
        """The next runs get an id (child keys remember it) but are never created: a crash between two commits."""
        with self._lock:
            self._lost_runs.append(_Order(count, workflow))

    def refuse_triggers(self) -> None:
        """Every trigger over gRPC fails, as with a database that is full, until `accept_triggers`."""
        self.refuses_triggers = True

    def accept_triggers(self) -> None:
        """Triggers work again."""
        self.refuses_triggers = False

    def takes_assignment(self, workflow: str) -> bool:
        return self._take(self._lost_assignments, workflow)

    def takes_run(self, workflow: str) -> bool:
        return self._take(self._lost_runs, workflow)

    def _take(self, orders: list[_Order], workflow: str) -> bool:
        with self._lock:
            for order in orders:
                if order.left and order.workflow in (None, workflow):
                    order.left -= 1
                    return True
        return False

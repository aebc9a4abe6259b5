"""How the experiments of one worker share its lanes.

Input: how many lanes each experiment has at work, and whether it wants more. Output: how many it may start now.
"""

from __future__ import annotations

import threading


class LaneBudget:
    """How many lanes may be at work on this machine, over all experiments; nobody waits while others hold too many.

    Args:
        lanes: in total.
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self._lock = threading.Lock()
        self._busy: dict[object, int] = {}
        self._wanting: set[object] = set()

    def ask(self, who: object, busy: int, more: int, *, wants: bool) -> int:
        """How many of `more` idle lanes `who` may put to work now, next to those that are busy."""
        with self._lock:
            self._busy[who] = busy
            self._wanting.discard(who)
            if not wants:
                return 0
            others = sum(held for other, held in self._busy.items() if other is not who)
            rivals = {other for other in self._wanting | {o for o, n in self._busy.items() if n} if other is not who}
            fair = -(-self.lanes // (1 + len(rivals)))
            room = self.lanes - others - busy
            if self._wanting - {who}:
                room = min(room, fair - busy)
            granted = max(0, min(more, room))
            if granted < more:
                self._wanting.add(who)
            self._busy[who] = busy + granted
            return granted

"""How many parts of frames are read at a time: many small ones, few large ones.

Input: the sizes of those that were read. Output: threads that wait until there is room for one more.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import Condition
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

WEIGHT = 0.25
"""Of the last size in the one that is expected."""


class ReadBudget:
    """Room for objects that are being read.

    Args:
        n_bytes: of all of them; one may be larger.
        expected: the size of the first.
    """

    def __init__(self, n_bytes: int, *, expected: float) -> None:
        self._n_bytes = n_bytes
        self._expected = expected
        self._reading = 0
        self._changed = Condition()

    @contextmanager
    def room(self) -> Iterator[None]:
        """Room for one object; the thread waits until there is some."""
        with self._changed:
            self._changed.wait_for(self._has_room)
            self._reading += 1
        try:
            yield
        finally:
            with self._changed:
                self._reading -= 1
                self._changed.notify_all()

    def _has_room(self) -> bool:
        return not self._reading or (self._reading + 1) * self._expected <= self._n_bytes

    def saw(self, n_bytes: int) -> None:
        """An object had this size."""
        with self._changed:
            self._expected += (n_bytes - self._expected) * WEIGHT

"""What the spec at work has printed, as its supervisor sees it.

Takes the file that a lane's standard streams go to, which the lane empties after each spec; leaves the file small, and
the beginning and the end of what went through it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from scythe_cli.run.outcomes import LOG_LIMIT, cut_bytes

CAPTURE_BYTES = 8 << 20
"""What a spec may have printed before the middle of it is thrown away."""
_HALF = LOG_LIMIT // 2


@dataclass(frozen=True)
class _Seen:
    """What one spec has printed, some of which may not be in its file any more: its beginning, its end, its size."""

    at: tuple[int, float] | None
    head: bytes
    tail: bytes
    size: int


class Printed:
    """The file of one lane. `at` is everywhere the row at work, and when that began."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._thrown: _Seen | None = None

    def bound(self, at: tuple[int, float] | None) -> None:
        """Throw away the middle of what is printed without end; its head is kept here."""
        size = os.fstat(self._descriptor).st_size
        if size > CAPTURE_BYTES:
            self._thrown = self._whole(at, size)
            os.ftruncate(self._descriptor, 0)

    def text(self, at: tuple[int, float] | None) -> str:
        """What the spec at work has printed, and what the process said when it ended; at most `LOG_LIMIT` bytes."""
        size = os.fstat(self._descriptor).st_size
        whole = self._whole(at, size)
        if whole.size == size <= LOG_LIMIT:
            return os.pread(self._descriptor, size, 0).decode(errors="replace")
        return cut_bytes(whole.head, whole.tail, whole.size, LOG_LIMIT)

    def _whole(self, at: tuple[int, float] | None, size: int) -> _Seen:
        """What was thrown away, and the `size` bytes in the file."""
        tail = os.pread(self._descriptor, _HALF, max(0, size - _HALF))
        if self._thrown is None or self._thrown.at != at:
            return _Seen(at, os.pread(self._descriptor, _HALF, 0), tail, size)
        return _Seen(at, self._thrown.head, (self._thrown.tail + tail)[-_HALF:], self._thrown.size + size)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

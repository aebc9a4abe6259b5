"""What the spec at work has printed, as its supervisor sees it.

Input: the file that a lane's standard streams go to, which the lane empties after each spec. Output: the beginning and
the end of what went through it; the file stays small.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

from scythe_cli.run.outcomes import LOG_LIMIT, cut_bytes


class RunningRow(NamedTuple):
    """The row at work, when that began, on the monotonic clock, and how many rows are at work in the same call."""

    row: int
    since: float
    together: int = 1


CAPTURE_BYTES = 8 << 20
"""What a spec may have printed before the middle of it is thrown away."""
_HALF = LOG_LIMIT // 2
_STACK = b"(most recent call first):"


@dataclass(frozen=True)
class _Text:
    """What one spec has printed, some of which may not be in its file any more: its beginning, its end, its size."""

    at: RunningRow | None
    head: bytes
    tail: bytes
    size: int


class CapturedOutput:
    """The file of one lane."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._dropped: _Text | None = None

    def bound(self, at: RunningRow | None) -> None:
        """Throw away the middle of what is printed without end; its head is kept here."""
        size = os.fstat(self._descriptor).st_size
        if size > CAPTURE_BYTES:
            self._dropped = self._whole(at, size)
            os.ftruncate(self._descriptor, 0)

    def text(self, at: RunningRow | None) -> str:
        """What the spec at work has printed, and what the process said when it ended; at most `LOG_LIMIT` bytes."""
        size = os.fstat(self._descriptor).st_size
        whole = self._whole(at, size)
        if whole.size == size <= LOG_LIMIT:
            return os.pread(self._descriptor, size, 0).decode(errors="replace")
        return cut_bytes(whole.head, whole.tail, whole.size, LOG_LIMIT)

    def has_stack(self) -> bool:
        """Whether the end of it is where the process is, as `faulthandler` writes it."""
        size = os.fstat(self._descriptor).st_size
        return _STACK in os.pread(self._descriptor, _HALF, max(0, size - _HALF))

    def _whole(self, at: RunningRow | None, size: int) -> _Text:
        """What was thrown away, and the `size` bytes in the file."""
        tail = os.pread(self._descriptor, _HALF, max(0, size - _HALF))
        if self._dropped is None or self._dropped.at != at:
            return _Text(at, os.pread(self._descriptor, _HALF, 0), tail, size)
        return _Text(at, self._dropped.head, (self._dropped.tail + tail)[-_HALF:], self._dropped.size + size)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

"""Signals that ask for the end, and what one of them means: the terminal was closed, or its connection is gone.

Takes nothing; leaves streams that can be written to, whoever has left.
"""

from __future__ import annotations

import os
import signal
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heard() -> list[signal.Signals]:
    """Those that are not ignored: `nohup` and a shell's `&` mean it."""
    return [number for number in _ENDS if signal.getsignal(number) is not signal.SIG_IGN]


def hear(number: int) -> None:
    """What a handler does first: when the terminal is gone, let go of it.

    The kernel tells of that, and the shell may again, which is no second wish: it is not heard any more.
    """
    if number == signal.SIGHUP:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        leave_terminal()


def leave_terminal() -> None:
    """Have what is written to a terminal that is gone go nowhere, where it would be an error."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.isatty(descriptor):
                os.dup2(nowhere, descriptor)
    os.close(nowhere)


@contextmanager
def children_spared() -> Iterator[None]:
    """Processes started in the block do not hear that the terminal they share is gone."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before or signal.SIG_DFL)

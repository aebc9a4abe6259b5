"""Signals that ask a process to stop, the lost terminal that one of them means, and those that have ended one.

Input: none. Output: standard streams that can be written to after the terminal was closed.
"""

from __future__ import annotations

import os
import signal
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stop_signals_not_ignored() -> list[signal.Signals]:
    """The stop signals that this process does not ignore; `nohup` and a shell's `&` make it ignore some."""
    return [number for number in _STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def on_stop_signal(number: int) -> None:
    """The first step of a signal handler: after SIGHUP, detach from the terminal that does not exist any more.

    The kernel sends SIGHUP, and the shell may send it again. The second one is not a second request, so it is ignored.
    """
    if number == signal.SIGHUP:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        detach_from_terminal()


@contextmanager
def calling_on_stop(stop: Callable[[], object]) -> Iterator[None]:
    """In the block, Ctrl-C, SIGTERM and SIGHUP call `stop` instead of ending the process."""

    def handle(number: int, _: object) -> None:
        on_stop_signal(number)
        stop()

    before = {number: signal.signal(number, handle) for number in stop_signals_not_ignored()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def detach_from_terminal() -> None:
    """Send output for a closed terminal to the null device; writing to the terminal would fail."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.isatty(descriptor):
                os.dup2(nowhere, descriptor)
    os.close(nowhere)


@contextmanager
def ignore_sighup_while_spawning() -> Iterator[None]:
    """Processes that are started in the block ignore SIGHUP, so a closed terminal does not end them."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before or signal.SIG_DFL)


def describe_status(status: int) -> str:
    """A child's end in words: `signal SIGSEGV`, `exit code 3`."""
    if status >= 0:
        return f"exit code {status}"
    known = {int(number): number.name for number in signal.Signals}
    return f"signal {known.get(-status, -status)}"

"""The kernel's interrupt, for runs of this process: it asks them to stop, as Ctrl-C does a command.

Input: refs of runs that are at work. Output: a handler of SIGINT. The kernel has one of its own while a cell is at
work, and ignores the signal between cells: ours takes its place there, as long as a run is at work.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_SECONDS = 0.3


class Stoppable(Protocol):
    """A run that this process works on."""

    def stop(self) -> None:
        """Ask the run to end; the second time, at once."""

    def is_over(self) -> bool:
        """Whether it has ended."""


_at_work: list[Stoppable] = []


def stop_between_cells(run: Stoppable) -> None:
    """From now on, until the run is over, an interrupt between cells asks it to stop. Call it in a cell."""
    _at_work.append(run)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # a kernel whose cells have no loop: only cells that wait for the run stop it
        return
    if len(_at_work) == 1:
        _look(loop)


def _look(loop: asyncio.AbstractEventLoop) -> None:
    """Take the place of the kernel's handler that ignores the signal; the kernel puts its own back after each cell."""
    _at_work[:] = [one for one in _at_work if not one.is_over()]
    if threading.current_thread() is not threading.main_thread():
        return
    now = signal.getsignal(signal.SIGINT)
    if not _at_work:
        if now is _stop_all:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return
    if now is signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop_all)
    loop.call_later(LOOK_SECONDS, _look, loop)


def _stop_all(number: int, frame: Any) -> None:
    del number, frame
    for run in _at_work:
        if not run.is_over():
            run.stop()


@contextmanager
def stop_while_waiting(run: Stoppable) -> Iterator[None]:
    """In a cell that awaits a run: an interrupt asks the run to stop, and the cell waits until it has."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        del number, frame
        run.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

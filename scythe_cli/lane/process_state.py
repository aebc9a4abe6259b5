"""Gives each spec the process as the first one found it, for about ten microseconds a spec.

Input: what the process looked like when the lane started. Output: after each spec, the same again (working directory,
environment, signal handlers, standard streams, Python's own settings); or the reason why only a new process will do: a
thread that lives on, clocks that were replaced.
"""

from __future__ import annotations

import _thread
import faulthandler
import os
import signal
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from scythe_cli.core import processes
from scythe_cli.core.clock import Clock
from scythe_cli.lane.os_state import OsState, getsignal
from scythe_cli.lane.python_state import Marks, PythonState

if TYPE_CHECKING:
    from scythe_cli.lane.spec_streams import Capture

_WATCHED = [
    int(getattr(signal, name))
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGCHLD", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGFPE")
]
LEFT_OPEN = 100
"""Files that specs may leave open before the process is renewed."""
QUICK = 50e-6
"""Seconds in which no process is started; a spec that took less is looked through only now and then."""
THREAD_SECONDS = 1e-3
"""What a thread gets to begin to run."""
LOOK_EVERY = 1e-3
"""Seconds after which is looked at what takes long to look at: after a slow spec each time."""
QUICK_ONES = 20
"""Specs in a row, none of them slow, after which not each is looked at so: a slow one is not likely to follow."""


class ProcessState:
    """What the process looked like before the first spec."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._folder = os.getcwd()  # noqa: PTH109 - the hot path compares text
        self._environ = os.environ
        self._environment = dict(os.environ._data)  # type: ignore[attr-defined]  # the undecoded mapping: 50x cheaper
        self._signals = [*map(getsignal, _WATCHED)]
        self._threads = _thread._count()
        self._tasks = processes.threads()
        self._children = frozenset(processes.children(os.getpid()))
        self._mask = os.umask(0o077)
        os.umask(self._mask)
        self._descriptors = _lowest_free() + LEFT_OPEN
        self._memory: int | None = None
        self._looked = Clock.monotonic()
        self._checks_left = QUICK_ONES
        self._os_state = OsState(capture.fd)
        self._python = _python()
        self._python_state = PythonState()
        self._path = sys.path
        self._entries = [*sys.path]

    def limit_growth(self, size: int | None) -> None:
        """From now on, renew the process when specs leave it more than `size` bytes larger than it is now."""
        self._memory = None if size is None else processes.resident() + size

    def restore(self, seconds: float, now: float) -> str | None:
        """Undo what a spec changed.

        Args:
            seconds: the spec took.
            now: on the monotonic clock.

        Returns:
            Why this process cannot go on, or None.
        """
        self._capture.restore()
        if os.environ is not self._environ:
            self._restore_environment()
        if sys.path is not self._path or sys.path != self._entries:
            self._restore_path()
        self._python_state.restore_quickly()
        if _thread._count() > self._threads:
            return "a thread that the spec started is still running"
        changed = Marks.changed  # before our own calls, which mark the process too
        due = changed or self._checks_left or now - self._looked >= LOOK_EVERY
        if seconds < QUICK and not due:
            return None
        try:
            return self._restore_slowly(seconds, now, changed=changed) if due else self._restore_more()
        finally:
            Marks.changed = False  # what was put back was called too

    def _restore_slowly(self, seconds: float, now: float, *, changed: bool) -> str | None:
        """What takes long to look at; and what a spec has called."""
        if (why := self._restore_more()) is not None:
            return why
        if changed:
            self._python_state.restore()
        self._python_state.restore_slowly()
        self._looked = now
        self._checks_left = QUICK_ONES if seconds > LOOK_EVERY else max(0, self._checks_left - 1)
        if self._thread_begins():
            return "a thread that the spec started is still running"
        return self._os_state.restore() or self._leaks()

    def _restore_more(self) -> str | None:
        """What a quick spec among quick ones is not looked through for each time."""
        self._capture.restore_input()
        self._restore_folder()
        if os.environ._data != self._environment:  # type: ignore[attr-defined]  # see above
            self._restore_environment()
        if processes.has_children():
            self._end_children()
        os.umask(self._mask)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if [*map(getsignal, _WATCHED)] != self._signals:
            self._os_state.restore_handlers()
        faulthandler.cancel_dump_traceback_later()
        self._python_state.restore_modules()
        if _python() != self._python and self._restore_python():
            return "the spec replaced the clocks"
        return None

    def _thread_begins(self) -> bool:
        """Python counts a thread when it first runs, which this one lets it do where the kernel has more of them."""
        tasks, before = processes.threads(), self._tasks
        self._tasks = tasks
        if tasks > before:
            Clock.sleep(THREAD_SECONDS)
        return _thread._count() > self._threads

    def _leaks(self) -> str | None:
        if _lowest_free() > self._descriptors:
            return "specs left many files open"
        if self._memory is not None and processes.resident() > self._memory:
            return "specs left much memory in use"
        return None

    def _restore_folder(self) -> None:
        try:
            moved = os.getcwd() != self._folder  # noqa: PTH109 - the hot path compares text
        except OSError:
            moved = True
        if moved:
            os.chdir(self._folder)

    def _restore_environment(self) -> None:
        os.environ = self._environ  # noqa: B003 - the object that everybody else knows is put back
        wanted = {os.fsdecode(k): os.fsdecode(v) for k, v in self._environment.items()}
        for name in set(os.environ) - set(wanted):
            del os.environ[name]
        os.environ.update(wanted)

    def _end_children(self) -> None:
        if trackers := processes.kill_children(self._children):
            processes.wait_for_trackers(trackers)
            self._capture.take()  # gc prints what it found; no spec's log should have it

    def _restore_path(self) -> None:
        """Put back the folders that modules are found in."""
        self._path[:] = self._entries
        sys.path = self._path

    def _restore_python(self) -> bool:
        """Restore settings of the interpreter. Returns whether clocks were replaced: nobody knows in which modules."""
        *clocks, trace, profile, depth, folder, _ = self._python
        sys.settrace(trace)
        sys.setprofile(profile)
        sys.setrecursionlimit(depth)
        tempfile.tempdir = folder
        time.tzset()
        self._python = (*self._python[:-1], time.tzname)
        return [*_python()[: len(clocks)]] != clocks


def _python() -> tuple[Any, ...]:
    """Settings of the interpreter that a spec may change, the clocks first."""
    return (  # flat, for it is looked at after each spec
        time.monotonic,
        time.time,
        time.perf_counter,
        time.sleep,
        sys.gettrace(),
        sys.getprofile(),
        sys.getrecursionlimit(),
        tempfile.tempdir,
        time.tzname,
    )


def _lowest_free() -> int:
    """The lowest number a new descriptor would get: it rises with what is left open."""
    descriptor = os.dup(0)
    os.close(descriptor)
    return descriptor

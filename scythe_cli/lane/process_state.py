"""Keeps a lane a sane process from one spec to the next, for about ten microseconds a spec.

Takes a snapshot when the lane starts; after each spec it puts back what can be put back (working directory,
environment, signal handlers, standard streams, the temporary folder, Python's own settings) and says when only a new
process will do: a thread that lives on, clocks that stand still.
"""

from __future__ import annotations

import _thread
import ctypes
import faulthandler
import gc
import io
import os
import shutil
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from scythe_cli.core import processes
from scythe_cli.core.clock import Clock
from scythe_cli.lane.os_state import KernelState, getsignal
from scythe_cli.run.outcomes import LOG_LIMIT, cut_bytes

_WATCHED = [
    int(getattr(signal, name))
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGCHLD", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGFPE")
]


REST = (1 << 31) - 1
"""Where the position of the captured output's file rests, which descriptors 1 and 2 share: far past any output. What is
written goes to the file's end and takes the position along."""


class Capture:
    """Standard output and error of user code, kept in a file between two specs."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._null = os.open(os.devnull, os.O_RDONLY)
        self._flush = partial(ctypes.CDLL(None).fflush, None)  # all that C code printed through its own buffers
        self._point()
        self._open()

    def _point(self) -> None:
        """Have descriptors 0, 1 and 2 where they belong, and nothing printed yet."""
        os.dup2(self._null, 0)
        os.dup2(self.fd, 1)
        os.dup2(self.fd, 2)
        os.lseek(self.fd, REST, os.SEEK_SET)

    def _open(self) -> None:
        self.stdin = sys.stdin = open(0, closefd=False)  # noqa: SIM115 - a descriptor, for the lane's life
        self.stdout = sys.stdout = self._text(1)
        self.stderr = sys.stderr = self._text(2)

    @staticmethod
    def _text(fd: int) -> io.TextIOWrapper:
        """Without a buffer: a process that dies has told all, and nothing is to be flushed between two specs."""
        raw = io.FileIO(fd, "w", closefd=False)
        return io.TextIOWrapper(raw, errors="backslashreplace", write_through=True)

    def tidy(self) -> None:
        """Undo what a spec did to Python's streams; cheap when it did nothing."""
        try:
            untouched = (
                sys.stdout is self.stdout
                and sys.stderr is self.stderr
                and sys.stdin is self.stdin
                and not (self.stdout.closed or self.stderr.closed)
            )
        except ValueError:  # detached from its buffer
            untouched = False
        if not untouched:
            self._open()

    def tidy_input(self) -> None:
        """Undo what a spec did to that which there is nothing to read from."""
        os.dup2(self._null, 0)
        try:
            closed = self.stdin.closed
        except ValueError:  # detached from its buffer
            closed = True
        if closed:
            self._open()

    def take(self) -> str:
        """What was printed since the last call, head and tail of it, and forget it.

        Afterwards descriptors 1 and 2 are what they were, too.
        """
        self._flush()
        try:
            if os.lseek(1, 0, os.SEEK_CUR) == REST == os.lseek(2, 0, os.SEEK_CUR):
                return ""
        except OSError:  # closed, or a pipe
            pass
        text = self._read(os.fstat(self.fd).st_size)
        self._point()
        return text

    def _read(self, size: int) -> str:
        half = LOG_LIMIT // 2
        if size <= LOG_LIMIT:
            text = os.pread(self.fd, size, 0).decode(errors="replace")
        else:
            text = cut_bytes(os.pread(self.fd, half, 0), os.pread(self.fd, half, size - half), size, LOG_LIMIT)
        os.ftruncate(self.fd, 0)
        return text


class TempDir:
    """One temporary folder a lane, emptied only after a spec that touched it."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self.path = self._new()

    def _new(self) -> Path:
        self._parent.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix="spec-", dir=self._parent))
        self._made = path.stat().st_ctime_ns
        self._text = str(path)
        return path

    def tidy(self) -> None:
        """Give the next spec an empty folder."""
        try:
            untouched = os.stat(self._text).st_ctime_ns == self._made  # noqa: PTH116 - a third of Path.stat's cost
        except OSError:
            untouched = False
        if not untouched:
            shutil.rmtree(self.path, ignore_errors=True)
            self.path = self._new()


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


class Sanity:
    """What the process looked like before the first spec."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._folder = os.getcwd()  # noqa: PTH109 - the hot path compares text
        self._environ = os.environ
        self._environment = dict(os.environ._data)  # type: ignore[attr-defined]  # the undecoded mapping: 50x cheaper
        self._signals = [*map(getsignal, _WATCHED)]
        self._threads = _thread._count()
        self._tasks = processes.threads()
        self._collects = gc.isenabled()
        self._children = frozenset(processes.children(os.getpid()))
        self._mask = os.umask(0o077)
        os.umask(self._mask)
        self._descriptors = _lowest_free() + LEFT_OPEN
        self._memory: int | None = None
        self._looked = Clock.monotonic()
        self._wary = QUICK_ONES
        self._kernel = KernelState(capture.fd)
        self._python = _python()
        self._path = sys.path
        self._entries = [*sys.path]

    def limit_growth(self, size: int | None) -> None:
        """From now on, renew the process when specs leave it more than `size` bytes larger than it is now."""
        self._memory = None if size is None else processes.resident() + size

    def restore(self, seconds: float, now: float) -> str | None:
        """Undo what a spec left behind.

        Args:
            seconds: the spec took.
            now: on the monotonic clock.

        Returns:
            Why this process cannot go on, or None.
        """
        self._capture.tidy()
        try:
            moved = os.getcwd() != self._folder  # noqa: PTH109 - the hot path compares text
        except OSError:
            moved = True
        if moved:
            os.chdir(self._folder)
        if os.environ is not self._environ or os.environ._data != self._environment:  # type: ignore[attr-defined]  # see above
            self._restore_environment()
        if _thread._count() > self._threads:
            return "a thread that the spec started lives on"
        due = self._wary or now - self._looked >= LOOK_EVERY
        if seconds < QUICK and not due:
            return None
        if (why := self._restore_more()) is not None or not due:
            return why
        self._looked = now
        self._wary = QUICK_ONES if seconds > LOOK_EVERY else max(0, self._wary - 1)
        if self._thread_begins():
            return "a thread that the spec started lives on"
        return self._kernel.restore() or self._leaks()

    def _restore_more(self) -> str | None:
        """What a quick spec among quick ones is not looked through for each time."""
        self._capture.tidy_input()
        if processes.has_children():
            self._end_children()
        os.umask(self._mask)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if [*map(getsignal, _WATCHED)] != self._signals:
            self._kernel.restore_handlers()
        faulthandler.cancel_dump_traceback_later()
        if self._collects and not gc.isenabled():
            gc.enable()
        if sys.path is not self._path or sys.path != self._entries:
            self._restore_path()
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

    def _restore_environment(self) -> None:
        os.environ = self._environ  # noqa: B003 - the object that everybody else knows is put back
        wanted = {os.fsdecode(k): os.fsdecode(v) for k, v in self._environment.items()}
        for name in set(os.environ) - set(wanted):
            del os.environ[name]
        os.environ.update(wanted)

    def _end_children(self) -> None:
        if trackers := processes.kill_children(self._children):
            processes.wait_for_trackers(trackers)
            self._capture.take()  # it tells what it found, which is no spec's log

    def _restore_path(self) -> None:
        """Put back the folders that modules are found in; a library that was imported since may need those it added."""
        held = sys.path if isinstance(sys.path, list) else []
        gone = set(self._entries) - {folder for folder in held if isinstance(folder, str)}
        now = [*self._entries, *held] if gone else held
        self._path[:] = dict.fromkeys(folder for folder in now if isinstance(folder, str))
        sys.path = self._path
        self._entries = [*self._path]

    def _restore_python(self) -> bool:
        """Put back what the interpreter was told; tell whether clocks were replaced: in which modules, nobody knows."""
        *clocks, trace, profile, depth, folder, _ = self._python
        sys.settrace(trace)
        sys.setprofile(profile)
        sys.setrecursionlimit(max(depth, sys.getrecursionlimit()))
        tempfile.tempdir = folder
        time.tzset()
        self._python = (*self._python[:-3], *_python()[-3:])
        return [*_python()[: len(clocks)]] != clocks


def _python() -> tuple[Any, ...]:
    """What a spec may tell the interpreter, the clocks first."""
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

"""What the kernel keeps for a process and a spec can change: signals, timers, limits, priority, its temporary folder.

Takes a snapshot when a lane starts; restores what differs from it, in about ten microseconds, and returns what cannot
be put back.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import resource
import signal
import tempfile

_signal = importlib.import_module("_signal")
"""Without the enums of `signal`, which cost ten times as much."""
getsignal = _signal.getsignal

WHERE_SIGNAL = signal.SIGRTMIN + 7 if hasattr(signal, "SIGRTMIN") else signal.SIGUSR2
"""Has a lane write where in the user's code it is; sent before a lane is killed for being late."""
_SIGNALS = sorted(int(number) for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_LIMITS = (
    *(resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_STACK, resource.RLIMIT_CPU),
    *(resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC),
)


def trace_crashes(fd: int) -> None:
    """Have the process write where it is into a file, when it crashes or is asked; also if a spec has changed that."""
    faulthandler.disable()
    faulthandler.enable(fd)
    faulthandler.unregister(WHERE_SIGNAL)
    faulthandler.register(WHERE_SIGNAL, fd, all_threads=False)


class OsState:
    """What it was before the first spec.

    Args:
        log: the file that takes the trace of a crash.
    """

    def __init__(self, log: int) -> None:
        self._log = log
        self._blocked = _signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._handlers = [*map(getsignal, _SIGNALS)]
        self._limits = [*map(resource.getrlimit, _LIMITS)]
        self._priority = os.getpriority(os.PRIO_PROCESS, 0)
        self._folder = tempfile.gettempdir()
        self._cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None

    def restore(self) -> str | None:
        """Put back what differs. Returns what cannot be put back, or None."""
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if _signal.pthread_sigmask(signal.SIG_BLOCK, ()) != self._blocked:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)
        if not faulthandler.is_enabled() or [*map(getsignal, _SIGNALS)] != self._handlers:
            self.restore_handlers()
        if not os.path.isdir(self._folder):  # noqa: PTH112 - a third of Path.is_dir's cost
            os.makedirs(self._folder, exist_ok=True)  # noqa: PTH103 - the same
        if self._cores is not None and os.sched_getaffinity(0) != self._cores:
            with contextlib.suppress(OSError):  # the batch system has given the process other cores
                os.sched_setaffinity(0, self._cores)
        lowered = [*map(resource.getrlimit, _LIMITS)] != self._limits and not self._restore_limits()
        return "a limit that the spec lowered stays low" if lowered else self._restore_priority()

    def restore_handlers(self) -> None:
        """Put back what answers to signals."""
        for number, handler in zip(_SIGNALS, self._handlers, strict=True):
            if getsignal(number) is not handler:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        trace_crashes(self._log)  # which has handlers of its own, below Python's

    def _restore_limits(self) -> bool:
        """Raise limits that were lowered, where that is allowed. A higher one hurts nobody, and may be a library's."""
        for number, (soft, hard) in zip(_LIMITS, self._limits, strict=True):
            now, most = resource.getrlimit(number)
            if _is_lower(now, soft):
                with contextlib.suppress(ValueError, OSError):
                    resource.setrlimit(number, (soft, hard if _is_lower(most, soft) else most))
        return not any(
            _is_lower(resource.getrlimit(number)[0], soft)
            for number, (soft, _) in zip(_LIMITS, self._limits, strict=True)
        )

    def _restore_priority(self) -> str | None:
        if os.getpriority(os.PRIO_PROCESS, 0) > self._priority:
            try:
                os.setpriority(os.PRIO_PROCESS, 0, self._priority)
            except OSError:  # only the superuser may
                return "the spec lowered its priority, which cannot be raised again"
        return None


def _is_lower(limit: int, than: int) -> bool:
    return limit != resource.RLIM_INFINITY and (than == resource.RLIM_INFINITY or limit < than)

"""What a spec may expect of the process it runs in, whatever the one before it did."""

from __future__ import annotations

import os
import resource
import signal
import stat
import sys
import tempfile
import threading
import time
from pathlib import Path

CLOCKS = (time.monotonic, time.perf_counter, time.time, time.sleep)
LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
USUAL = [*map(resource.getrlimit, LIMITS)]
PATH = [*sys.path]
HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGQUIT, signal.SIGXFSZ, signal.SIGSEGV)}


def check_sanity(tempdir: Path) -> None:
    """The process is as a spec may expect it."""
    assert not list(tempdir.iterdir()), "the temporary folder is not empty"
    assert Path.cwd() == Path(__file__).parent.parent, "somewhere else"
    assert "TROUBLE" not in os.environ, "the environment changed"
    assert os.environ.get("HOME"), "the environment changed"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "a signal handler changed"
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0, "an alarm is set"
    assert sys.stdin.read() == "", "stdin is no empty file"
    assert os.path.sameopenfile(1, 2) and stat.S_ISREG(os.fstat(1).st_mode), "output goes elsewhere"
    check_settings()
    assert [thread.name for thread in threading.enumerate()] == ["MainThread", "scythe-sender"]
    assert oct(os.umask(0o22)) == oct(0o22), "the umask changed"
    print("a line of a spec that starts sane")


def check_settings() -> None:
    """The same of what Python and the kernel keep for it."""
    assert (time.monotonic, time.perf_counter, time.time, time.sleep) == CLOCKS, "the clocks were replaced"
    assert time.tzname[0] != "TRB", "it is somewhere else"
    assert sys.gettrace() is None, "it is traced"
    assert sys.getprofile() is None, "it is profiled"
    assert sys.getrecursionlimit() >= 1000, "nothing may call anything"
    assert set(PATH) <= set(sys.path), "modules cannot be found"
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == signal.getitimer(signal.ITIMER_PROF)[0] == 0, "an alarm is set"
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()), "signals are blocked"
    assert {number: signal.getsignal(number) for number in HANDLERS} == HANDLERS, "a signal handler changed"
    assert [*map(resource.getrlimit, LIMITS)] == USUAL, "there are limits"
    assert os.getpriority(os.PRIO_PROCESS, 0) == os.getpriority(os.PRIO_PROCESS, os.getppid()), "others go first"
    assert Path(tempfile.gettempdir()).is_dir(), "there is nowhere for temporary files"

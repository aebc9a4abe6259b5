"""What the operating system knows of processes: who is whose child, who is alive, how much memory a tree holds.

On Linux a process can be told to die with its parent and to inherit its orphans; elsewhere both calls do nothing, and
the callers rely on closed pipes instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LINUX = sys.platform == "linux"
_PAGE = os.sysconf("SC_PAGE_SIZE")


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def has_children() -> bool:
    """Whether this process has a child, alive or not yet reaped."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def children(pid: int) -> list[int]:
    """The direct children of a process; empty when it is gone."""
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        import psutil

        try:
            return [child.pid for child in psutil.Process(pid).children()]
        except psutil.Error:
            return []
    except ProcessLookupError:
        return []


def kill_children(keep: frozenset[int] | set[int] = frozenset()) -> int:
    """Kill and reap every direct child of this process but those in `keep`, and then what they leave to it.

    Returns:
        How many were killed.
    """
    killed = 0
    while strangers := [pid for pid in children(os.getpid()) if pid not in keep]:
        for pid in strangers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in strangers:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
                killed += 1
    return killed


def kill_group(pid: int) -> None:
    """Kill a process group by its leader, and the leader itself should it have left the group."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def tree_memory(pid: int) -> int:
    """Resident bytes of a process and its descendants; pages they share are counted once for each."""
    if not _LINUX:
        import psutil

        try:
            process = psutil.Process(pid)
            return sum(p.memory_info().rss for p in (process, *process.children(recursive=True)))
        except psutil.Error:
            return 0
    total, queue = 0, [pid]
    while queue:
        one = queue.pop()
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * _PAGE
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue
        queue += children(one)
    return total


def boot_id() -> str:
    """Changes when the machine starts anew."""
    with contextlib.suppress(FileNotFoundError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    import psutil

    return str(int(psutil.boot_time()))


def start_time(pid: int) -> float | None:
    """When a process started, in the kernel's own measure; None when it is gone. With the pid it names a process."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return 0.0


def is_alive(pid: int, started: float) -> bool:
    """Whether the very process that had this pid and start time still runs."""
    now = start_time(pid)
    return now is not None and (now == 0.0 or abs(now - started) < 1.0)


def host() -> str:
    """This machine's name."""
    return socket.gethostname()

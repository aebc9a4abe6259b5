"""What the operating system knows of processes: who is whose child, who is alive, how much memory a tree holds.

On Linux a process can ask to die with its parent and to inherit orphans; elsewhere both calls do nothing, and
the callers rely on closed pipes instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import socket
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scythe_cli.core.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_MADV_WIPEONFORK = 18
_LINUX = sys.platform == "linux"
_PAGE = os.sysconf("SC_PAGE_SIZE")
TRACKER_SECONDS = 1.0
"""Time that a tracker gets to clean up after the processes it served have ended; it needs a hundredth of that."""
EXEC_ATTEMPTS = 50
_TRACKER = b"resource_tracker import main"


def set_parent_death_signal(number: int = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when the thread that started it ends."""
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def raise_oom_score() -> None:
    """When the machine runs out of memory, have the kernel end this process rather than those that watch it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800")


def become_subreaper() -> None:
    """Become the parent of every descendant whose own parent dies."""
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


class _PidMark:
    """A mark of systems that wipe no memory: it asks who this is."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, at: int) -> int:
        return int(os.getpid() == self._pid)


def fork_mark() -> mmap.mmap | _PidMark:
    """What shows a child of this process that it is one: `mark[0]` is 1 here, and 0 in whatever is forked.

    Linux wipes the page in a child, also where C code forks, and to look at it costs no call of the system:
    https://man7.org/linux/man-pages/man2/madvise.2.html. Where it does not, Python does after its own forks.
    """
    if not _LINUX:
        return _PidMark()
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        page.madvise(_MADV_WIPEONFORK)
    except OSError:  # older than Linux 4.14
        return _PidMark()
    page[0] = 1
    os.register_at_fork(after_in_child=lambda: page.__setitem__(0, 0))
    return page


def has_children() -> bool:
    """Whether this process has a child, alive or not yet reaped."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def threads() -> int:
    """Threads of this process as the kernel counts them, a few too many; 0 where it is unknown."""
    return os.stat("/proc/self/task").st_nlink if _LINUX else 0  # noqa: PTH116 - a third of Path.stat's cost


def children(pid: int) -> list[int]:
    """The direct children of a process; empty if it has ended."""
    try:
        return [int(p) for task in Path(f"/proc/{pid}/task").iterdir() for p in _children_of_task(task)]
    except FileNotFoundError:
        import psutil

        try:
            return [child.pid for child in psutil.Process(pid).children()]
        except psutil.Error:
            return []
    except ProcessLookupError:
        return []


def _children_of_task(task: Path) -> list[str]:
    """A child belongs to the thread that started it."""
    try:
        return (task / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        if not Path("/proc/self/task", str(os.getpid()), "children").exists():
            raise
        return []  # the thread has ended


def is_tracker(pid: int) -> bool:
    """Whether a process is one of multiprocessing's resource trackers.

    It removes the shared memory and semaphores of others after they have ended. If it is killed, nobody does.
    """
    for _ in range(EXEC_ATTEMPTS):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            if line or Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].startswith(b"Z"):
                return _TRACKER in line
        except OSError:
            return False
        Clock.sleep(0.001)  # it is just becoming another program, and has no command line for a moment
    return False


def has_tracker_below(pid: int) -> bool:
    """Whether a resource tracker is among the descendants of a process."""
    return any(is_tracker(child) or has_tracker_below(child) for child in children(pid))


def kill_children(keep: frozenset[int] | set[int] = frozenset()) -> set[int]:
    """Kill and reap every direct child of this process but those in `keep`, and then what they leave to it.

    Returns:
        Resource trackers, which were spared: they end by themselves now, or must be made to.
    """
    trackers: set[int] = set()
    while strangers := [pid for pid in children(os.getpid()) if pid not in keep and pid not in trackers]:
        trackers.update(filter(is_tracker, strangers))
        to_kill = [pid for pid in strangers if pid not in trackers]
        for pid in to_kill:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in to_kill:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
    return trackers


def wait_for_trackers(trackers: set[int]) -> None:
    """Wait for trackers, children of this process, to end; not for ever."""
    _release_tracker(trackers)
    deadline = Clock.monotonic() + TRACKER_SECONDS
    left = set(trackers)
    while left and Clock.monotonic() < deadline:
        left = {pid for pid in left if not _reaped(pid, os.WNOHANG)}
        if left:
            Clock.sleep(0.002)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
        _reaped(pid, 0)


def _reaped(pid: int, options: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, options)[0] == pid
    return True


def _release_tracker(trackers: set[int]) -> None:
    """A tracker serves as long as its pipe is open: close this process's end. Who needs one again starts another."""
    module = sys.modules.get("multiprocessing.resource_tracker")
    own: Any = None if module is None else module._resource_tracker
    if own is not None and own._pid in trackers:
        with contextlib.suppress(OSError):
            os.close(own._fd)
        own._fd = own._pid = None


def ended_child() -> int | None:
    """A direct child that has ended and was not reaped: its number is still its own. None where there is none."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid


def kill_group(pid: int) -> None:
    """Kill a process group by its leader, and the leader itself should it have left the group.

    The leader must be a child of this process that was not reaped, or its number may be another's.
    """
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def kill_tagged(tag: str, *, keep: int | None = None) -> None:
    """Kill every process that has `tag`, a `NAME=value`, in its environment, and wait until it has ended."""
    wanted = tag.encode()
    deadline = Clock.monotonic() + 2.0
    patience = Clock.monotonic() + TRACKER_SECONDS
    while Clock.monotonic() < deadline and (
        found := [pid for pid in _pids() if pid not in (keep, os.getpid()) and wanted in _environment(pid)]
    ):
        for pid in found:
            if Clock.monotonic() < patience and is_tracker(pid):
                continue
            _kill_if(pid, lambda pid: wanted in _environment(pid))
        Clock.sleep(0.002)


def _kill_if(pid: int, still: Callable[[int], bool]) -> None:
    """Kill a process that is nobody's child here, unless its number has become another's since it was looked at."""
    handle = _handle(pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if still(pid):
            if handle is None:
                os.kill(pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
    if handle is not None:
        os.close(handle)


def _handle(pid: int) -> int | None:
    """A handle of this very process; None if it has ended, or the kernel or this Python has no such handle."""
    if not hasattr(os, "pidfd_open"):  # conda's Python is built for kernels that lack it
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()] if _LINUX else []  # noqa: PTH208 - 3x faster


def _environment(pid: int) -> list[bytes]:
    """The arguments of a process; nothing for one that has ended, of another user, or a zombie."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def resident() -> int:
    """Resident bytes of this process."""
    if _LINUX:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE
    import psutil

    return int(psutil.Process().memory_info().rss)


def cpu_seconds(pid: int) -> float | None:
    """What a process has computed so far, in seconds of one core; None when it does not exist any more."""
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return float(times.user + times.system)


def tree_memory(pid: int, *, exact: bool = False) -> int:
    """Resident bytes of a process and its descendants.

    Args:
        pid: the process.
        exact: count a page that several processes share in parts, so once in all; a hundred times slower.
    """
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
            total += _proportional(one) if exact else int(Path(f"/proc/{one}/statm").read_text().split()[1]) * _PAGE
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue
        queue += children(one)
    return total


def _proportional(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return 0


def boot_id() -> str:
    """Changes at each start of the machine, and with the measure of `start_time`."""
    with contextlib.suppress(FileNotFoundError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + "-ticks"
    import psutil

    return str(int(psutil.boot_time()))


def namespace() -> str:
    """Which processes this one's numbers are about: containers of one host count their own."""
    with contextlib.suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""


@cache
def _start_of_machine() -> float:
    return (16 + int(boot_id().replace("-", "")[:4], 16)) * 1e9  # larger than any seconds


def start_time(pid: int) -> float | None:
    """What identifies a process together with its pid; None if it has ended.

    On Linux seconds since the machine's start, with a number of that start: no step of the clock changes them.
    """
    if _LINUX:
        try:
            about = Path(f"/proc/{pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError) as exc:
            return 0.0 if isinstance(exc, PermissionError) else None
        state, *numbers = about[about.rindex(b")") + 2 :].split()
        return None if state in {b"Z", b"X"} else _start_of_machine() + int(numbers[18]) / os.sysconf("SC_CLK_TCK")
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return 0.0


def began(pid: int) -> float | None:
    """When a process began, in seconds since 1970 by the machine's clock; None if it has ended."""
    import psutil

    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def is_alive(pid: int, started: float) -> bool:
    """Whether the very process that had this pid and start time still runs."""
    now = start_time(pid)
    return now is not None and (now == 0.0 or abs(now - started) < 1.0)


def host() -> str:
    """This machine's name."""
    return socket.gethostname()


def available_memory() -> int:
    """Bytes that a process of this machine can get without swapping."""
    import psutil

    return int(psutil.virtual_memory().available)


_M_ARENA_MAX = -8


def give_memory_back() -> None:
    """Return memory that this process has freed to the system; allocators keep it for the next time."""
    with contextlib.suppress(OSError, AttributeError):  # another C library has another way, or none
        ctypes.CDLL(None).malloc_trim(0)


def share_heaps() -> None:
    """Let threads that begin from now on share two heaps of the C library, which else keeps one for each thread.

    Source: mallopt(3), M_ARENA_MAX.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library has no such setting
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)

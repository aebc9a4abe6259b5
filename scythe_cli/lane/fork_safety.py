"""Whether lanes may be forked from a process that has imported the user's module.

Input: this process. Output: why not, or None. Threads of a library do not exist in a forked child; where the library
waits for them there, the child hangs for ever. OpenBLAS and Arrow start theirs again, so numpy, pandas and pyarrow are
no obstacle. Whose a thread is, is read from its stack: the return addresses on it lie in the library that started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import re
import select
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

from scythe_cli.core.clock import Clock

CANARY_SECONDS = 3.0
LOOK_SECONDS = 0.5
"""A thread that runs has no stack to read, so it is looked at again: OpenBLAS waits for 0.12 s before it sleeps."""
PAUSE_SECONDS = 0.005
STACK_BYTES = 1 << 16
UNKNOWN = "an unknown library"
"""Whose a thread is that runs all the time, or whose stack cannot be read."""
_TASKS = Path("/proc/self/task")
_SYSTEM = re.compile(r"^(\[|ld-|lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s)[-.])")
_SURVIVES = re.compile(r"openblas|^libarrow|^libparquet|^lib\.cpython")
"""Libraries that start their threads again in a forked child. jemalloc, inside some, does too."""
_JEMALLOC = "jemalloc_bg_thd"
_POLARS = re.compile(r"polars")
_LINE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(?:.*/)?(.*)$", re.MULTILINE)
"""Of /proc/self/maps: begin, end, permissions, and the last part of the file's name."""


class _Mapping(NamedTuple):
    begin: int
    end: int
    executable: bool
    name: str


def reason_not_to_fork() -> str | None:
    """Why a forked lane might hang; None where it would not."""
    if threading.active_count() > 1:
        return "the module starts a Python thread"
    owner = _thread_that_does_not_survive()
    if owner not in (None, UNKNOWN):
        return f"the module starts threads of {owner}"
    parallel: Any = sys.modules.get("numba.np.ufunc.parallel")
    if parallel is not None and getattr(parallel, "_is_initialized", False):
        return "the module runs parallel code of numba"
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "the module uses the GPU"
    if "polars" in sys.modules and not _polars_survives():
        return "the module uses polars"
    return None if owner is None else f"the module starts threads of {owner}"


def _thread_that_does_not_survive() -> str | None:
    """The library of a thread that a forked child would lack and wait for. None also where stacks are not shown."""
    if not _TASKS.is_dir():
        return None
    for task in _TASKS.iterdir():
        if int(task.name) == os.getpid():
            continue
        owners = _owners(task)
        if not owners or not all(_SURVIVES.search(owner) or _POLARS.search(owner) for owner in owners):
            return ", ".join(owner for owner in owners if not _SURVIVES.search(owner)) or UNKNOWN
    return None


def _owners(task: Path) -> list[str]:
    """The libraries on the stack of a thread. Empty where it cannot be read; of one that has ended, a harmless one."""
    deadline = Clock.monotonic() + LOOK_SECONDS
    while Clock.monotonic() < deadline:
        try:
            if (task / "comm").read_text().strip() == _JEMALLOC:
                return ["libarrow"]
            where = (task / "syscall").read_text().split()
        except FileNotFoundError:
            return ["libarrow"]
        except OSError:
            return []
        if where[0] != "running":
            return _libraries_on_stack(int(where[-2], 16))
        Clock.sleep(PAUSE_SECONDS)
    return []


def _libraries_on_stack(pointer: int) -> list[str]:
    mappings = _mappings()
    stack = next((one for one in mappings if one.begin <= pointer < one.end), None)
    if stack is None:
        return []
    data = ctypes.string_at(pointer, min(stack.end - pointer, STACK_BYTES) // 8 * 8)
    code = [one for one in mappings if one.executable]
    found = {one.name for word in memoryview(data).cast("Q") for one in code if one.begin <= word < one.end}
    python = Path(sys.executable).resolve().name
    return sorted(name for name in found if name and not _SYSTEM.search(name) and name != python)


def _mappings() -> list[_Mapping]:
    lines = _LINE.findall(Path("/proc/self/maps").read_text())
    return [_Mapping(int(begin, 16), int(end, 16), "x" in may, name) for begin, end, may, name in lines]


def _polars_survives() -> bool:
    """Polars, once used, hangs in a forked child: one child tries, under a limit."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            polars = importlib.import_module("polars")
            polars.DataFrame({"a": [1, 2]}).group_by("a").len()
            os._exit(0)
        os._exit(1)
    deadline = Clock.monotonic() + CANARY_SECONDS
    while Clock.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        select.select([], [], [], PAUSE_SECONDS)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False

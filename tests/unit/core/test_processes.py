"""What is known of processes where the system or this Python lacks something."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scythe_cli.core import processes

if TYPE_CHECKING:
    from collections.abc import Callable

FORKS = "ignore:.*multi-threaded:DeprecationWarning"


@pytest.mark.parametrize("handles", [True, False], ids=["with handles", "without"])
def test_tagged_processes_are_killed(monkeypatch: pytest.MonkeyPatch, handles: bool) -> None:
    if not handles:
        monkeypatch.delattr(os, "pidfd_open")
    tag = f"SCYTHE_TEST_TAG={os.getpid()}-{handles}"
    name, _, value = tag.partition("=")
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={name: value}) as process:
        assert process.stdout is not None
        process.stdout.readline()  # before that the kernel may not show its environment yet
        processes.kill_tagged(tag)
        assert process.wait(10) == -9


# PyDLL holds the GIL: with CDLL another thread may hold it at the fork, and the child waits for ever.
@pytest.mark.filterwarnings(FORKS)
@pytest.mark.parametrize("fork", [os.fork, ctypes.PyDLL(None).fork], ids=["of Python", "of C code"])
def test_a_forked_child_sees_that_it_is_one(fork: Callable[[], int]) -> None:
    mark = processes.fork_mark()
    assert mark[0] == 1
    child = fork()
    if child == 0:
        os._exit(mark[0])
    assert os.waitpid(child, 0)[1] == 0
    assert mark[0] == 1


@pytest.mark.filterwarnings(FORKS)
def test_a_forked_child_sees_that_it_is_one_where_the_kernel_wipes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_LINUX", False)
    mark = processes.fork_mark()
    child = os.fork()
    if child == 0:
        os._exit(mark[0])
    assert os.waitpid(child, 0)[1] == 0
    assert mark[0] == 1

"""What is known of processes where the system or this Python lacks something."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from scythe_cli.core import processes


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


FORK_MARK = """
import ctypes, os, sys
from scythe_cli.core import processes
processes._LINUX = processes._LINUX and sys.argv[1] == "the kernel wipes"
fork = {"Python": os.fork, "C": ctypes.PyDLL(None).fork}[sys.argv[2]]
mark = processes.fork_mark()
before = mark[0]
child = fork()
if child == 0:
    os._exit(mark[0])
print(before, os.waitpid(child, 0)[1], mark[0])
"""


@pytest.mark.parametrize(
    ("kernel", "fork"),
    [("the kernel wipes", "Python"), ("the kernel wipes", "C"), ("it wipes nothing", "Python")],
)
def test_a_forked_child_sees_that_it_is_one(kernel: str, fork: str) -> None:
    """In a process with one thread: a child of C's fork could wait for ever for a lock that another thread held."""
    done = subprocess.run([sys.executable, "-c", FORK_MARK, kernel, fork], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1 0 1\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere psutil says when a process started")
def test_a_step_of_the_clock_ends_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        started = processes.start_time(child.pid)
        assert started is not None
        boot = psutil.boot_time()
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + 100.0)
        assert processes.is_alive(child.pid, started)
        assert not processes.is_alive(child.pid, started - 5.0)  # another one that had this pid
    finally:
        child.kill()
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not processes.is_alive(child.pid, started)
    child.wait()
    assert processes.start_time(child.pid) is None

"""What is known of processes where the system or this Python lacks something."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from scythe_cli.core import processes


@pytest.mark.parametrize("handles", [True, False], ids=["with handles", "without"])
def test_tagged_processes_are_killed(monkeypatch: pytest.MonkeyPatch, handles: bool) -> None:
    if not handles:
        monkeypatch.delattr(os, "pidfd_open")
    tag = f"SCYTHE_TEST_TAG={os.getpid()}-{handles}"
    name, _, value = tag.partition("=")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={name: value}) as process:
        processes.kill_tagged(tag)
        assert process.wait(10) == -9

"""Misdeeds that take too long, or too much memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from misdeeds.models import FOREVER, Input, fails, start_tree


@fails("timeout")
def holds_the_gil(spec: Input, tempdir: Path) -> Any:
    ctypes.PyDLL(None).sleep(int(FOREVER))


@fails("timeout")
def sleeps(spec: Input, tempdir: Path) -> Any:
    time.sleep(FOREVER)


@fails("timeout")
def waits_for_an_endless_tree(spec: Input, tempdir: Path) -> Any:
    start_tree(spec)
    time.sleep(FOREVER)


@fails("timeout")
def ignores_signals(spec: Input, tempdir: Path) -> Any:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(FOREVER)


@fails("timeout")
def stops_itself(spec: Input, tempdir: Path) -> Any:
    os.kill(os.getpid(), signal.SIGSTOP)


@fails("timeout")
def prints_for_ever(spec: Input, tempdir: Path) -> Any:
    print("the head")
    while True:
        os.write(1, b"y" * 65536 + b"\n")


@fails("memory")
def allocates(spec: Input, tempdir: Path) -> Any:
    held = []
    while True:
        held.append(bytearray(os.urandom(1)) * (50 << 20))


@fails("memory")
def allocates_at_once(spec: Input, tempdir: Path) -> Any:
    return bytearray(b"x") * (10 << 30)


@fails("memory")
def has_a_child_allocate(spec: Input, tempdir: Path) -> Any:
    subprocess.run([sys.executable, "-c", "x = bytearray(b'x') * (3 << 30); import time; time.sleep(99)"], check=False)
    time.sleep(FOREVER)


@fails("memory")
def has_a_thread_allocate(spec: Input, tempdir: Path) -> Any:
    thread = threading.Thread(target=has_a_child_allocate, args=(spec, tempdir), daemon=True)
    thread.start()
    thread.join()

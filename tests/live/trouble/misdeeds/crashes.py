"""Misdeeds that end the process, or spoil its connection."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from misdeeds.models import ACTS, FOREVER, Input, fails, fine, lives
from scythe_cli.lane import wire


@fails("crash")
def exits_hard(spec: Input, tempdir: Path) -> Any:
    os._exit(0)


@fails("crash")
def dies_within_a_line(spec: Input, tempdir: Path) -> Any:
    sys.stdout.write("half a line")
    os._exit(0)


@fails("crash")
def segfaults(spec: Input, tempdir: Path) -> Any:
    ctypes.string_at(8)


@fails("crash")
def kills_itself(spec: Input, tempdir: Path) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


@fails("crash")
def terminates_itself(spec: Input, tempdir: Path) -> Any:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(FOREVER)


@fails("crash")
def ends_by_a_nameless_signal(spec: Input, tempdir: Path) -> Any:
    os.kill(os.getpid(), 40)


def kills_its_parent(spec: Input, tempdir: Path) -> Any:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(FOREVER)


def stops_its_parent(spec: Input, tempdir: Path) -> Any:
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(FOREVER)


ACTS |= {"kills_its_parent": kills_its_parent, "stops_its_parent": stops_its_parent}


@fails("crash")
def aborts(spec: Input, tempdir: Path) -> Any:
    os.abort()


@fails("crash")
def closes_every_descriptor(spec: Input, tempdir: Path) -> Any:
    os.closerange(0, 4096)


def sockets() -> list[int]:
    """The descriptors of this process that are sockets."""
    return [number for number in range(256) if Path(f"/proc/self/fd/{number}").is_socket()]


@fails("crash")
def writes_to_every_descriptor(spec: Input, tempdir: Path) -> Any:
    for number in sockets():
        os.write(number, b"garbage" * 100)
    return fine(spec)


@fails("crash")
def writes_what_looks_like_a_message(spec: Input, tempdir: Path) -> Any:
    for number in sockets():
        os.write(number, wire.pack({"rows": None, "listed": [spec.sort_index]}))
    return fine(spec)


@fails("crash")
def writes_half_a_message(spec: Input, tempdir: Path) -> Any:
    for number in sockets():
        os.write(number, wire.pack({"rows": None, "listed": []})[:-1])
    return fine(spec)


@fails("crash")
def closes_its_connection_and_lives_on(spec: Input, tempdir: Path) -> Any:
    for number in sockets():
        os.close(number)
    time.sleep(FOREVER)


@fails("lost")
def closes_its_connection(spec: Input, tempdir: Path) -> Any:
    for number in sockets():
        os.close(number)
    return fine(spec)


@lives
def will_not_hear_any_more(spec: Input, tempdir: Path) -> Any:
    for number in sockets():
        socket.socket(fileno=os.dup(number)).shutdown(socket.SHUT_RD)
    return fine(spec)


@fails("crash")
def segfaults_in_a_thread(spec: Input, tempdir: Path) -> Any:
    thread = threading.Thread(target=ctypes.string_at, args=(8,))
    thread.start()
    thread.join()

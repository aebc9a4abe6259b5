"""The fork server as its supervisor sees it.

Takes what it is told of the experiment, and orders to start, look at and kill lanes; leaves what it tells of them, and
its last words when it has ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from typing import TYPE_CHECKING, Any

from scythe_cli.core import processes
from scythe_cli.lane.fork_server import RUN_TAG, command
from scythe_cli.run.outcomes import LOG_LIMIT
from scythe_cli.supervisor.scratch import unnamed_file

if TYPE_CHECKING:
    from scythe_cli.lane.fork_server import Record

IMPORT_SECONDS = 5.0
"""What a fork server gets to end by itself; while it imports it does not listen."""


class ServerHandle:
    """The supervisor's end of a fork server, which starts now.

    Args:
        record: what it is told.
    """

    def __init__(self, record: Record) -> None:
        self._tag = f"{RUN_TAG}={record.scratch}"
        self._control, theirs = socket.socketpair()
        self._text = b""
        self._log = unnamed_file(record.scratch, append=True)
        with theirs:
            self._process = subprocess.Popen(
                command(theirs.fileno(), record),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
                env={**os.environ, RUN_TAG: record.scratch},
            )

    def fileno(self) -> int:
        """What a selector waits on."""
        return self._control.fileno()

    def start(self, lane: int, descriptors: list[int]) -> None:
        """Have it start a lane with these descriptors."""
        order = json.dumps({"order": "lane", "lane": lane}).encode() + b"\n"
        with contextlib.suppress(OSError):  # it is gone; that is heard, and lanes end with it
            socket.send_fds(self._control, [order], descriptors)

    def order(self, what: str, lane: int) -> None:
        """Have it do something to a lane."""
        with contextlib.suppress(OSError):  # the same
            self._control.sendall(json.dumps({"order": what, "lane": lane}).encode() + b"\n")

    def hear(self) -> list[dict[str, Any]] | None:
        """What it tells, one event after the other; None when it is gone."""
        try:
            piece = self._control.recv(65536)
        except ConnectionResetError:
            piece = b""
        if not piece:
            return None
        *lines, self._text = (self._text + piece).split(b"\n")
        return [json.loads(line) for line in lines]

    def kill(self) -> None:
        """Kill it; its lanes die with it, and that is heard."""
        if self._process.returncode is None:  # else its number may be another's
            processes.kill_group(self._process.pid)

    def last_words(self) -> tuple[int, str]:
        """Of one that is gone: how it ended, and what it said. What its lanes had started is gone afterwards."""
        self._control.close()
        status = self._process.wait()
        processes.kill_tagged(self._tag)
        half = LOG_LIMIT // 2
        said = os.pread(self._log, half, max(0, os.fstat(self._log).st_size - half))
        return status, said.decode(errors="replace")

    def end(self, patience: float) -> None:
        """End it, and wait until it is gone with its lanes and all that those started.

        Args:
            patience: seconds until it is killed.
        """
        self._control.close()
        try:
            self._process.wait(min(IMPORT_SECONDS, patience))
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        processes.kill_tagged(self._tag)

    def close(self) -> None:
        """Let go of its log, when it has ended."""
        os.close(self._log)

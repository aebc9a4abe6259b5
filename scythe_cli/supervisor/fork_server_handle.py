"""The fork server as its supervisor sees it.

Input: orders to start, look at and kill lanes. Output: events of lanes; its exit status and log when it has ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from typing import TYPE_CHECKING, Any

from scythe_cli.core import processes
from scythe_cli.lane.job import RUN_TAG, ServerOrder, command
from scythe_cli.run.outcomes import LOG_LIMIT
from scythe_cli.supervisor.scratch import unnamed_file

if TYPE_CHECKING:
    from scythe_cli.lane.job import ForkServerConfig

IMPORT_SECONDS = 5.0
"""What a fork server gets to end by itself; while it imports it does not listen."""


class ForkServerHandle:
    """The supervisor's end of a fork server, which starts now.

    Args:
        config: its configuration.
    """

    def __init__(self, config: ForkServerConfig) -> None:
        self._tag = f"{RUN_TAG}={config.scratch}"
        self._control, theirs = socket.socketpair()
        self._text = b""
        self._log = unnamed_file(config.scratch, append=True)
        with theirs:
            self._process = subprocess.Popen(
                command(theirs.fileno(), config),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
                env={**os.environ, **config.environment, RUN_TAG: config.scratch},
            )

    def fileno(self) -> int:
        """What a selector waits on."""
        return self._control.fileno()

    def start(self, lane: int, descriptors: list[int]) -> None:
        """Have it start a lane with these descriptors."""
        order = json.dumps({"order": ServerOrder.LANE, "lane": lane}).encode() + b"\n"
        with contextlib.suppress(OSError):  # it has ended, which `receive` finds, and lanes end with it
            socket.send_fds(self._control, [order], descriptors)

    def order(self, what: ServerOrder, lane: int) -> None:
        """Have it do something to a lane."""
        with contextlib.suppress(OSError):  # the same
            self._control.sendall(json.dumps({"order": what, "lane": lane}).encode() + b"\n")

    def receive(self) -> list[dict[str, Any]] | None:
        """Its events, one after the other; None when it has ended."""
        try:
            piece = self._control.recv(65536)
        except ConnectionResetError:
            piece = b""
        if not piece:
            return None
        *lines, self._text = (self._text + piece).split(b"\n")
        return [json.loads(line) for line in lines]

    def kill(self) -> None:
        """Kill it; its lanes die with it, and `receive` finds it ended."""
        if self._process.returncode is None:  # else its number may be another's
            processes.kill_group(self._process.pid)

    def exit_status_and_log(self) -> tuple[int, str]:
        """Of one that has ended. What its lanes had started is ended as well."""
        self._control.close()
        status = self._process.wait()
        processes.kill_tagged(self._tag)
        half = LOG_LIMIT // 2
        said = os.pread(self._log, half, max(0, os.fstat(self._log).st_size - half))
        return status, said.decode(errors="replace")

    def end(self, kill_timeout: float) -> None:
        """End it, and wait until it has ended with its lanes and all that those started.

        Args:
            kill_timeout: seconds until it is killed.
        """
        self._control.close()
        try:
            self._process.wait(min(IMPORT_SECONDS, kill_timeout))
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        processes.kill_tagged(self._tag)

    def close(self) -> None:
        """Close its log, when it has ended."""
        os.close(self._log)

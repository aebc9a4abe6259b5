"""Sends a lane's finished outcomes to its supervisor: between two specs, and in the background while one runs.

Input: pending outcomes. Output: messages on the lane's connection. A finished row does not wait for the next to end,
however long that takes.
"""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from scythe_cli.core.clock import Clock
from scythe_cli.lane import wire
from scythe_cli.lane.messages import SENDING_AT
from scythe_cli.lane.pending import Pending

if TYPE_CHECKING:
    import mmap
    import socket

    from scythe_cli.lane.encode import Encoder
    from scythe_cli.lane.messages import BatchHeader

SEND_AFTER_SECONDS = 0.4
"""Finished rows wait no longer than this, whatever runs next."""
BATCH_BYTES = 8 << 20


class Sender:
    """One lane's outcomes on their way out.

    Args:
        connection: to the supervisor.
        marker: the memory that both share.

    Attributes:
        pending: outcomes to send; the main thread's, except while `in_user_code`.
        encoder: of the run at work.
        in_user_code: the main thread calls the user's function. Only then does the background take `pending`.
        taking: the background is about to look at `in_user_code`, or takes `pending`.
        failure: what the background thread ended with.
    """

    def __init__(self, connection: socket.socket, marker: mmap.mmap) -> None:
        self._connection = connection
        self._marker = marker
        self.pending = Pending()
        self.encoder: Encoder | None = None
        self.in_user_code = False
        self.failure: BaseException | None = None
        self.taking = False
        self._swap = threading.Lock()
        self._send = threading.Lock()
        self._last_sent = Clock.monotonic()
        threading.Thread(target=self._send_in_background, daemon=True, name="scythe-sender").start()

    def wait_until_taken(self) -> None:
        """Wait while the background takes outcomes."""
        with self._swap:
            pass

    def restart_clock(self) -> None:
        """Nothing is pending yet: what comes now waits its full time."""
        self._last_sent = Clock.monotonic()

    def is_due(self, now: float) -> bool:
        """Whether what is pending should go now."""
        return self.pending.weight > BATCH_BYTES or now - self._last_sent > SEND_AFTER_SECONDS

    def send(self, ending: BatchHeader | None = None) -> None:
        """Send what is pending, from the main thread; the last message carries the end of `ending`."""
        with self._send:
            pending = self._take()
            if pending or ending is not None:
                self._send_batch(pending, ending)

    def _send_in_background(self) -> None:
        """Send now and then. Without a connection there is nobody to send to, and the process ends.

        What else goes wrong ends the process as well, but between two rows: the one at work has no part in it.
        """
        try:
            while True:
                Clock.sleep(SEND_AFTER_SECONDS / 2)
                if self.pending and Clock.monotonic() - self._last_sent > SEND_AFTER_SECONDS:
                    with self._send:
                        self._send_while_user_code_runs()
        except OSError:
            os._exit(1)
        except BaseException as exc:  # noqa: BLE001 - raised again in the main thread
            self.failure = exc

    def _send_while_user_code_runs(self) -> None:
        with self._swap:
            self.taking = True
            if not self.in_user_code:
                self.taking = False
                return
            self._marker[SENDING_AT] = 1
            pending = self._take()
            self.taking = False
        try:
            self._send_batch(pending, None)
        finally:
            self._marker[SENDING_AT] = 0

    def _take(self) -> Pending:
        pending, self.pending = self.pending, Pending()
        self._last_sent = Clock.monotonic()
        return pending

    def _send_batch(self, pending: Pending, ending: BatchHeader | None) -> None:
        assert self.encoder is not None  # noqa: S101 - outcomes are of a run, which has one
        *before, (header, buffers) = self.encoder.messages(pending)
        self._marker[SENDING_AT] = 0
        for earlier, its_buffers in before:
            self._connection.sendall(wire.pack(earlier.header(), its_buffers))
        if ending is not None:
            end = {name: getattr(ending, name) for name in ("done", "left", "needs_restart", "calls")}
            header = replace(header, **end)
        self._connection.sendall(wire.pack(header.header(), buffers))

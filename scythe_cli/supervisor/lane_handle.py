"""One lane as its supervisor sees it: its end of the connection, and of the memory that both share.

Takes rows to send and the bytes that arrive; leaves messages, each held against what the lane has, and tells what the
lane is at. Nothing here waits.
"""

from __future__ import annotations

import mmap
import os
import socket
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from scythe_cli.core.clock import Clock
from scythe_cli.lane import wire
from scythe_cli.lane.shared_memory import IDLE, JUDGED, LATE, LATE_AT, MARKER, MARKER_SIZE, STOP_AT, TELLING_AT
from scythe_cli.supervisor.captured_output import Printed
from scythe_cli.supervisor.scratch import unnamed_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scythe_cli.supervisor.chunk import Take


@dataclass(frozen=True)
class Message:
    """What a lane said.

    Attributes:
        take: the rows it is about.
        header: what became of them, as `leaf` tells it; `unfit` when the lane wants a fresh process in its place.
        buffers: their outcomes and frames.
    """

    take: Take
    header: dict[str, Any]
    buffers: list[bytes]


@dataclass(eq=False)
class LaneHandle:
    """The supervisor's end of one lane.

    Attributes:
        takes: what it was given and has not finished; it is at the first.
        spoke: it has sent a message.
        ending: why it ends, once that is known before its end.
        doomed: since when it should be ending.
        gone: when its connection ended.
        heard: when it last said something or got rows.
        condemned: the row on whose account it was killed, and when that began.
    """

    number: int
    connection: socket.socket
    marker: mmap.mmap
    printed: Printed
    pid: int | None = None
    takes: deque[Take] = field(default_factory=deque)
    unsent: bytearray = field(default_factory=bytearray)
    inbox: wire.Inbox = field(default_factory=wire.Inbox)
    job: str | None = None
    block: tuple[str, int] | None = None
    spoke: bool = False
    asked: tuple[float, tuple[int, float] | None] | None = None
    ending: str | None = None
    doomed: float | None = None
    gone: float | None = None
    heard: float = field(default_factory=Clock.monotonic)
    condemned: tuple[int, float] | None = None

    @classmethod
    def new(cls, number: int, folder: str) -> tuple[LaneHandle, list[int]]:
        """A handle, and the descriptors that its lane needs, to be closed here once it has them."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, wire.CHUNK)
        marker_fd, capture = unnamed_file(folder), unnamed_file(folder, append=True)
        os.truncate(marker_fd, MARKER_SIZE)
        marker = mmap.mmap(marker_fd, MARKER_SIZE)
        MARKER.pack_into(marker, 0, IDLE, 0.0)
        return cls(number, ours, marker, Printed(capture)), [theirs.detach(), marker_fd, os.dup(capture)]

    def at_work(self) -> tuple[int, float] | None:
        """The row at work, or whose output is being judged, and when that began, on the monotonic clock."""
        row, start = MARKER.unpack_from(self.marker)
        return None if row == IDLE else (JUDGED - row if row <= JUDGED else row, start)

    def running(self) -> tuple[int, float] | None:
        """The row at work: those before it are done, those behind it not begun."""
        row, start = MARKER.unpack_from(self.marker)
        return (row, start) if row >= 0 else None

    @property
    def is_telling(self) -> bool:
        """Whether it makes a message of outcomes, whatever row is at work."""
        return self.marker[TELLING_AT] != 0

    def idle_since(self) -> float | None:
        """When it ended its last row, handed over its outcomes or got its rows; None before the first, and at work."""
        row, since = MARKER.unpack_from(self.marker)
        return max(since, self.heard) if row == IDLE and since else None

    @property
    def begun(self) -> bool:
        """Whether it has been at a row."""
        return MARKER.unpack_from(self.marker) != (IDLE, 0.0)

    @property
    def asked_to_stop(self) -> bool:
        """Whether it was, and has not answered yet."""
        return self.marker[STOP_AT] != 0

    def ask_to_stop(self) -> None:
        """Have the lane give back what it has not begun."""
        if not self.asked_to_stop:
            self.marker[STOP_AT] = 1
            self.asked = (Clock.monotonic(), self.running())

    def hangs(self, seconds: float) -> bool:
        """Whether it was asked so long ago and is at the same row still: then it will begin no other before it answers.

        It tells its row before it looks whether it was asked, so a row that it began in between would be seen.
        """
        return (
            self.asked_to_stop
            and self.asked is not None
            and self.asked[1] is not None
            and self.asked[1] == self.running()
            and Clock.monotonic() - self.asked[0] > seconds
        )

    def call_time(self, at: tuple[int, float]) -> None:
        """Have it not end a row any more."""
        LATE.pack_into(self.marker, LATE_AT, at[1])

    def doom(self, reason: str) -> None:
        """It should be ending from now on, for this reason."""
        self.ending, self.doomed = reason, Clock.monotonic()

    def give(self, take: Take, block: bytes) -> None:
        """Put rows behind those it has. `block`, the parquet of their block, goes along where it lacks it."""
        self.heard = Clock.monotonic()
        self.takes.append(take)
        header = {"do": "take", "block": take.block, "rows": None, "listed": None, "attempts": take.attempts}
        if isinstance(take.rows, range):
            header["rows"] = [take.rows[0], take.rows[-1]]
        else:
            header["listed"] = list(take.rows)
        if self.job != take.job.key:
            self.unsent += wire.pack({"do": "job", "job": asdict(take.job)})
            self.job, self.block = take.job.key, None
        known = self.block == (take.job.key, take.block)
        self.unsent += wire.pack(header, [] if known else [block])
        self.block = (take.job.key, take.block)

    def send(self) -> None:
        """Send what it has room for; the rest stays in `unsent` until it has: a lane at work does not read."""
        try:
            while self.unsent:
                sent = self.connection.send(memoryview(self.unsent)[: wire.CHUNK])
                del self.unsent[:sent]
        except BlockingIOError:
            return
        except OSError:
            self.unsent.clear()  # it ended, which is told elsewhere

    def receive(self) -> bytes | None:
        """What has arrived: nothing when the connection has ended, None while there is nothing."""
        try:
            return self.connection.recv(wire.CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def read(self, piece: bytes) -> Iterator[Message]:
        """The messages in what has arrived, when they are whole.

        Raises:
            ProtocolError: no lane says this.
        """
        for header, buffers in self.inbox.feed(piece):
            yield self._take_note(self._checked(header, buffers), header, buffers)

    def _checked(self, header: dict[str, Any], buffers: list[bytes]) -> Sequence[int]:
        """The rows of a message. Raises `ProtocolError` unless the lane has them and has not reported them."""
        try:
            rows = header["rows"]
            told = range(rows[0], rows[1] + 1) if rows else header["listed"]
            open_rows = set(self.takes[0].open_rows()) if self.takes else set()
            sound = {*told, *header["retry"]} <= open_rows and len(told) == header["n"]
            sound = sound and len(buffers) == 1 + len(header["frames"])
        except (KeyError, TypeError, IndexError) as exc:
            raise wire.ProtocolError("no lane says this") from exc
        if not sound:
            raise wire.ProtocolError("no lane says this")
        return told

    def _take_note(self, told: Sequence[int], header: dict[str, Any], buffers: list[bytes]) -> Message:
        self.spoke = True
        take = self.takes[0]
        take.handed += [told, header["retry"]]
        if header.get("done"):
            self.takes.popleft()
            if not self.takes:
                self.marker[STOP_AT] = 0
        return Message(take, header, buffers)

    def close(self) -> None:
        """Let go of what was shared with a lane that is no more."""
        self.connection.close()
        self.marker.close()
        self.printed.close()

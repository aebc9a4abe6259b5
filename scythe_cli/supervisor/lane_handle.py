"""One lane as its supervisor sees it: its end of the connection, and of the memory that both share.

Input: rows to send and the bytes that arrive. Output: messages, each checked against what the lane has, and what the
lane is at. Nothing here waits.
"""

from __future__ import annotations

import mmap
import os
import socket
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from scythe_cli.core.clock import Clock
from scythe_cli.lane import wire
from scythe_cli.lane.messages import (
    IDLE,
    LATE,
    LATE_AT,
    MARKER,
    MARKER_SIZE,
    SENDING_AT,
    STOP_AT,
    TOGETHER,
    TOGETHER_AT,
    BatchHeader,
    LaneCommand,
)
from scythe_cli.supervisor.captured_output import CapturedOutput, RunningRow
from scythe_cli.supervisor.scratch import unnamed_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.supervisor.chunk import Chunk


class LaneEndReason(StrEnum):
    """Why a lane ends, where it is not by itself."""

    TIMEOUT = "timeout"  # its spec took too long
    MEMORY = "memory"  # its spec held too much
    NEEDS_RESTART = "needs restart"  # it asked for a fresh process
    NO_SERVER = "no server"  # its fork server was killed
    PROTOCOL_ERROR = "protocol error"  # it sent what no lane sends, or closed its connection and lives on
    SILENT = "silent"  # it has rows, is at none, and says nothing
    STOPPED = "stopped"  # its run, or a leaf, has come to its end


class LaneState(StrEnum):
    """Where a lane is in its life."""

    STARTING = "starting"  # the fork server was asked for it
    ALIVE = "alive"  # its process exists
    DISCONNECTED = "disconnected"  # its end of the connection is closed; it may live on
    ENDING = "ending"  # it was killed, or has said that it ends


@dataclass(frozen=True)
class Message:
    """What a lane said.

    Attributes:
        chunk: the rows it is about.
        header: what became of them.
        buffers: their outcomes and frames.
    """

    chunk: Chunk
    header: BatchHeader
    buffers: list[bytes]


@dataclass(eq=False)
class LaneHandle:
    """The supervisor's end of one lane.

    Attributes:
        chunks: what it was given and has not finished; it is at the first.
        pid: its process, once that was started.
        state: where it is in its life.
        state_since: since when.
        end_reason: why it ends, where that is known before its end.
        killed_for: the row on whose account it was killed.
        spoke: it has sent a message.
        heard: when it last said something or got rows.
    """

    number: int
    connection: socket.socket
    marker: mmap.mmap
    captured: CapturedOutput
    pid: int | None = None
    chunks: deque[Chunk] = field(default_factory=deque)
    unsent: bytearray = field(default_factory=bytearray)
    state: LaneState = LaneState.STARTING
    state_since: float = field(default_factory=Clock.monotonic)
    end_reason: LaneEndReason | None = None
    killed_for: RunningRow | None = None
    spoke: bool = False
    heard: float = field(default_factory=Clock.monotonic)
    _inbox: wire.Inbox = field(default_factory=wire.Inbox)
    _job: str | None = None
    _block: tuple[str, int] | None = None
    _asked: tuple[float, RunningRow | None] | None = None

    @classmethod
    def new(cls, number: int, folder: str) -> tuple[LaneHandle, list[int]]:
        """A handle, and the descriptors that its lane needs, to be closed here once it has them."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, wire.PIECE_BYTES)
        marker_fd, capture = unnamed_file(folder), unnamed_file(folder, append=True)
        os.truncate(marker_fd, MARKER_SIZE)
        marker = mmap.mmap(marker_fd, MARKER_SIZE)
        MARKER.pack_into(marker, 0, IDLE, 0.0)
        return cls(number, ours, marker, CapturedOutput(capture)), [theirs.detach(), marker_fd, os.dup(capture)]

    # its life

    @property
    def is_ending(self) -> bool:
        """Whether it was killed, or has said that it ends."""
        return self.state is LaneState.ENDING

    def started(self, pid: int) -> None:
        """Its process exists."""
        self.pid = pid
        if self.state is LaneState.STARTING:
            self._enter(LaneState.ALIVE)

    def disconnected(self) -> None:
        """Its end of the connection was closed."""
        if not self.is_ending:
            self._enter(LaneState.DISCONNECTED)

    def expect_exit(self, reason: LaneEndReason, killed_for: RunningRow | None = None) -> None:
        """It should be ending from now on."""
        self.end_reason, self.killed_for = reason, killed_for
        self._enter(LaneState.ENDING)

    def _enter(self, state: LaneState) -> None:
        self.state, self.state_since = state, Clock.monotonic()

    # what it is at

    def at_work(self) -> RunningRow | None:
        """The row at work: those before it are done, those after it not begun."""
        row, start = MARKER.unpack_from(self.marker)
        if row == IDLE:
            return None
        return RunningRow(row, start, max(1, TOGETHER.unpack_from(self.marker, TOGETHER_AT)[0]))

    @property
    def is_sending(self) -> bool:
        """Whether it makes a message of outcomes while a row is at work."""
        return self.marker[SENDING_AT] != 0

    def idle_since(self) -> float | None:
        """When it ended its last row, sent its outcomes or got its rows; None before the first, and at work."""
        row, since = MARKER.unpack_from(self.marker)
        return max(since, self.heard) if row == IDLE and since else None

    @property
    def has_begun(self) -> bool:
        """Whether it has been at a row."""
        return MARKER.unpack_from(self.marker) != (IDLE, 0.0)

    @property
    def asked_to_stop(self) -> bool:
        """Whether it was, and has not answered yet."""
        return self.marker[STOP_AT] != 0

    def ask_to_stop(self) -> None:
        """Ask the lane to return the rows that it has not begun."""
        if not self.asked_to_stop:
            self.marker[STOP_AT] = 1
            self._asked = (Clock.monotonic(), self.at_work())

    def is_stuck(self, seconds: float) -> bool:
        """Whether it was asked to stop so long ago and is at the same row still: it begins no other before it answers.

        A lane publishes its current row before it checks the stop flag, so a row that it began in between is seen.
        """
        if not self.asked_to_stop or self._asked is None:
            return False
        when, row = self._asked
        return row is not None and row == self.at_work() and Clock.monotonic() - when > seconds

    def mark_timed_out(self, at: RunningRow) -> None:
        """Have it not end a row any more."""
        LATE.pack_into(self.marker, LATE_AT, at.since)

    # what goes to it and comes from it

    def give(self, chunk: Chunk, block: bytes) -> None:
        """Put rows after those it has. `block`, the parquet of their block, goes along where it lacks it."""
        self.heard = Clock.monotonic()
        self.chunks.append(chunk)
        key, block_key = chunk.job.key, (chunk.job.key, chunk.block)
        job = chunk.job if self._job != key else None
        command = LaneCommand(chunk.block, chunk.rows, chunk.attempts, job, chunk.batch)
        self.unsent += wire.pack(command.header(), [] if self._block == block_key else [block])
        self._job, self._block = key, block_key

    def send(self) -> None:
        """Send what there is room for; the rest stays in `unsent` until there is more: a lane at work does not read."""
        try:
            while self.unsent:
                sent = self.connection.send(memoryview(self.unsent)[: wire.PIECE_BYTES])
                del self.unsent[:sent]
        except BlockingIOError:
            return
        except OSError:
            self.unsent.clear()  # it ended, which the fork server reports

    def receive(self) -> bytes | None:
        """What has arrived: nothing when the connection has ended, None while there is nothing."""
        try:
            return self.connection.recv(wire.PIECE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def read(self, piece: bytes) -> Iterator[Message]:
        """The messages in what has arrived, when they are whole.

        Raises:
            ProtocolError: no lane sends this.
        """
        for header, buffers in self._inbox.feed(piece):
            yield self._record(self._checked(BatchHeader.parse(header), buffers), buffers)

    def _checked(self, header: BatchHeader, buffers: list[bytes]) -> BatchHeader:
        """The header, if the lane has its rows and has not sent them before; else `ProtocolError` is raised."""
        open_rows = set(self.chunks[0].open_rows()) if self.chunks else set()
        try:
            known = {*header.rows, *header.retry} <= open_rows
        except TypeError as exc:
            raise wire.ProtocolError("no lane sends this") from exc
        if not self.chunks or not known or len(buffers) != 1 + len(header.frames) + bool(header.retry):
            raise wire.ProtocolError("no lane sends this")
        return header

    def _record(self, header: BatchHeader, buffers: list[bytes]) -> Message:
        self.spoke = True
        chunk = self.chunks[0]
        chunk.sent += [header.rows, header.retry]
        if header.done:
            self.chunks.popleft()
            if not self.chunks:
                self.marker[STOP_AT] = 0
        return Message(chunk, header, buffers)

    def close(self) -> None:
        """Release what was shared with a lane that does not exist any more."""
        self.connection.close()
        self.marker.close()
        self.captured.close()

"""Supervised lanes: start them, feed them, hear them, watch their clocks and memory, kill them.

Takes ranges of rows for named lanes; leaves messages and deaths, in the order they happened. Nothing here knows what a
row is worth: the supervisor decides.
"""

from __future__ import annotations

import json
import mmap
import os
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from scythe_cli import processes, wire
from scythe_cli.errors import EngineError
from scythe_cli.forkserver import Record, command
from scythe_cli.leaf import IDLE, MARKER, MARKER_SIZE, STOP_AT
from scythe_cli.outcomes import LOG_LIMIT, cut_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scythe_cli.leaf import Job

SEND_SECONDS = 30.0
"""A lane that does not read for this long is stuck in a way no clock of a spec covers."""
CAPTURE_BYTES = 8 << 20
"""What a spec may have printed before the middle of it is thrown away."""
STILLBORN = 5
"""Lanes in a row that may end before their first message."""


@dataclass
class Take:
    """Rows of one block that one lane works through, in order.

    Attributes:
        job: the run they belong to.
        block: their block.
        rows: row numbers, a range where they are one.
        attempts: the number of the attempt, for rows on their second or later.
        owner: what the supervisor hangs on it.
    """

    job: Job
    block: int
    rows: Sequence[int]
    attempts: dict[int, int]
    owner: Any = None
    handed: list[Sequence[int]] = field(default_factory=list)

    def open_rows(self) -> list[int]:
        """The rows that were not handed over, in order."""
        done = {row for rows in self.handed for row in rows}
        return [row for row in self.rows if row not in done]


@dataclass(frozen=True)
class Message:
    """What a lane said."""

    lane: LaneHandle
    take: Take
    header: dict[str, Any]
    buffers: list[bytes]


@dataclass(frozen=True)
class Death:
    """A lane ended. `row` is the one at work, None when there was none; `reason` is why we killed it, if we did."""

    lane: LaneHandle
    takes: list[Take]
    row: int | None
    seconds: float
    status: int
    reason: str | None
    log: str


@dataclass(eq=False)
class LaneHandle:
    """The supervisor's end of one lane."""

    number: int
    connection: socket.socket
    marker: mmap.mmap
    capture: int
    pid: int | None = None
    takes: deque[Take] = field(default_factory=deque)
    inbox: wire.Inbox = field(default_factory=wire.Inbox)
    job: str | None = None
    block: tuple[str, int] | None = None
    spoke: bool = False
    ending: str | None = None
    head: bytes = b""
    dropped: int = 0

    def at_work(self) -> tuple[int, float] | None:
        """The row at work and when it began, on the monotonic clock."""
        row, start = MARKER.unpack_from(self.marker)
        return None if row == IDLE else (row, start)

    def ask_to_stop(self) -> None:
        """Have the lane give back what it has not begun."""
        self.marker[STOP_AT] = 1


class Pool:
    """Lanes of one experiment, and the fork server they come from.

    Args:
        record: what the fork server is told.
        size: lanes.
    """

    def __init__(self, record: Record, size: int) -> None:
        self.size = size
        self.lanes: dict[int, LaneHandle] = {}
        self._record = record
        self._numbers = 0
        self._stillborn = 0
        self._dead: deque[Death] = deque()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._start_server()

    def _start_server(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(
                command(theirs.fileno(), self._record),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._control = ours
        self._text = b""
        self._selector.register(ours, selectors.EVENT_READ)

    def grow(self) -> None:
        """Have as many lanes as there should be."""
        while len(self.lanes) < self.size:
            self._start_lane()

    def _start_lane(self) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(SEND_SECONDS)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, wire.CHUNK)
        marker_fd, capture = _unnamed_file(self._record.scratch), _unnamed_file(self._record.scratch, append=True)
        os.truncate(marker_fd, MARKER_SIZE)
        marker = mmap.mmap(marker_fd, MARKER_SIZE)
        MARKER.pack_into(marker, 0, IDLE, 0.0)
        self._numbers += 1
        lane = LaneHandle(self._numbers, ours, marker, capture)
        self.lanes[lane.number] = lane
        order = json.dumps({"order": "lane", "lane": lane.number}).encode() + b"\n"
        socket.send_fds(self._control, [order], [theirs.fileno(), marker_fd, capture])
        theirs.close()
        os.close(marker_fd)
        self._selector.register(ours, selectors.EVENT_READ, lane)

    def give(self, lane: LaneHandle, take: Take, block: bytes) -> None:
        """Queue rows on a lane. `block` is the parquet of their block; it is sent only where the lane lacks it."""
        lane.takes.append(take)
        header = {"do": "take", "block": take.block, "rows": None, "listed": None, "attempts": take.attempts}
        if isinstance(take.rows, range):
            header["rows"] = [take.rows[0], take.rows[-1]]
        else:
            header["listed"] = list(take.rows)
        try:
            if lane.job != take.job.key:
                lane.connection.sendall(wire.pack({"do": "job", "job": asdict(take.job)}))
                lane.job, lane.block = take.job.key, None
            known = lane.block == (take.job.key, take.block)
            lane.connection.sendall(wire.pack(header, [] if known else [block]))
            lane.block = (take.job.key, take.block)
        except OSError:
            self.kill(lane, None)

    def kill(self, lane: LaneHandle, reason: str | None) -> None:
        """Kill a lane and everything it started; its death follows."""
        if lane.ending is None:
            lane.ending = reason
        self._order(order="kill", lane=lane.number)

    def wake(self) -> None:
        """Make a `poll` that waits return; safe in a signal handler and from any thread."""
        try:
            os.write(self._wake_write, b"!")
        except BlockingIOError:
            return

    def poll(self, timeout: float) -> Iterator[Message | Death]:
        """Wait at most `timeout` seconds for something to happen; yield all that did."""
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._control:
                self._hear_server()
            elif key.fd == self._wake_read:
                os.read(self._wake_read, 4096)
            elif key.data.number in self.lanes:
                yield from self._hear(key.data)
        while self._dead:
            death = self._dead.popleft()
            yield from self._drain(death.lane)
            yield self._bury(death)

    def _hear(self, lane: LaneHandle) -> Iterator[Message]:
        try:
            piece = lane.connection.recv(wire.CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._selector.unregister(lane.connection)
            return
        yield from self._read(lane, piece)

    def _drain(self, lane: LaneHandle) -> Iterator[Message]:
        while True:
            try:
                piece = lane.connection.recv(wire.CHUNK, socket.MSG_DONTWAIT)
            except OSError:
                return
            if not piece:
                return
            yield from self._read(lane, piece)

    def _read(self, lane: LaneHandle, piece: bytes) -> Iterator[Message]:
        for header, buffers in lane.inbox.feed(piece):
            lane.spoke = True
            self._stillborn = 0
            take = lane.takes[0]
            rows = header["rows"]
            take.handed += [range(rows[0], rows[1] + 1) if rows else header["listed"], header["retry"]]
            if header.get("done"):
                lane.takes.popleft()
                if not lane.takes:
                    lane.marker[STOP_AT] = 0
            yield Message(lane, take, header, buffers)

    def _hear_server(self) -> None:
        piece = self._control.recv(65536)
        if not piece:
            self._server_died()
            return
        *lines, self._text = (self._text + piece).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if event["event"] == "started":
                self.lanes[event["lane"]].pid = event["pid"]
            elif event["event"] == "exit":
                self._ended(self.lanes[event["lane"]], event["status"])

    def _server_died(self) -> None:
        """The fork server is gone, and with it, by the kernel's hand, every lane. Start again; nobody is to blame."""
        self._selector.unregister(self._control)
        self._control.close()
        status = self._server.wait()
        self._stillborn += 1
        if self._stillborn > STILLBORN:
            raise EngineError(
                f"the process that imports {self._record.target} ended {self._stillborn} times, last with {describe_status(status)}",
                hint="import the module in a plain python and see what ends it",
            )
        for lane in list(self.lanes.values()):
            if lane.pid is not None:
                processes.kill_group(lane.pid)
            MARKER.pack_into(lane.marker, 0, IDLE, 0.0)
            self._ended(lane, status)
        self._start_server()

    def _ended(self, lane: LaneHandle, status: int) -> None:
        if not lane.spoke and not lane.ending and lane.at_work() is None:
            self._stillborn += 1
            if self._stillborn > STILLBORN:
                raise EngineError(
                    f"a lane ended {self._stillborn} times before its first row, last with {describe_status(status)}: {self._log(lane)}"
                )
        self._dead.append(Death(lane, [], None, 0.0, status, lane.ending, ""))

    def _bury(self, death: Death) -> Death:
        lane = death.lane
        at = lane.at_work()
        log = self._log(lane)
        row = None
        seconds = 0.0
        if at is not None and lane.takes and at[0] in lane.takes[0].open_rows():
            row, seconds = at[0], time.monotonic() - at[1]
        if lane.connection in self._selector.get_map():
            self._selector.unregister(lane.connection)
        lane.connection.close()
        lane.marker.close()
        os.close(lane.capture)
        del self.lanes[lane.number]
        return Death(lane, list(lane.takes), row, seconds, death.status, death.reason, log)

    def bound_output(self) -> None:
        """Throw away the middle of what a spec prints without end; its head is kept here, its tail in the file."""
        for lane in self.lanes.values():
            size = os.fstat(lane.capture).st_size
            if size > CAPTURE_BYTES:
                lane.head = lane.head or os.pread(lane.capture, LOG_LIMIT // 2, 0)
                lane.dropped += size
                os.ftruncate(lane.capture, 0)

    def _log(self, lane: LaneHandle) -> str:
        size = os.fstat(lane.capture).st_size
        if size + lane.dropped <= LOG_LIMIT:
            return os.pread(lane.capture, size, 0).decode(errors="replace")
        half = LOG_LIMIT // 2
        head = lane.head or os.pread(lane.capture, half, 0)
        return cut_bytes(head, os.pread(lane.capture, half, max(0, size - half)), size + lane.dropped, LOG_LIMIT)

    def _order(self, **order: Any) -> None:
        try:
            self._control.sendall(json.dumps(order).encode() + b"\n")
        except OSError:
            return  # the fork server is gone; its end is heard, and lanes end with it

    def close(self) -> None:
        """End every lane and the fork server, and wait until they are gone."""
        for lane in self.lanes.values():
            lane.connection.close()
            lane.marker.close()
            os.close(lane.capture)
        self.lanes.clear()
        self._control.close()
        self._server.wait()
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)


def _unnamed_file(folder: str, *, append: bool = False) -> int:
    fd, path = tempfile.mkstemp(dir=folder)
    if append:
        os.close(fd)
        fd = os.open(path, os.O_RDWR | os.O_APPEND)
    os.unlink(path)  # noqa: PTH108 - the descriptor is all there is
    return fd


def describe_status(status: int) -> str:
    """A child's end in words: `signal SIGSEGV`, `exit code 3`."""
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"

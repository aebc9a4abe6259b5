"""Supervised lanes: start them, feed them, hear them, watch their clocks and memory, kill them.

Takes ranges of rows for named lanes; leaves messages and deaths, in the order they happened. Nothing here knows what a
row is worth: the supervisor decides.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
from collections import deque
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scythe_cli import processes, wire
from scythe_cli.clocks import Clock
from scythe_cli.errors import EngineError
from scythe_cli.forkserver import RUN_TAG, Record, command, lane_folder
from scythe_cli.leaf import IDLE, JUDGED, LATE, LATE_AT, MARKER, MARKER_SIZE, STOP_AT
from scythe_cli.outcomes import LOG_LIMIT, cut_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scythe_cli.leaf import Job

UNFIT = "unfit"
"""Why a lane ends that asked for a fresh process."""
NO_SERVER = "no server"
"""Why lanes end whose fork server was killed."""
IMPORT_SECONDS = 5.0
"""What a fork server gets to end by itself; while it imports it does not listen."""
GARBLED = "garbled"
"""Why a lane ends that has sent what no lane sends, or has let go of its end of the connection and lives on."""
SILENT = "silent"
"""Why a lane ends that has rows, is at none, and says nothing."""
KILL_SECONDS = 15.0
"""What a fork server gets to tell of the end of a lane that was killed. Memory takes a while to be given back."""
HURRY_SECONDS = 1.0
"""The same, when the run is to end at once."""
GONE_SECONDS = 1.0
"""What a lane gets to end whose connection has ended."""
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
        strikes: lanes that ended while they had these rows, and none of them at work.
    """

    job: Job
    block: int
    rows: Sequence[int]
    attempts: dict[int, int]
    owner: Any = None
    strikes: int = 0
    handed: list[Sequence[int]] = field(default_factory=list)

    def open_rows(self) -> list[int]:
        """The rows that were not handed over, in order."""
        done = {row for rows in self.handed for row in rows}
        return [row for row in self.rows if row not in done]

    def left(self, told: list[int]) -> list[int]:
        """The rows that remain when the lane is done: those it told, and any it lost, but not what was taken back."""
        whole = len(told) + sum(map(len, self.handed)) == len(self.rows)
        return told if whole else self.open_rows()

    def take_back(self, at: int | None = None) -> list[int]:
        """Take the rows away from the lane that come after row `at`, or all."""
        keep = 0 if at is None else self.rows.index(at) + 1
        back = list(self.rows[keep:])
        self.rows = self.rows[:keep]
        return back


@dataclass(frozen=True)
class Message:
    """What a lane said."""

    lane: LaneHandle
    take: Take
    header: dict[str, Any]
    buffers: list[bytes]


@dataclass(frozen=True)
class Death:
    """A lane ended.

    Attributes:
        takes: what it had not finished; the first is what it was at.
        row: the one at work, None when there was none or it is not to blame.
        seconds: for how long it was at work.
        reason: why we killed it, if we did.
        out_of_memory: the kernel killed a process for memory just before.
    """

    lane: LaneHandle
    takes: list[Take]
    row: int | None
    seconds: float
    status: int
    reason: str | None
    log: str
    out_of_memory: bool = False


@dataclass(frozen=True)
class Thrown:
    """What one spec printed that is not in its file any more: its beginning, its end, its size."""

    at: tuple[int, float] | None
    head: bytes
    tail: bytes
    size: int


@dataclass(eq=False)
class LaneHandle:
    """The supervisor's end of one lane."""

    number: int
    connection: socket.socket
    marker: mmap.mmap
    capture: int
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
    thrown: Thrown | None = None

    def at_work(self) -> tuple[int, float] | None:
        """The row at work, or whose output is being judged, and when that began, on the monotonic clock."""
        row, start = MARKER.unpack_from(self.marker)
        return None if row == IDLE else (JUDGED - row if row <= JUDGED else row, start)

    def running(self) -> tuple[int, float] | None:
        """The row at work: those before it are done, those behind it not begun."""
        row, start = MARKER.unpack_from(self.marker)
        return (row, start) if row >= 0 else None

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
        self.folder = record.folder
        self.scratch = record.scratch
        self._numbers = 0
        self._stillborn = 0
        self._patience = KILL_SECONDS
        self._killed_for_memory = processes.killed_for_memory()
        self._dead: deque[Death] = deque()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._start_server()

    def _start_server(self) -> None:
        ours, theirs = socket.socketpair()
        self._server_log = _unnamed_file(self._record.scratch, append=True)
        with theirs:
            self._server = subprocess.Popen(
                command(theirs.fileno(), self._record),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._server_log,
                stderr=self._server_log,
                start_new_session=True,
                env={**os.environ, RUN_TAG: self._record.scratch},
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
        ours.setblocking(False)
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
        with contextlib.suppress(OSError):  # the fork server is gone; that is heard, and this lane ends with it
            socket.send_fds(self._control, [order], [theirs.fileno(), marker_fd, capture])
        theirs.close()
        os.close(marker_fd)
        self._selector.register(ours, selectors.EVENT_READ, lane)

    def give(self, lane: LaneHandle, take: Take, block: bytes) -> None:
        """Queue rows on a lane. `block` is the parquet of their block; it is sent only where the lane lacks it."""
        lane.heard = Clock.monotonic()
        lane.takes.append(take)
        header = {"do": "take", "block": take.block, "rows": None, "listed": None, "attempts": take.attempts}
        if isinstance(take.rows, range):
            header["rows"] = [take.rows[0], take.rows[-1]]
        else:
            header["listed"] = list(take.rows)
        if lane.job != take.job.key:
            lane.unsent += wire.pack({"do": "job", "job": asdict(take.job)})
            lane.job, lane.block = take.job.key, None
        known = lane.block == (take.job.key, take.block)
        lane.unsent += wire.pack(header, [] if known else [block])
        lane.block = (take.job.key, take.block)
        self._send(lane)

    def _send(self, lane: LaneHandle) -> None:
        """Send what the lane has room for, and the rest when it has: a lane at work does not read."""
        try:
            while lane.unsent:
                sent = lane.connection.send(memoryview(lane.unsent)[: wire.CHUNK])
                del lane.unsent[:sent]
        except BlockingIOError:
            self._listen_to(lane)
            return
        except OSError:
            lane.unsent.clear()  # it ended, which is told elsewhere
        self._listen_to(lane)

    def _listen_to(self, lane: LaneHandle) -> None:
        """Hear the lane, and hear of its room when there is more to send."""
        if lane.connection in self._selector.get_map():
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if lane.unsent else 0)
            self._selector.modify(lane.connection, wanted, lane)

    def kill(self, lane: LaneHandle, reason: str, condemned: tuple[int, float] | None = None) -> None:
        """Kill a lane and everything it started; its death follows.

        Args:
            lane: the lane.
            reason: stays with its death.
            condemned: the row at work on whose account it happens; the next one would be innocent.
        """
        if lane.ending is not None:
            return
        lane.ending, lane.condemned, lane.doomed = reason, condemned, Clock.monotonic()
        if lane.pid is None:  # not forked yet, perhaps for long: the fork server still imports
            self._note_death(Death(lane, [], None, 0.0, 0, reason, ""))
            self.wake()
        self._order(order="kill", lane=lane.number)

    def hurry(self) -> None:
        """The run is over: nobody waits for what does not end. Safe in a signal handler."""
        self._patience = HURRY_SECONDS

    def end_what_hangs(self) -> None:
        """Kill a lane that lost its connection and lives on; and the fork server, when it tells of no end it should."""
        now = Clock.monotonic()
        for lane in self.lanes.values():
            if lane.ending is None and lane.gone is not None and now - lane.gone > GONE_SECONDS:
                self.kill(lane, GARBLED)
        if any(lane.doomed is not None and now - lane.doomed > self._patience for lane in self.lanes.values()):
            processes.kill_group(self._server.pid)  # its lanes die with it; that is heard

    def call_time(self, lane: LaneHandle, at: tuple[int, float]) -> None:
        """Have the lane not end a row any more, and write into its log where in the user's code it is."""
        LATE.pack_into(lane.marker, LATE_AT, at[1])
        self._order(order="where", lane=lane.number)

    def wake(self) -> None:
        """Make a `poll` that waits return; safe in a signal handler and from any thread."""
        try:
            os.write(self._wake_write, b"!")
        except BlockingIOError:
            return

    def poll(self, timeout: float) -> Iterator[Message | Death]:
        """Wait at most `timeout` seconds for something to happen; yield all that did."""
        for key, events in self._selector.select(timeout):
            if key.fileobj is self._control:
                self._hear_server()
            elif key.fd == self._wake_read:
                os.read(self._wake_read, 4096)
            elif key.data.number in self.lanes:
                if events & selectors.EVENT_WRITE:
                    self._send(key.data)
                if events & selectors.EVENT_READ:
                    yield from self._hear(key.data)
        while self._dead:
            death = self._dead.popleft()
            if death.lane.number not in self.lanes:
                continue  # told twice
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
            lane.gone = Clock.monotonic()
            self._selector.unregister(lane.connection)
            return
        lane.heard = Clock.monotonic()
        yield from self._read(lane, piece)

    def _drain(self, lane: LaneHandle) -> Iterator[Message]:
        while lane.ending != GARBLED:
            try:
                piece = lane.connection.recv(wire.CHUNK, socket.MSG_DONTWAIT)
            except OSError:
                return
            if not piece:
                return
            yield from self._read(lane, piece)

    def _read(self, lane: LaneHandle, piece: bytes) -> Iterator[Message]:
        """The messages in what arrived. What is none ends the lane, and what follows it is not listened to."""
        try:
            for header, buffers in lane.inbox.feed(piece):
                _check(header, buffers, lane)
                yield self._take_note(lane, header, buffers)
        except wire.Garbled:
            self._stop_listening(lane)
            if lane.doomed is None:
                self.kill(lane, GARBLED)

    def _stop_listening(self, lane: LaneHandle) -> None:
        if lane.connection in self._selector.get_map():
            self._selector.unregister(lane.connection)

    def _take_note(self, lane: LaneHandle, header: dict[str, Any], buffers: list[bytes]) -> Message:
        lane.spoke = True
        self._stillborn = 0
        take = lane.takes[0]
        rows = header["rows"]
        take.handed += [range(rows[0], rows[1] + 1) if rows else header["listed"], header["retry"]]
        if header.get("unfit"):
            lane.ending, lane.doomed = UNFIT, Clock.monotonic()
        if header.get("done"):
            lane.takes.popleft()
            if not lane.takes:
                lane.marker[STOP_AT] = 0
        return Message(lane, take, header, buffers)

    def _hear_server(self) -> None:
        try:
            piece = self._control.recv(65536)
        except ConnectionResetError:
            piece = b""
        if not piece:
            self._server_died()
            return
        *lines, self._text = (self._text + piece).split(b"\n")
        for line in lines:
            event = json.loads(line)
            lane = self.lanes.get(event.get("lane"))
            if lane is None:
                continue  # given up before it began
            if event["event"] == "started":
                lane.pid = event["pid"]
            elif event["event"] == "exit":
                self._ended(lane, event["status"])

    def _server_died(self) -> None:
        """The fork server is gone, and with it, by the kernel's hand, every lane. Start again; nobody is to blame."""
        self._selector.unregister(self._control)
        self._control.close()
        status = self._server.wait()
        processes.kill_tagged(f"{RUN_TAG}={self._record.scratch}")
        self._count_stillborn(
            f"the process that imports {self._record.target}", status, _tail(self._server_log).decode(errors="replace")
        )
        os.close(self._server_log)
        for lane in self.lanes.values():
            self._note_death(Death(lane, [], None, 0.0, status, lane.ending or NO_SERVER, ""))
        self._start_server()

    def _ended(self, lane: LaneHandle, status: int) -> None:
        if lane.begun:
            self._stillborn = 0
        elif not lane.spoke and not lane.ending:
            self._count_stillborn("a lane", status, self._log(lane))
        memory = processes.killed_for_memory()
        ran_out = status == -signal.SIGKILL and lane.ending is None and memory > self._killed_for_memory
        self._killed_for_memory = memory
        self._note_death(Death(lane, [], None, 0.0, status, lane.ending, "", ran_out))

    def _note_death(self, death: Death) -> None:
        if all(other.lane is not death.lane for other in self._dead):
            self._dead.append(death)

    def _count_stillborn(self, who: str, status: int, log: str) -> None:
        self._stillborn += 1
        if self._stillborn > STILLBORN:
            raise EngineError(
                f"{who} ended {self._stillborn} times before its first spec, last with {describe_status(status)}"
                + (f": {log.strip()[-2000:]}" if log.strip() else ""),
                hint=f"import {self._record.target.rpartition(':')[0]} in a plain python and see what ends it",
            )

    def _bury(self, death: Death) -> Death:
        lane = death.lane
        at = lane.at_work()
        log = self._log(lane)
        row = None
        seconds = 0.0
        guilty = lane.condemned is None or lane.condemned == at
        if lane.ending == GARBLED:
            at = self._suspect(lane, at)
        if guilty and at is not None and lane.takes and at[0] in lane.takes[0].open_rows():
            row, seconds = at[0], Clock.monotonic() - at[1]
        del self.lanes[lane.number]
        self._let_go(lane)
        shutil.rmtree(lane_folder(self._record.scratch, lane.number), ignore_errors=True)
        return replace(death, takes=list(lane.takes), row=row, seconds=seconds, log=log)

    @staticmethod
    def _suspect(lane: LaneHandle, at: tuple[int, float] | None) -> tuple[int, float] | None:
        """The row that must have spoilt the connection: one of those that were not handed over and had begun."""
        rows = lane.takes[0].open_rows() if lane.takes else []
        begun = rows[: rows.index(at[0]) + 1] if at is not None and at[0] in rows else rows
        return (begun[0], Clock.monotonic() if at is None else at[1]) if len(begun) == 1 else None

    def _let_go(self, lane: LaneHandle) -> None:
        self._stop_listening(lane)
        lane.connection.close()
        lane.marker.close()
        os.close(lane.capture)

    def bound_output(self) -> None:
        """Throw away the middle of what a spec prints without end; its head is kept here."""
        for lane in self.lanes.values():
            size = os.fstat(lane.capture).st_size
            if size > CAPTURE_BYTES:
                lane.thrown = self._with_thrown(lane, size)
                os.ftruncate(lane.capture, 0)

    def _with_thrown(self, lane: LaneHandle, size: int) -> Thrown:
        """All that the spec at work has printed: what was thrown away, and the `size` bytes in its file."""
        half, at = LOG_LIMIT // 2, lane.at_work()
        tail = os.pread(lane.capture, half, max(0, size - half))
        if lane.thrown is None or lane.thrown.at != at:
            return Thrown(at, os.pread(lane.capture, half, 0), tail, size)
        return Thrown(at, lane.thrown.head, (lane.thrown.tail + tail)[-half:], lane.thrown.size + size)

    def _log(self, lane: LaneHandle) -> str:
        """What the spec at work has printed, and what the process said when it ended."""
        size = os.fstat(lane.capture).st_size
        whole = self._with_thrown(lane, size)
        if whole.size == size <= LOG_LIMIT:
            return os.pread(lane.capture, size, 0).decode(errors="replace")
        return cut_bytes(whole.head, whole.tail, whole.size, LOG_LIMIT)

    def _order(self, **order: Any) -> None:
        try:
            self._control.sendall(json.dumps(order).encode() + b"\n")
        except OSError:
            return  # the fork server is gone; its end is heard, and lanes end with it

    def close(self) -> None:
        """End every lane and the fork server, and wait until they are gone with all that they started."""
        self._control.close()
        if all(lane.pid is None for lane in self.lanes.values()):  # it may import for long, and has nothing to lose
            processes.kill_group(self._server.pid)
        try:
            self._server.wait(min(IMPORT_SECONDS, self._patience))
        except subprocess.TimeoutExpired:
            processes.kill_group(self._server.pid)
            self._server.wait()
        processes.kill_tagged(f"{RUN_TAG}={self._record.scratch}")
        for lane in self.lanes.values():
            self._let_go(lane)
        self.lanes.clear()
        os.close(self._server_log)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)


def _check(header: dict[str, Any], buffers: list[bytes], lane: LaneHandle) -> None:
    """Raise `Garbled` unless a message tells of rows that the lane has and has not told of."""
    try:
        rows = header["rows"]
        told = range(rows[0], rows[1] + 1) if rows else header["listed"]
        open_rows = set(lane.takes[0].open_rows()) if lane.takes else set()
        sound = {*told, *header["retry"]} <= open_rows and len(told) == header["n"]
        sound = sound and len(buffers) == 1 + len(header["frames"])
    except (KeyError, TypeError, IndexError) as exc:
        raise wire.Garbled("no lane says this") from exc
    if not sound:
        raise wire.Garbled("no lane says this")


def _unnamed_file(folder: str, *, append: bool = False) -> int:
    Path(folder).mkdir(parents=True, exist_ok=True)
    fd, path = tempfile.mkstemp(dir=folder)
    if append:
        os.close(fd)
        fd = os.open(path, os.O_RDWR | os.O_APPEND)
    os.unlink(path)  # noqa: PTH108 - the descriptor is all there is
    return fd


def _tail(descriptor: int) -> bytes:
    half = LOG_LIMIT // 2
    return os.pread(descriptor, half, max(0, os.fstat(descriptor).st_size - half))


def describe_status(status: int) -> str:
    """A child's end in words: `signal SIGSEGV`, `exit code 3`."""
    if status >= 0:
        return f"exit code {status}"
    known = {int(number): number.name for number in signal.Signals}
    return f"signal {known.get(-status, -status)}"

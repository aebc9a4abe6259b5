"""Supervised lanes: start them, feed them, hear them, kill them.

Takes ranges of rows for named lanes; leaves messages and deaths, in the order they happened. Nothing here knows what a
row is worth: the supervisor decides.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
from typing import TYPE_CHECKING

from scythe_cli.core import processes
from scythe_cli.core.clock import Clock
from scythe_cli.errors import EngineError
from scythe_cli.lane import wire
from scythe_cli.lane.fork_server import lane_folder
from scythe_cli.supervisor.fork_server_handle import ServerHandle
from scythe_cli.supervisor.lane_exit import GARBLED, NO_SERVER, UNFIT, End, death_of
from scythe_cli.supervisor.lane_handle import LaneHandle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.lane.fork_server import Record
    from scythe_cli.supervisor.chunk import Take
    from scythe_cli.supervisor.lane_exit import Death
    from scythe_cli.supervisor.lane_handle import Message

KILL_SECONDS = 15.0
"""What a fork server gets to tell of the end of a lane that was killed. Memory takes a while to be given back."""
HURRY_SECONDS = 1.0
"""The same, when the run is to end at once."""
GONE_SECONDS = 1.0
"""What a lane gets to end whose connection has ended."""
STILLBORN = 5
"""Lanes in a row that may end before their first message."""


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
        self._ended: dict[int, End] = {}
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._start_server()

    def _start_server(self) -> None:
        self._server = ServerHandle(self._record)
        self._selector.register(self._server, selectors.EVENT_READ)

    def grow(self) -> None:
        """Have as many lanes as there should be."""
        while len(self.lanes) < self.size:
            self._start_lane()

    def _start_lane(self) -> None:
        self._numbers += 1
        lane, descriptors = LaneHandle.new(self._numbers, self.scratch)
        self.lanes[lane.number] = lane
        self._server.start(lane.number, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self._selector.register(lane.connection, selectors.EVENT_READ, lane)

    def give(self, lane: LaneHandle, take: Take, block: bytes) -> None:
        """Queue rows on a lane. `block` is the parquet of their block."""
        lane.give(take, block)
        self._send(lane)

    def _send(self, lane: LaneHandle) -> None:
        """Send what there is room for, and hear of room when there is more to send."""
        lane.send()
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
        lane.condemned = condemned
        lane.doom(reason)
        if lane.pid is None:  # not forked yet, perhaps for long: the fork server still imports
            self._ended.setdefault(lane.number, End(0, reason))
            self.wake()
        self._server.order("kill", lane.number)

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
            self._server.kill()

    def bound_output(self) -> None:
        """Throw away the middle of what specs print without end."""
        for lane in self.lanes.values():
            lane.printed.bound(lane.at_work())

    def call_time(self, lane: LaneHandle, at: tuple[int, float]) -> None:
        """Have the lane not end a row any more, and write into its log where in the user's code it is."""
        lane.call_time(at)
        self._server.order("where", lane.number)

    def wake(self) -> None:
        """Make a `poll` that waits return; safe in a signal handler and from any thread."""
        try:
            os.write(self._wake_write, b"!")
        except BlockingIOError:
            return

    def poll(self, timeout: float) -> Iterator[Message | Death]:
        """Wait at most `timeout` seconds for something to happen; yield all that did."""
        for key, events in self._selector.select(timeout):
            if key.fileobj is self._server:
                self._hear_server()
            elif key.fd == self._wake_read:
                os.read(self._wake_read, 4096)
            elif key.data.number in self.lanes:
                if events & selectors.EVENT_WRITE:
                    self._send(key.data)
                if events & selectors.EVENT_READ:
                    yield from self._hear(key.data)
        while self._ended:
            number = next(iter(self._ended))
            end, lane = self._ended.pop(number), self.lanes.get(number)
            if lane is not None:  # or it was told twice
                yield from self._drain(lane)
                yield self._bury(lane, end)

    def _hear(self, lane: LaneHandle) -> Iterator[Message]:
        piece = lane.receive()
        if piece:
            lane.heard = Clock.monotonic()
            yield from self._read(lane, piece)
        elif piece is not None:
            lane.gone = Clock.monotonic()
            self._stop_listening(lane)

    def _drain(self, lane: LaneHandle) -> Iterator[Message]:
        while lane.ending != GARBLED and (piece := lane.receive()):
            yield from self._read(lane, piece)

    def _read(self, lane: LaneHandle, piece: bytes) -> Iterator[Message]:
        """The messages in what arrived. What is none ends the lane, and what follows it is not listened to."""
        try:
            for message in lane.read(piece):
                self._stillborn = 0
                if message.header.get("unfit"):
                    lane.doom(UNFIT)
                yield message
        except wire.ProtocolError:
            self._stop_listening(lane)
            if lane.doomed is None:
                self.kill(lane, GARBLED)

    def _stop_listening(self, lane: LaneHandle) -> None:
        if lane.connection in self._selector.get_map():
            self._selector.unregister(lane.connection)

    def _hear_server(self) -> None:
        events = self._server.hear()
        if events is None:
            self._server_died()
            return
        for event in events:
            lane = self.lanes.get(event.get("lane", 0))
            if lane is None:
                continue  # given up before it began, or it tells of itself
            if event["event"] == "started":
                lane.pid = event["pid"]
            elif event["event"] == "exit":
                self._lane_ended(lane, event["status"])

    def _server_died(self) -> None:
        """The fork server is gone, and with it, by the kernel's hand, every lane. Start again; nobody is to blame."""
        self._selector.unregister(self._server)
        status, said = self._server.last_words()
        self._count_stillborn(f"the process that imports {self._record.target}", status, said)
        self._server.close()
        for lane in self.lanes.values():
            self._ended.setdefault(lane.number, End(status, lane.ending or NO_SERVER))
        self._start_server()

    def _lane_ended(self, lane: LaneHandle, status: int) -> None:
        if lane.begun:
            self._stillborn = 0
        elif not lane.spoke and not lane.ending:
            self._count_stillborn("a lane", status, lane.printed.text(lane.at_work()))
        memory = processes.killed_for_memory()
        ran_out = status == -signal.SIGKILL and lane.ending is None and memory > self._killed_for_memory
        self._killed_for_memory = memory
        self._ended.setdefault(lane.number, End(status, lane.ending, ran_out))

    def _count_stillborn(self, who: str, status: int, log: str) -> None:
        self._stillborn += 1
        if self._stillborn > STILLBORN:
            raise EngineError(
                f"{who} ended {self._stillborn} times before its first spec, last with "
                f"{processes.describe_status(status)}" + (f": {log.strip()[-2000:]}" if log.strip() else ""),
                hint=f"import {self._record.target.rpartition(':')[0]} in a plain python and see what ends it",
            )

    def _bury(self, lane: LaneHandle, end: End) -> Death:
        death = death_of(lane, end)
        del self.lanes[lane.number]
        self._let_go(lane)
        shutil.rmtree(lane_folder(self.scratch, lane.number), ignore_errors=True)
        return death

    def _let_go(self, lane: LaneHandle) -> None:
        self._stop_listening(lane)
        lane.close()

    def close(self) -> None:
        """End every lane and the fork server, and wait until they are gone with all that they started."""
        if all(lane.pid is None for lane in self.lanes.values()):  # it may import for long, and has nothing to lose
            self._server.kill()
        self._server.end(self._patience)
        for lane in self.lanes.values():
            self._let_go(lane)
        self.lanes.clear()
        self._server.close()
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

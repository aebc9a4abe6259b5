"""The lanes of one experiment: start them, feed them, read from them, kill them, reap them.

Input: rows for lanes. Output: messages and ends of lanes, in the order they happened. What they mean for a row, the
supervisor decides.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.core import machine
from scythe_cli.core.clock import Clock
from scythe_cli.core.signals import describe_status
from scythe_cli.errors import EngineError
from scythe_cli.lane import wire
from scythe_cli.lane.job import ServerEvent, ServerOrder, lane_folder
from scythe_cli.supervisor.failed_folders import take_aside
from scythe_cli.supervisor.fork_server_handle import ForkServerHandle
from scythe_cli.supervisor.lane_exit import ExitInfo, lane_exit_of
from scythe_cli.supervisor.lane_handle import LaneEndReason, LaneHandle, LaneState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scythe_cli.lane.job import ForkServerConfig
    from scythe_cli.supervisor.captured_output import RunningRow
    from scythe_cli.supervisor.chunk import Chunk
    from scythe_cli.supervisor.lane_exit import LaneExit
    from scythe_cli.supervisor.lane_handle import Message

KILL_SECONDS = 15.0
"""What a fork server gets to report the end of a lane that was killed. Memory takes a while to be given back."""
SHORT_KILL_SECONDS = 1.0
"""The same, when the run is to end at once."""
GONE_SECONDS = 1.0
"""What a lane gets to end whose connection has ended."""
_NO_FAULT = (LaneEndReason.STOPPED, LaneEndReason.NO_SERVER)
"""Why a lane ends that its spec cannot be blamed for."""
MAX_STARTUP_FAILURES = 5
"""Lanes in a row that may end before their first message."""


class Pool:
    """Lanes of one experiment, and the fork server they come from.

    Args:
        config: the configuration of the fork server.
        size: lanes.
        check: called when a process has imported the module, before its results count; raises where they must not.

    Attributes:
        forks: lanes are forked from the fork server; otherwise each imports the module by itself.
        imported: the fork server has imported the module, or has found that it cannot be imported.
    """

    def __init__(self, config: ForkServerConfig, size: int, *, check: Callable[[], None]) -> None:
        self.size = size
        self.forks = self.imported = False
        self.lanes: dict[int, LaneHandle] = {}
        self._config = config
        self._check = check
        self.folder = config.folder
        self.scratch = config.scratch
        self._numbers = 0
        self._startup_failures = 0
        self._kill_timeout = KILL_SECONDS
        self._killed_for_memory = machine.killed_for_memory()
        self._ended: dict[int, ExitInfo] = {}
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._start_server()

    def _start_server(self) -> None:
        self._server = ForkServerHandle(self._config)
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

    def give(self, lane: LaneHandle, chunk: Chunk, block: bytes) -> None:
        """Queue rows on a lane. `block` is the parquet of their block."""
        lane.give(chunk, block)
        self._send(lane)

    def _send(self, lane: LaneHandle) -> None:
        """Send what there is room for, and wait for room if there is more to send."""
        lane.send()
        if lane.connection in self._selector.get_map():
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if lane.unsent else 0)
            self._selector.modify(lane.connection, wanted, lane)

    def kill(self, lane: LaneHandle, reason: LaneEndReason, killed_for: RunningRow | None = None) -> None:
        """Kill a lane and everything it started; its exit follows.

        Args:
            lane: the lane.
            reason: why.
            killed_for: the row at work on whose account it happens; the next one would not be the cause.
        """
        if lane.is_ending:
            return
        lane.expect_exit(reason, killed_for)
        if lane.pid is None:  # not forked yet, perhaps for long: the fork server still imports
            self._ended.setdefault(lane.number, ExitInfo(0, reason))
            self.wake()
        self._server.order(ServerOrder.KILL, lane.number)

    def shorten_kill_timeout(self) -> None:
        """The run is over: nobody waits for what does not end. Safe in a signal handler."""
        self._kill_timeout = SHORT_KILL_SECONDS

    def end_stuck_lanes(self) -> None:
        """Kill a lane that lost its connection and lives on; and the fork server, when it reports no end it should."""
        now = Clock.monotonic()
        for lane in self.lanes.values():
            age = now - lane.state_since
            if lane.state is LaneState.DISCONNECTED and age > GONE_SECONDS:
                self.kill(lane, LaneEndReason.PROTOCOL_ERROR)
            elif lane.is_ending and age > self._kill_timeout:
                self._server.kill()
                return

    def bound_output(self) -> None:
        """Throw away the middle of what specs print without end."""
        for lane in self.lanes.values():
            lane.captured.bound(lane.at_work())

    def mark_timed_out(self, lane: LaneHandle, at: RunningRow) -> None:
        """Have the lane not end a row any more, and write into its log where in the user's code it is."""
        lane.mark_timed_out(at)
        self._server.order(ServerOrder.WHERE, lane.number)

    def wake(self) -> None:
        """Make a `poll` that waits return; safe in a signal handler and from any thread."""
        try:
            os.write(self._wake_write, b"!")
        except BlockingIOError:
            return

    def poll(self, timeout: float) -> Iterator[Message | LaneExit]:
        """Wait at most `timeout` seconds for something to happen; yield all that did."""
        for key, events in self._selector.select(timeout):
            if key.fileobj is self._server:
                self._on_server_event()
            elif key.fd == self._wake_read:
                os.read(self._wake_read, 4096)
            elif key.data.number in self.lanes:
                if events & selectors.EVENT_WRITE:
                    self._send(key.data)
                if events & selectors.EVENT_READ:
                    yield from self._on_message(key.data)
        while self._ended:
            number = next(iter(self._ended))
            info, lane = self._ended.pop(number), self.lanes.get(number)
            if lane is not None:  # or it was reported twice
                yield from self._drain(lane)
                yield self._reap(lane, info)

    def _on_message(self, lane: LaneHandle) -> Iterator[Message]:
        piece = lane.receive()
        if piece:
            lane.heard = Clock.monotonic()
            yield from self._read(lane, piece)
        elif piece is not None:
            lane.disconnected()
            self._stop_listening(lane)

    def _drain(self, lane: LaneHandle) -> Iterator[Message]:
        while lane.end_reason is not LaneEndReason.PROTOCOL_ERROR and (piece := lane.receive()):
            yield from self._read(lane, piece)

    def _read(self, lane: LaneHandle, piece: bytes) -> Iterator[Message]:
        """The messages in what arrived. What is not a message ends the lane, and nothing after it is read."""
        checked = self.forks or lane.spoke
        try:
            for message in lane.read(piece):
                self._startup_failures = 0
                if not checked:
                    self._check()
                    checked = True
                if message.header.needs_restart and not lane.is_ending:
                    lane.expect_exit(LaneEndReason.NEEDS_RESTART)
                yield message
        except wire.ProtocolError:
            self._stop_listening(lane)
            self.kill(lane, LaneEndReason.PROTOCOL_ERROR)

    def _stop_listening(self, lane: LaneHandle) -> None:
        if lane.connection in self._selector.get_map():
            self._selector.unregister(lane.connection)

    def _on_server_event(self) -> None:
        events = self._server.receive()
        if events is None:
            self._server_died()
            return
        for event in events:
            if event["event"] == ServerEvent.READY:
                self._check()
                self.imported, self.forks = True, event["obstacle"] is None
            lane = self.lanes.get(event.get("lane", 0))
            if lane is None:
                continue  # killed before it began, or the server speaks of itself
            if event["event"] == ServerEvent.STARTED:
                lane.started(event["pid"])
            elif event["event"] == ServerEvent.EXIT:
                self._lane_ended(lane, event["status"], event.get("why", ""))

    def _server_died(self) -> None:
        """The fork server has ended, and the kernel has ended every lane with it. Start again; no row is the cause."""
        self._selector.unregister(self._server)
        status, said = self._server.exit_status_and_log()
        self._count_startup_failure(f"the process that imports {self._config.target}", status, said)
        self._server.close()
        for lane in self.lanes.values():
            self._ended.setdefault(lane.number, ExitInfo(status, lane.end_reason or LaneEndReason.NO_SERVER))
        self._start_server()

    def _lane_ended(self, lane: LaneHandle, status: int, why: str) -> None:
        if lane.has_begun:
            self._startup_failures = 0
        elif not lane.spoke and lane.end_reason is None:
            self._count_startup_failure("a lane", status, why or lane.captured.text(lane.at_work()))
        memory = machine.killed_for_memory()
        ran_out = status == -signal.SIGKILL and lane.end_reason is None and memory > self._killed_for_memory
        self._killed_for_memory = memory
        self._ended.setdefault(lane.number, ExitInfo(status, lane.end_reason, ran_out))

    def _count_startup_failure(self, who: str, status: int, log: str) -> None:
        self._startup_failures += 1
        if self._startup_failures > MAX_STARTUP_FAILURES:
            raise EngineError(
                f"{who} ended {self._startup_failures} times before its first spec, last with "
                f"{describe_status(status)}" + (f": {log.strip()[-2000:]}" if log.strip() else ""),
                hint=f"import {self._config.target.rpartition(':')[0]} in a plain python and see what ends it",
            )

    def _reap(self, lane: LaneHandle, info: ExitInfo) -> LaneExit:
        lane_exit = self._with_folder(lane_exit_of(lane, info))
        del self.lanes[lane.number]
        self._release_handle(lane)
        shutil.rmtree(lane_folder(self.scratch, lane.number), ignore_errors=True)
        return lane_exit

    def _with_folder(self, lane_exit: LaneExit) -> LaneExit:
        """Take the temporary folder of a spec that ended its lane aside, where the folders of failed specs are kept."""
        if lane_exit.row is None or lane_exit.reason in _NO_FAULT or not lane_exit.chunks[0].job.keep_failed:
            return lane_exit
        outbox = Path(lane_exit.chunks[0].job.outbox)
        return replace(lane_exit, left=take_aside(lane_folder(self.scratch, lane_exit.lane.number), outbox))

    def _release_handle(self, lane: LaneHandle) -> None:
        self._stop_listening(lane)
        lane.close()

    def close(self) -> None:
        """End every lane and the fork server, and wait until they have ended with all that they started."""
        if all(lane.pid is None for lane in self.lanes.values()):  # it may import for long, and loses nothing
            self._server.kill()
        self._server.end(self._kill_timeout)
        for lane in self.lanes.values():
            self._release_handle(lane)
        self.lanes.clear()
        self._server.close()
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

"""A lane as its supervisor sees it, with the test at the other end of the connection."""

from __future__ import annotations

import mmap
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest
from supervised import run_work

from scythe_cli.lane import wire
from scythe_cli.lane.messages import IDLE, MARKER, MARKER_SIZE, STOP_AT, BatchHeader, LaneCommand
from scythe_cli.supervisor.chunk import Chunk
from scythe_cli.supervisor.lane_exit import ExitInfo, lane_exit_of
from scythe_cli.supervisor.lane_handle import LaneEndReason, LaneHandle, LaneState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Child:
    """The lane's end."""

    def __init__(self, folder: Path) -> None:
        self.handle, (connection, marker, self._capture) = LaneHandle.new(7, str(folder))
        self.connection = socket.socket(fileno=connection)
        self.marker = mmap.mmap(marker, MARKER_SIZE)
        os.close(marker)
        self.chunk = Chunk(run_work(folder), 0, range(10, 20), {12: 2})
        self.handle.give(self.chunk, b"the block")
        self.handle.send()

    def at(self, row: int, since: float = 1.0) -> None:
        MARKER.pack_into(self.marker, 0, row, since)

    def say(self, header: BatchHeader | dict[str, Any], buffers: list[bytes]) -> list[BatchHeader]:
        held = header.header() if isinstance(header, BatchHeader) else header
        return [message.header for message in self.handle.read(wire.pack(held, buffers))]

    def close(self) -> None:
        self.connection.close()
        self.marker.close()
        os.close(self._capture)
        self.handle.close()


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    child = Child(tmp_path)
    yield child
    child.close()


def test_a_lane_gets_job_rows_and_block(child: Child) -> None:
    message = wire.receive(child.connection)
    assert message is not None
    assert message[1] == [b"the block"]
    assert LaneCommand.parse(message[0]) == LaneCommand(0, range(10, 20), {12: 2}, child.chunk.job)


def test_job_and_block_are_sent_once(child: Child) -> None:
    wire.receive(child.connection)
    child.handle.give(Chunk(child.chunk.run, 0, [30, 40]), b"the block")
    child.handle.send()
    message = wire.receive(child.connection)
    assert message is not None
    assert message[1] == []
    assert LaneCommand.parse(message[0]) == LaneCommand(0, [30, 40], {}, None)


def test_rows_that_arrived_are_not_open(child: Child) -> None:
    child.say(BatchHeader(rows=range(10, 13), retry=[13]), [b"outcomes", b"attempts"])
    assert child.chunk.open_rows() == [*range(14, 20)]


def test_a_lane_that_is_done_has_no_chunk(child: Child) -> None:
    child.handle.ask_to_stop()
    child.say(BatchHeader(rows=range(10, 20), done=True), [b"outcomes"])
    assert not child.handle.chunks
    assert not child.handle.asked_to_stop


@pytest.mark.parametrize(
    "header",
    [
        BatchHeader(rows=[9]),
        BatchHeader(rows=[10], frames=["f"]),
        BatchHeader(retry=[25]),
        {"rows": None, "listed": [10]},
        {**BatchHeader().header(), "rows": "ab"},
        {**BatchHeader().header(), "listed": None},
        {**BatchHeader().header(), "listed": [[]]},
        {**BatchHeader().header(), "samples": [[1, 2]]},
    ],
)
def test_what_no_lane_sends_is_refused(child: Child, header: BatchHeader | dict[str, Any]) -> None:
    with pytest.raises(wire.ProtocolError):
        child.say(header, [b"outcomes"])


def test_rows_do_not_arrive_twice(child: Child) -> None:
    child.say(BatchHeader(rows=[10]), [b"outcomes"])
    with pytest.raises(wire.ProtocolError):
        child.say(BatchHeader(rows=[10]), [b"outcomes"])


def test_a_lane_that_was_asked_and_stays_at_its_row_is_stuck(child: Child) -> None:
    child.at(12)
    child.handle.ask_to_stop()
    assert child.marker[STOP_AT]
    assert child.handle.is_stuck(0.0)
    child.at(13)
    assert not child.handle.is_stuck(0.0)


def test_the_states_of_a_life(child: Child) -> None:
    states = [child.handle.state]
    child.handle.started(4711)
    states.append(child.handle.state)
    child.handle.disconnected()
    states.append(child.handle.state)
    child.handle.expect_exit(LaneEndReason.SILENT)
    child.handle.disconnected()
    states.append(child.handle.state)
    assert states == [LaneState.STARTING, LaneState.ALIVE, LaneState.DISCONNECTED, LaneState.ENDING]


def test_the_end_of_a_lane_names_the_row_at_work(child: Child) -> None:
    child.at(12)
    assert lane_exit_of(child.handle, ExitInfo(-11, None)).row == 12


def test_the_end_of_a_lane_that_is_idle_names_none(child: Child) -> None:
    child.at(IDLE, 5.0)
    assert lane_exit_of(child.handle, ExitInfo(-11, None)).row is None


def test_a_lane_killed_for_one_row_does_not_count_for_the_next(child: Child) -> None:
    child.at(12)
    child.handle.expect_exit(LaneEndReason.TIMEOUT, child.handle.at_work())
    child.at(13)
    assert lane_exit_of(child.handle, ExitInfo(-9, LaneEndReason.TIMEOUT)).row is None


def test_of_several_rows_none_has_spoilt_the_connection(child: Child) -> None:
    child.at(12)
    child.handle.expect_exit(LaneEndReason.PROTOCOL_ERROR)
    assert lane_exit_of(child.handle, ExitInfo(-9, LaneEndReason.PROTOCOL_ERROR)).row is None


def test_the_only_row_that_began_has_spoilt_the_connection(child: Child) -> None:
    child.say(BatchHeader(rows=range(10, 12)), [b"outcomes"])
    child.at(12)
    child.handle.expect_exit(LaneEndReason.PROTOCOL_ERROR)
    assert lane_exit_of(child.handle, ExitInfo(-9, LaneEndReason.PROTOCOL_ERROR)).row == 12

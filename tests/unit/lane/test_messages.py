"""Records that lanes and supervisors send each other, and the bytes they travel as."""

from __future__ import annotations

import pytest

from scythe_cli.lane import wire
from scythe_cli.lane.job import Job
from scythe_cli.lane.messages import BatchHeader, FailureSample, LaneCommand


def sent(header: dict[str, object], buffers: list[bytes]) -> tuple[dict[str, object], list[bytes]]:
    ((arrived, held),) = wire.Inbox().feed(wire.pack(header, buffers))
    return arrived, held


@pytest.mark.parametrize(
    "command",
    [
        LaneCommand(3, range(5, 9), {6: 2}, Job("k", "e", "root", "out", retries=2, worker="me", memory=5, since=1.5)),
        LaneCommand(0, [1, 5], {}),
    ],
)
def test_a_command_arrives_as_it_was(command: LaneCommand) -> None:
    assert LaneCommand.parse(sent(command.header(), [])[0]) == command


@pytest.mark.parametrize(
    "header",
    [
        BatchHeader(rows=range(2, 5), failed=1, samples=[FailureSample(3, "crash", "E", "p")], uploads=[("a", "b")]),
        BatchHeader(rows=[7], frames=["x"], seconds=1.5, retry=[9], done=True, left=[10, 11], needs_restart="why"),
        BatchHeader(),
    ],
)
def test_a_header_arrives_as_it_was(header: BatchHeader) -> None:
    arrived = BatchHeader.parse(sent(header.header(), [b"x"])[0])
    assert list(arrived.rows) == list(header.rows)
    assert arrived.header() == header.header()


def test_rows_in_a_row_travel_as_two_numbers() -> None:
    assert BatchHeader(rows=[4, 5, 6]).header()["rows"] == [4, 6]


def test_other_rows_travel_as_a_list() -> None:
    assert BatchHeader(rows=[4, 6, 5]).header()["listed"] == [4, 6, 5]


def test_buffers_arrive_in_pieces() -> None:
    inbox, data = wire.Inbox(), wire.pack({"a": 1}, [b"one", b"", b"three"])
    found = [message for at in range(len(data)) for message in inbox.feed(data[at : at + 1])]
    assert [buffers for _, buffers in found] == [[b"one", b"", b"three"]]


@pytest.mark.parametrize("at", [0, 20, -1])
def test_a_changed_byte_is_an_error(at: int) -> None:
    data = bytearray(wire.pack({"a": 1}, [b"body"]))
    data[at] ^= 1
    with pytest.raises(wire.ProtocolError):
        list(wire.Inbox().feed(bytes(data)))

"""What a lane has of a chunk, and what is left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from supervised import run_work

from scythe_cli.supervisor.captured_output import RunningRow
from scythe_cli.supervisor.chunk import Chunk, chunk_size

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def chunk(tmp_path: Path) -> Chunk:
    return Chunk(run_work(tmp_path), 0, range(10, 16))


def test_all_rows_are_open_at_first(chunk: Chunk) -> None:
    assert chunk.open_rows() == [10, 11, 12, 13, 14, 15]


def test_rows_that_were_sent_are_not_open(chunk: Chunk) -> None:
    chunk.sent += [range(10, 12), [14]]
    assert chunk.open_rows() == [12, 13, 15]


def test_reclaim_takes_the_rows_after_the_one_at_work(chunk: Chunk) -> None:
    assert chunk.reclaim(RunningRow(12, 0.0)) == [13, 14, 15]
    assert list(chunk.rows) == [10, 11, 12]


def test_reclaim_takes_all_rows_of_a_chunk_that_waits(chunk: Chunk) -> None:
    assert chunk.reclaim() == [10, 11, 12, 13, 14, 15]
    assert not chunk.rows


def test_what_the_lane_reports_is_left(chunk: Chunk) -> None:
    chunk.sent.append(range(10, 13))
    assert chunk.left([13, 14, 15]) == [13, 14, 15]


def test_rows_the_lane_lost_are_left_too(chunk: Chunk) -> None:
    chunk.sent.append([10])
    assert chunk.left([15]) == [11, 12, 13, 14, 15]


def test_reclaimed_rows_are_not_left(chunk: Chunk) -> None:
    chunk.reclaim(RunningRow(12, 0.0))
    chunk.sent.append(range(10, 13))
    assert chunk.left([13, 14, 15]) == []


def test_rows_of_one_call_are_reclaimed_together(chunk: Chunk) -> None:
    at = RunningRow(11, 0.0, together=3)
    assert chunk.together(at) == [11, 12, 13]
    assert chunk.reclaim(at) == [14, 15]
    assert chunk.together(RunningRow(12, 0.0, together=99)) == [12, 13]


@pytest.mark.parametrize(
    ("cost", "left", "batch", "size"),
    [
        (None, 900, None, 1),
        (0.01, 900, None, 50),
        (0.01, 20, None, 5),
        (9.0, 900, None, 1),
        (None, 900, 32, 32),
        (0.01, 900, 32, 32),
        (0.001, 900, 32, 224),
        (9.0, 900, 32, 32),
    ],
)
def test_a_chunk_is_half_a_second_of_whole_calls(cost: float | None, left: int, batch: int | None, size: int) -> None:
    assert chunk_size(cost, left, 2, batch=batch) == size

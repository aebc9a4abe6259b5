"""Rows that wait for a lane or for their next attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from supervised import run_work

from scythe_cli.core.clock import Clock
from scythe_cli.supervisor.chunk import Chunk
from scythe_cli.supervisor.retry_queue import BACKOFF_LIMIT, CRASHES_BEFORE_SPLIT, RetryQueue

if TYPE_CHECKING:
    from pathlib import Path

    from scythe_cli.supervisor.run_progress import RunWork


@pytest.fixture
def run(tmp_path: Path) -> RunWork:
    return run_work(tmp_path)


def drained(queue: RetryQueue) -> list[Chunk]:
    return list(iter(queue.pop, None))


def test_rows_come_back_in_as_many_pieces_as_lanes_want(run: RunWork) -> None:
    queue = RetryQueue()
    queue.add(Chunk(run, 0, range(7)), [*range(7)], pieces=3)
    assert [list(chunk.rows) for chunk in drained(queue)] == [[0, 1, 2], [3, 4, 5], [6]]


def test_rows_in_a_row_are_a_range(run: RunWork) -> None:
    queue = RetryQueue()
    queue.add(Chunk(run, 0, [3, 4, 5, 9]), [3, 4, 5, 9], pieces=2)
    assert [chunk.rows for chunk in drained(queue)] == [range(3, 5), [5, 9]]


def test_rows_in_an_order_of_their_own_come_back_in_it(run: RunWork) -> None:
    queue = RetryQueue()
    queue.add(Chunk(run, 0, [3, 9, 5]), [3, 9, 5], pieces=1)
    assert [[*chunk.rows] for chunk in drained(queue)] == [[3, 9, 5]]


def test_a_row_keeps_the_number_of_its_attempt(run: RunWork) -> None:
    queue = RetryQueue()
    queue.add(Chunk(run, 0, range(4), {2: 5}), [1, 2], pieces=1)
    assert drained(queue)[0].attempts == {2: 5}


def test_rows_that_ended_many_lanes_are_split_in_halves(run: RunWork) -> None:
    queue = RetryQueue()
    queue.add(Chunk(run, 0, range(8)), [*range(8)], pieces=1, crashes=CRASHES_BEFORE_SPLIT)
    assert [list(chunk.rows) for chunk in drained(queue)] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_single_row_begins_its_own_count(run: RunWork) -> None:
    queue = RetryQueue()
    queue.add(Chunk(run, 0, range(2)), [0, 1], pieces=1, crashes=CRASHES_BEFORE_SPLIT + 5)
    assert [chunk.crashes for chunk in drained(queue)] == [CRASHES_BEFORE_SPLIT, CRASHES_BEFORE_SPLIT]


def test_a_chunk_that_was_popped_too_early_comes_first(run: RunWork) -> None:
    queue = RetryQueue()
    queue.add(Chunk(run, 0, range(4)), [*range(4)], pieces=2)
    first = queue.pop()
    assert first is not None
    queue.put_first(first)
    assert queue.pop() is first


def test_an_attempt_waits_for_its_pause(run: RunWork) -> None:
    queue = RetryQueue()
    queue.delay(run, 5, 2)
    queue.wake_due()
    assert queue.pop() is None
    assert queue


def test_after_its_pause_an_attempt_is_ready(run: RunWork, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = RetryQueue()
    queue.delay(run, 5, 2)
    queue.delay(run, 3, 4)
    later = Clock.monotonic() + 2 * BACKOFF_LIMIT
    monkeypatch.setattr(Clock, "monotonic", lambda: later)
    queue.wake_due()
    (chunk,) = drained(queue)
    assert chunk.rows == [3, 5]
    assert chunk.attempts == {3: 4, 5: 2}


def test_pauses_grow_to_a_limit(run: RunWork) -> None:
    queue = RetryQueue()
    queue.delay(run, 1, 30)
    seconds = queue.seconds_to_next()
    assert seconds is not None
    assert seconds <= 1.5 * BACKOFF_LIMIT


def test_without_pauses_there_is_nothing_to_wait_for() -> None:
    assert RetryQueue().seconds_to_next() is None


def test_drop_counts_the_rows_of_one_run_alone(run: RunWork, tmp_path: Path) -> None:
    queue, other = RetryQueue(), run_work(tmp_path, name="other")
    queue.add(Chunk(run, 0, range(4)), [*range(4)], pieces=1)
    queue.add(Chunk(other, 0, range(2)), [0, 1], pieces=1)
    queue.delay(run, 9, 2)
    assert queue.drop(run) == 5
    assert [chunk.run for chunk in drained(queue)] == [other]


def test_the_halves_of_a_call_come_first_each_for_one_call(run: RunWork) -> None:
    queue = RetryQueue()
    queue.add(Chunk(run, 0, range(20, 22)), [20, 21], pieces=1)
    queue.halve(Chunk(run, 0, range(7), {6: 2}), [*range(7)])
    first, second, waiting = drained(queue)
    assert ([*first.rows], first.batch, first.attempts) == ([0, 1, 2, 3], 4, {})
    assert ([*second.rows], second.batch, second.attempts) == ([4, 5, 6], 3, {6: 2})
    assert [*waiting.rows] == [20, 21]


def test_a_further_attempt_is_a_call_of_its_own(run: RunWork, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = RetryQueue()
    queue.delay(run, 5, 2)
    later = Clock.monotonic() + 2 * BACKOFF_LIMIT
    monkeypatch.setattr(Clock, "monotonic", lambda: later)
    queue.wake_due()
    assert [chunk.batch for chunk in drained(queue)] == [1]

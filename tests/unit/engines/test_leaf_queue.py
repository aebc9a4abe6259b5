"""Leaves wait in the order they came; chunks are as large as their specs are quick."""

from __future__ import annotations

import threading
from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from scythe_cli.core.row_ranges import Range
from scythe_cli.engines.generation.leaf_queue import Leaf, LeafQueue

if TYPE_CHECKING:
    from scythe_cli.supervisor.run_progress import RunWork


def leaf(first: int, last: int, *, cost: float | None = None, run: str = "run") -> Leaf:
    work = SimpleNamespace(cost=cost, done=0, job=SimpleNamespace(key=run), info=SimpleNamespace(batch=None))
    return Leaf(cast("RunWork", work), last - first + 1, deque([Range(first, last)]))


def taken(queue: LeafQueue, lanes: int = 1) -> list[int]:
    found = queue.next(None, lanes)
    return [] if found is None else list(found[2])


def test_a_run_of_unknown_cost_begins_with_single_specs() -> None:
    queue = LeafQueue()
    queue.add(leaf(0, 9))
    assert taken(queue) == [0]


def test_quick_specs_come_in_chunks_that_shrink_as_the_end_nears() -> None:
    queue = LeafQueue()
    queue.add(leaf(0, 99, cost=0.001))
    assert len(taken(queue, lanes=2)) == 25
    assert len(taken(queue, lanes=2)) == 19


def test_leaves_go_in_the_order_they_came() -> None:
    queue = LeafQueue()
    queue.add(leaf(5, 5))
    queue.add(leaf(3, 3))
    assert [taken(queue), taken(queue), taken(queue)] == [[5], [3], []]


def test_what_is_cut_off_is_handed_out_by_nobody() -> None:
    queue, one = LeafQueue(), leaf(0, 9)
    queue.add(one)
    assert queue.cut(one, 4) == [Range(4, 9)]
    assert [taken(queue) for _ in range(5)] == [[0], [1], [2], [3], []]


def test_what_is_left_may_be_asked_while_another_thread_hands_rows_out() -> None:
    queue = LeafQueue()
    one = Leaf(leaf(0, 0).work, 20_000, deque(Range(2 * row, 2 * row) for row in range(20_000)))
    queue.add(one)
    assert one.left == 20_000
    handing = threading.Thread(target=lambda: [taken(queue) for _ in range(10_000)])
    handing.start()
    seen = [one.left]
    while handing.is_alive():
        seen.append(one.left)
    handing.join()
    assert seen == sorted(seen, reverse=True)
    assert one.left == 10_000
    queue.cut(one, 4)
    assert one.left == 4


def test_waiting_seconds_are_unknown_until_a_spec_has_ended() -> None:
    queue = LeafQueue()
    queue.add(leaf(0, 9))
    assert queue.seconds() is None


def test_waiting_seconds_are_those_of_one_lane() -> None:
    queue = LeafQueue()
    queue.add(leaf(0, 9, cost=2.0))
    assert queue.seconds() == pytest.approx(20.0)


def test_a_closed_queue_is_exhausted_when_its_rows_are_out() -> None:
    queue = LeafQueue()
    queue.add(leaf(0, 0))
    queue.close()
    assert not queue.exhausted()
    taken(queue)
    assert queue.exhausted()

"""Rows over which workers died run one at a time, also where a worker has several ranges with such rows."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from scythe_cli.core.row_ranges import Range
from scythe_cli.engines.generation.leaf_queue import Leaf, LeafQueue
from scythe_cli.engines.shared.claimer import RangeClaim
from scythe_cli.engines.shared.held import DEATHS_ALONE, CarefulRange, HeldRange, advance_all


class Lanes:
    """Keeps the rows that begin; a test ends them."""

    def __init__(self) -> None:
        self.runner = SimpleNamespace(size=2)
        self.begun: list[tuple[int, Future[None]]] = []

    def begin(self, claim: RangeClaim, one: Range, todo: list[Range]) -> Any:
        del claim, todo
        over: Future[None] = Future()
        self.begun.append((one.first, over))
        return SimpleNamespace(over=over, work=SimpleNamespace(done=1, failed=0, slowest=0.0, cost=None))

    @property
    def rows(self) -> list[int]:
        return [row for row, _ in self.begun]


def careful(lanes: Lanes, row: int, deaths: int) -> CarefulRange:
    claim = RangeClaim(0, Range(row, row), Range(row, row), 3, 2)
    claimer: Any = SimpleNamespace(note=lambda *_: None)
    some: Any = lanes
    return CarefulRange(claim, some, [Range(row, row)], claimer=claimer, deaths={row: deaths})


def test_two_ranges_whose_rows_must_run_alone_take_turns() -> None:
    lanes = Lanes()
    held = [careful(lanes, row, DEATHS_ALONE) for row in (1, 3)]
    for _ in range(3):
        advance_all(held)
    assert lanes.rows == [1]
    lanes.begun[0][1].set_result(None)
    for _ in range(3):
        advance_all(held)
        held = [one for one in held if not one.is_over]
    assert lanes.rows == [1, 3]


def held_range(rows: Range, waiting: list[Range], *, begun: int) -> HeldRange:
    """A range of which some rows have begun and others wait."""
    claim = RangeClaim(0, rows, rows, 1, 0)
    queue = LeafQueue()
    work: Any = SimpleNamespace(done=0, failed=0, job=SimpleNamespace(key="r#1"))
    leaf = Leaf(work, rows=begun + sum(map(len, waiting)), waiting=deque(waiting))
    lanes: Any = SimpleNamespace(runner=SimpleNamespace(cut=queue.cut))
    return HeldRange(claim, lanes, leaf.rows, leaf)


def test_of_one_row_that_has_not_begun_nothing_is_cut_off_and_its_claim_is_given_back() -> None:
    held = held_range(Range(127, 127), [Range(127, 127)], begun=0)
    assert held.cut() == []
    assert held.leaf.left == 0
    assert not held.is_complete


def test_the_row_after_one_that_runs_is_cut_off() -> None:
    held = held_range(Range(126, 127), [Range(127, 127)], begun=1)
    assert held.cut() == [Range(127, 127)]
    assert held.todo == 1


def test_a_row_that_must_run_alone_waits_for_the_others() -> None:
    lanes = Lanes()
    held = [careful(lanes, 1, DEATHS_ALONE), careful(lanes, 3, 0)]
    for _ in range(3):
        advance_all(held)
    assert lanes.rows == [3]

"""Rows over which workers died run one at a time, also where a worker has several ranges with such rows."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from scythe_cli.core.row_ranges import Range
from scythe_cli.engines.shared.claimer import RangeClaim
from scythe_cli.engines.shared.held import DEATHS_ALONE, CarefulRange, advance_all


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


def test_a_row_that_must_run_alone_waits_for_the_others() -> None:
    lanes = Lanes()
    held = [careful(lanes, 1, DEATHS_ALONE), careful(lanes, 3, 0)]
    for _ in range(3):
        advance_all(held)
    assert lanes.rows == [3]

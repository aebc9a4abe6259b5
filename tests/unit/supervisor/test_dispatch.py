"""Rows are given to lanes as fast as the store takes their outcomes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from scythe_cli.supervisor.dispatch import BEHIND_BYTES, Dispatcher


class Source:
    """Rows without end; counts how often some were asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def next(self, cost: float | None, lanes: int) -> None:
        self.asked += 1


@pytest.mark.parametrize(("waiting", "asked"), [([BEHIND_BYTES], 1), ([BEHIND_BYTES // 2 + 1] * 2, 0)])
def test_no_rows_are_given_while_much_waits_for_the_store(waiting: list[int], asked: int) -> None:
    source: Any = Source()
    lane = SimpleNamespace(chunks=[], is_ending=False, at_work=lambda: None)
    pool: Any = SimpleNamespace(lanes={1: lane}, size=1)
    dispatcher = Dispatcher(pool, source, allowance=None)
    for at, n_bytes in enumerate(waiting):
        run: Any = SimpleNamespace(writer=SimpleNamespace(bytes_on_their_way=n_bytes), cost=None)
        dispatcher.runs[str(at)] = run
    assert dispatcher.feed() is None
    assert source.asked == asked

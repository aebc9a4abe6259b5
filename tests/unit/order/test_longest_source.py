"""The rows of a run in an order of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervised import run_work

from scythe_cli.core import layout
from scythe_cli.order.longest_source import LongestSource

if TYPE_CHECKING:
    from pathlib import Path

B = layout.BLOCK


def test_rows_come_in_their_order_one_block_at_a_time(tmp_path: Path) -> None:
    run = run_work(tmp_path)
    source = LongestSource(run, [7, B + 1, 3, 5, B + 2, 1], leaf_size="auto")
    assert run.left_in_block == {0: 4, 1: 2}
    given = [source.next(0.1, 1) for _ in range(4)]
    assert [(one[1], [*one[2]]) for one in given if one] == [(0, [7, 3, 5]), (1, [B + 1, B + 2]), (0, [1])]
    assert source.exhausted()


def test_the_first_rows_are_single(tmp_path: Path) -> None:
    source = LongestSource(run_work(tmp_path), [4, 2, 9], leaf_size="auto")
    assert [[*one[2]] for _ in range(3) if (one := source.next(None, 2))] == [[4], [2], [9]]

"""Ranges partition: what is left, what covers it, groups of neighbours."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from scythe_cli.core.layout import BLOCK
from scythe_cli.core.row_ranges import (
    Range,
    as_range,
    covers,
    ranges_of,
    read_ranges,
    spans,
    subtract,
    within,
    write_ranges,
)

ROWS = st.sets(st.integers(0, 3 * BLOCK), max_size=60)
SOME = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 40)).map(lambda p: Range(p[0], p[0] + p[1])), max_size=8)


def rows(ranges: list[Range]) -> list[int]:
    return [row for one in ranges for row in one]


@given(st.sets(st.integers(0, 240)), SOME)
def test_what_is_left_is_what_no_other_range_holds(todo: set[int], done: list[Range]) -> None:
    assert rows(subtract(ranges_of(sorted(todo)), done)) == sorted(todo - set(rows(done)))


@given(st.lists(st.integers(0, 8), max_size=6))
def test_rows_are_a_range_only_in_its_order(listed: list[int]) -> None:
    found = as_range(listed)
    assert [*found] == listed
    assert isinstance(found, range) == (bool(listed) and listed == [*range(listed[0], listed[0] + len(listed))])


@given(ROWS, st.integers(1, 20))
def test_covers_hold_every_row_once_in_one_block_each(todo: set[int], size: int) -> None:
    ranges = ranges_of(sorted(todo))
    found = covers(ranges, size)
    assert rows([part for one in found for part in within(ranges, one)]) == sorted(todo)
    for one in found:
        assert one.first // BLOCK == one.last // BLOCK
        assert 1 <= sum(map(len, within(ranges, one))) <= size


@given(st.lists(st.integers(), min_size=1, max_size=50), st.integers(1, 20))
def test_spans_are_neighbours_of_nearly_one_size(items: list[int], most: int) -> None:
    ranges = [Range(at, at) for at in range(len(items))]
    groups = spans(ranges, most)
    assert list(itertools.chain(*groups)) == ranges
    assert len(groups) <= most
    assert max(map(len, groups)) - min(map(len, groups)) <= 1


@given(ROWS)
def test_ranges_round_trip_as_text(todo: set[int]) -> None:
    ranges = ranges_of(sorted(todo))
    assert read_ranges(write_ranges(ranges)) == ranges

"""What makes two specs the same."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
import pytest

from scythe_cli.reuse.keys import keys_of, match


@pytest.mark.parametrize(
    ("values", "places"),
    [([5, 3, 5, 7, 3, 5], [0, 0, 1, 0, 1, 2]), ([1, 2, 3], [0, 0, 0]), ([4, 4], [0, 1]), ([], [])],
)
def test_equal_rows_are_numbered_in_their_order(values: list[int], places: list[int]) -> None:
    keys = keys_of(pa.table({"x": pa.array(values, pa.int64())}), {}, by_sort_index=False)
    assert keys.table["_place"].to_list() == places


def test_the_second_of_equal_rows_matches_the_second() -> None:
    old = keys_of(pa.table({"x": [1, 2, 1]}), {}, by_sort_index=False)
    new = keys_of(pa.table({"x": [1, 1, 1, 2]}), {}, by_sort_index=False)
    found = match(new, old, pl.Series([0, 1, 2], dtype=pl.UInt32))
    assert found.rows() == [(0, 0), (1, 2), (3, 1)]

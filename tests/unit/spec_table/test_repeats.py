"""Equal rows are counted, and the counts travel with their block."""

from __future__ import annotations

import pyarrow as pa

from scythe_cli.columns.rows import RAW_INPUT
from scythe_cli.run.parts import encode
from scythe_cli.spec_table.repeats import read_repeats, repeats, with_repeats


def table(**columns: list[object]) -> pa.Table:
    n = len(next(iter(columns.values())))
    return pa.table({"sort_index": [10 * at for at in range(n)], **columns})


def test_rows_that_differ_have_no_count() -> None:
    assert repeats(table(a=[1, 2, 3])) == {}


def test_the_kth_of_equal_rows_has_k_before_it() -> None:
    assert repeats(table(a=[1, 2, 1, 1], b=["x", "x", "x", "x"])) == {20: 1, 30: 2}


def test_nothing_is_equal_to_nothing() -> None:
    assert repeats(table(a=[None, 1.0, None])) == {20: 1}


def test_lists_count_too() -> None:
    assert repeats(table(a=[[1, 2], [1], [1, 2]])) == {20: 1}


def test_the_row_as_it_was_given_does_not_count() -> None:
    assert repeats(table(a=[1, 1], **{RAW_INPUT: list[object](["1", "1.0"])})) == {10: 1}


def test_without_fields_all_rows_are_equal() -> None:
    assert repeats(pa.table({"sort_index": [5, 6, 7]})) == {6: 1, 7: 2}


def test_a_block_carries_the_counts_of_its_rows() -> None:
    block = with_repeats(table(a=[1, 1]), {10: 1, 90: 4})
    assert read_repeats(block) == {10: 1}
    import pyarrow.parquet as pq

    assert read_repeats(pq.read_table(pa.BufferReader(encode(block)))) == {10: 1}


def test_an_older_block_carries_none() -> None:
    assert read_repeats(table(a=[1, 1])) == {}

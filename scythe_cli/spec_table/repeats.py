"""Rows of a table that are equal: for each, how many of its equals come before it.

Input: the validated table. Output: a count for each row that has an equal one before it; most tables have none.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from scythe_cli.columns.rows import RAW_INPUT
from scythe_cli.core import layout
from scythe_cli.spec_table.parse_text import FEW

if TYPE_CHECKING:
    from collections.abc import Mapping

ROWS = 1 << 16
_KEY = b"scythe.repeats"
"""In the metadata of a block of specs: {sort_index: count}, where a count is not 0."""


def repeats(table: pa.Table) -> dict[int, int]:
    """By sort_index, how many rows before a row have the same inputs; rows without one are left out."""
    fields = table.select([name for name in table.column_names if name not in {*layout.INDEX_HEAD, RAW_INPUT}])
    if not fields.num_columns:
        return _count_up(table)
    if table.num_rows < FEW and not any(map(pa.types.is_nested, fields.schema.types)):
        return _count_few(table, fields)
    import polars as pl

    hashes = pl.concat(
        pl.DataFrame(pl.from_arrow(fields.slice(first, ROWS))).hash_rows() for first in range(0, table.num_rows, ROWS)
    )
    if hashes.n_unique() == len(hashes):
        return {}
    rows = pl.DataFrame({"hash": hashes, "row": pl.int_range(len(hashes), eager=True)})
    counted = rows.with_columns(before=pl.int_range(pl.len()).over("hash")).filter(pl.col("before") > 0)
    sort_index = table.column(layout.SORT_INDEX)
    numbers: list[Any] = sort_index.take(counted["row"].to_arrow()).to_pylist()
    return dict(zip(numbers, counted["before"].to_list(), strict=True))


def _count_few(table: pa.Table, fields: pa.Table) -> dict[int, int]:
    """The same of a small table, without polars: it takes longer to import than a small run to run."""
    columns: list[list[Any]] = [column.to_pylist() for column in fields.columns]
    plain = [[cell + 0.0 if type(cell) is float else cell for cell in column] for column in columns]  # -0.0 is 0.0
    seen: dict[str, int] = {}
    counts = {}
    for number, cells in zip(table.column(layout.SORT_INDEX).to_pylist(), zip(*plain, strict=True), strict=True):
        before = seen.setdefault(repr(cells), 0)
        seen[repr(cells)] += 1
        if before:
            counts[number] = before
    return cast("dict[int, int]", counts)


def _count_up(table: pa.Table) -> dict[int, int]:
    """All rows are equal where a model has no field."""
    numbers: list[Any] = table.column(layout.SORT_INDEX).to_pylist()
    return {number: at for at, number in enumerate(numbers) if at}


def with_repeats(block: pa.Table, counts: Mapping[int, int]) -> pa.Table:
    """A block that carries the counts of its rows."""
    if not counts:
        return block
    numbers: list[Any] = block.column(layout.SORT_INDEX).to_pylist()
    own = {index: counts[index] for index in numbers if index in counts}
    return block.replace_schema_metadata({**(block.schema.metadata or {}), _KEY: json.dumps(own).encode()})


def read_repeats(block: pa.Table) -> dict[int, int]:
    """The counts that a block carries; none in one that an older scythe wrote."""
    held = (block.schema.metadata or {}).get(_KEY)
    return {} if held is None else {int(index): count for index, count in json.loads(held).items()}

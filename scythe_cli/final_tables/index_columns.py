"""The index columns of the final tables: what the specs say, with the names of files in place of their addresses.

Input: the blocks of a run's specs. Output: the index of some of their rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.run.parts import read_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scythe_cli.columns.checks import Column
    from scythe_cli.run.input_files import IndexNames
    from scythe_cli.storage.base import Store


def read_index(store: Store, number: int, columns: Sequence[str], names: IndexNames) -> pa.Table:
    """The index columns of one block. Raises `StoreError` when its bytes are not what was written."""
    specs = read_block(store, number, list(columns))
    for field in names.fields:
        if field in columns:
            specs = _with_names(specs, field, names)
    return specs


def _with_names(specs: pa.Table, field: str, names: IndexNames) -> pa.Table:
    """The index with the names of a field's files in place of their addresses."""
    column: Column = specs.column(field).combine_chunks().dictionary_encode()
    named = pa.array([names.name(field, address) for address in column.dictionary.to_pylist()], pa.string())
    at = specs.column_names.index(field)
    return specs.set_column(at, specs.schema.field(field), named.take(column.indices))


def take_index(specs: pa.Table, rows: pa.ChunkedArray[Any], offset: int) -> pa.Table:
    """The index columns of some rows; for all rows of the block, without a copy."""
    if len(rows) == specs.num_rows and rows[0].as_py() == offset and rows[-1].as_py() == offset + len(rows) - 1:
        return specs
    return specs.take(pc.subtract(rows, offset))

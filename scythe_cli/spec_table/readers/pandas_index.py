"""The index of evenly spaced whole numbers that pandas notes in the metadata of a table, and writes into no column.

Input: the schema and the record batches of a table that pandas made. Output: the same with the index as a last column.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from scythe_cli.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PANDAS = b"pandas"


def indexed_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with the index as a last column, where it has a name; without the note about it."""
    found = _noted(schema)
    return schema if found is None else schema.append(pa.field(found[0], pa.int64())).remove_metadata()


def indexed_batches(schema: pa.Schema, batches: Iterable[pa.RecordBatch], label: str) -> Iterator[pa.RecordBatch]:
    """The batches with the index as a last column.

    Raises:
        TableError: rows were added or left out since pandas noted the index.
    """
    found = _noted(schema)
    if found is None:
        yield from batches
        return
    name, numbers = found
    rows = 0
    for batch in batches:
        part = numbers[rows : rows + batch.num_rows]
        rows += batch.num_rows
        if len(part) < batch.num_rows:
            raise _other_rows(label, name, numbers)
        index: Any = pa.array(np.arange(part.start, part.stop, part.step, dtype="i8"))
        yield pa.RecordBatch.from_arrays([*batch.columns, index], names=[*batch.schema.names, name])
    if rows < len(numbers):
        raise _other_rows(label, name, numbers)


def _other_rows(label: str, name: str, numbers: range) -> TableError:
    return TableError(
        f"{label} has other rows than the {len(numbers):,} for which pandas noted the index {name!r}: write the index "
        "as a column, with df.reset_index()"
    )


def _noted(schema: pa.Schema) -> tuple[str, range] | None:
    """The name and the numbers of the index, where it has a name that no column has."""
    noted = (schema.metadata or {}).get(_PANDAS)
    for index in json.loads(noted)["index_columns"] if noted else ():
        if isinstance(index, dict) and index.get("kind") == "range" and index["name"] not in {None, *schema.names}:
            return str(index["name"]), range(index["start"], index["stop"], index["step"])
    return None

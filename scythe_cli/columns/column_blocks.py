"""Many columns of one type as one column of bytes: a frame of 8,760 numbers a row costs like a frame of one column.

Input: a table, or the values of a frame as numpy holds them. Output: a table with a column that has, in each row, the
bytes of that row of all packed columns; and the columns again.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from scythe_cli.columns.frame_header import ROW, FrameColumns, FrameHeader, Packed, read_header, write_header
from scythe_cli.core import layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np

FROM = 32
"""So many columns of one type are packed; fewer are quicker as they are."""
KINDS = {
    str(kind): kind
    for kind in (
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
        *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
        *(pa.float32(), pa.float64()),
    )
}
TURNED_ROWS = 64
"""Rows that become parts of columns at a time."""
_COLUMN = "_block"
_LAST = (ROW, layout.SORT_SUBINDEX)


def numpy_type(kind: str) -> str:
    """numpy's name of a packed type."""
    return {"float": "float32", "double": "float64"}.get(kind, kind)


def pack_matrix(matrix: np.ndarray[Any, Any]) -> pa.Array[Any]:
    """Rows of numbers as one column of bytes. The matrix is kept, not copied: nobody else may write to it."""
    rows, columns = matrix.shape
    width = columns * matrix.itemsize
    values = pa.py_buffer(cast("Any", matrix))
    return cast("pa.Array[Any]", pa.Array.from_buffers(pa.binary(width), rows, [None, values]))


def block_name(kind: str, taken: Iterable[str]) -> str:
    """A name for the packed columns of a type."""
    name, others = f"{_COLUMN}_{kind}", set(taken)
    while name in others:
        name += "_"
    return name


def spans(places: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Rising numbers as stretches: first and last + 1 of each."""
    cuts = [0, *(at for at, (one, other) in enumerate(pairwise(places), 1) if other != one + 1), len(places)]
    return tuple((places[first], places[last - 1] + 1) for first, last in pairwise(cuts))


def own_columns(schema: pa.Schema) -> list[str]:
    """The names of a frame's own columns, of packed ones too, in order; without the levels of its index."""
    header = read_header(schema)
    if header.columns.names is not None:
        return [*header.columns.names]
    others = {*header.level_columns(), *_LAST}
    return [name for name in schema.names if name not in others]


def pack(table: pa.Table) -> pa.Table:
    """The table with its many columns of one type as one, where it has such and they lack no value ambiguously."""
    header = read_header(table.schema)
    if header.blocks or table.num_columns < FROM or not table.num_rows:
        return table
    levels = {*header.level_columns(), *_LAST}
    own = [name for name in table.column_names if name not in levels]
    by_kind: dict[str, list[int]] = {}
    for at, name in enumerate(own):
        kind = str(table.schema.field(name).type)
        if kind in KINDS:
            by_kind.setdefault(kind, []).append(at)
    blocks, packed = [], {}
    for kind, places in by_kind.items():
        if len(places) >= FROM and (found := _matrix([table.column(own[at]) for at in places], kind)) is not None:
            matrix, missing = found
            missing = missing or (header.pandas is not None and _lacks_nan(matrix))
            block = Packed(block_name(kind, table.column_names), kind, missing, spans(places))
            blocks.append(block)
            packed[block.column] = pack_matrix(matrix)
            levels.update(own[at] for at in places)
    if not blocks:
        return table
    levels -= {*header.level_columns(), *_LAST}
    rest = table.select([name for name in table.column_names if name not in levels])
    columns = FrameColumns(tuple(own), header.columns.labels, header.columns.levels)
    made = pa.table([*packed.values(), *rest.columns], names=[*packed, *rest.column_names])
    return write_header(made, FrameHeader(columns, tuple(blocks), header.pandas))


def _matrix(columns: list[pa.ChunkedArray[Any]], kind: str) -> tuple[np.ndarray[Any, Any], bool] | None:
    """The values of columns row by row, and whether NaN means a missing one; None if that is unclear."""
    import numpy as np

    nulls = any(column.null_count for column in columns)
    if nulls and kind not in ("float", "double"):
        return None
    matrix = np.empty((len(columns[0]), len(columns)), numpy_type(kind))
    for at, column in enumerate(columns):
        matrix[:, at] = column.to_numpy()
    if nulls:
        missing = sum(column.null_count for column in columns)
        return (matrix, True) if int(np.isnan(matrix).sum()) == missing else None
    return matrix, False


def _lacks_nan(matrix: np.ndarray[Any, Any]) -> bool:
    """Whether NaN may mean a missing value, as in the blocks that pandas' own frames give."""
    import numpy as np

    return matrix.dtype.kind == "f" and not np.isnan(matrix).any()


def unpack(table: pa.Table) -> pa.Table:
    """The table with all its columns, in order: the frame's own, then the others."""
    header = read_header(table.schema)
    if not header.blocks:
        return table
    names = header.columns.names
    assert names is not None  # noqa: S101 - written with the blocks
    own: list[Any] = [None] * len(names)
    packed = {block.column for block in header.blocks}
    for block in header.blocks:
        arrays = iter(block_arrays(table.column(block.column), block))
        for first, last in block.spans:
            own[first:last] = [next(arrays) for _ in range(first, last)]
    levels = {*header.level_columns(), *_LAST}
    plain = iter([name for name in table.column_names if name not in packed and name not in levels])
    own = [table.column(next(plain)) if column is None else column for column in own]
    rest = [name for name in table.column_names if name in levels]
    made = pa.table([*own, *(table.column(name) for name in rest)], names=[*names, *rest])
    columns = header.columns if header.columns.levels else FrameColumns()
    return write_header(made, FrameHeader(columns, (), header.pandas))


def block_arrays(column: pa.ChunkedArray[Any], block: Packed) -> list[pa.Array[Any]]:
    """The packed columns, as slices of one array of all their values."""
    import numpy as np

    rows = len(column)
    count = sum(last - first for first, last in block.spans)
    by_column = np.empty((count, rows), numpy_type(block.kind))
    end = 0
    for matrix in _turned_at_once([_values(chunk, block.kind, count) for chunk in column.chunks if len(chunk)]):
        by_column[:, end : end + len(matrix)] = matrix.T
        end += len(matrix)
    values = pa.array(by_column.ravel(), KINDS[block.kind], from_pandas=block.missing)
    return [values.slice(at * rows, rows) for at in range(count)]


def _turned_at_once(chunks: Iterable[np.ndarray[Any, Any]]) -> Iterator[np.ndarray[Any, Any]]:
    """The rows of chunks, so many at a time that each column gets some: single rows are slow to write into columns."""
    import numpy as np

    held: list[np.ndarray[Any, Any]] = []
    for chunk in chunks:
        held.append(chunk)
        if sum(map(len, held)) >= TURNED_ROWS:
            yield np.concatenate(held) if len(held) > 1 else chunk
            held = []
    if held:
        yield np.concatenate(held)


def _values(chunk: Any, kind: str, count: int) -> np.ndarray[Any, Any]:
    import numpy as np

    matrix = np.frombuffer(chunk.buffers()[1], numpy_type(kind)).reshape(-1, count)
    return matrix[chunk.offset : chunk.offset + len(chunk)]

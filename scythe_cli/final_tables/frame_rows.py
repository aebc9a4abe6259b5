"""A row group of a frame's final table: the frames' own columns, and the index columns of their specs.

Input: pieces of frames. Output: a table, and how its columns are best written. Index columns are constant within a
spec: a text is written once for each spec, and its place for each row.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from scythe_cli.columns.column_blocks import unpack
from scythe_cli.columns.column_values import SAMPLE, has_few_values
from scythe_cli.columns.frame_header import ROW, read_header, with_metadata
from scythe_cli.columns.frame_stack import counts_from_zero, fit
from scythe_cli.columns.pandas_metadata import to_categories
from scythe_cli.core import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

WIDE = 1000
"""A frame with more columns has statistics of its index alone: they cost time, and no reader skips rows by the rest."""
IDS = (layout.EXPERIMENT_ID, layout.WORKFLOW_RUN_ID, layout.ROOT_WORKFLOW_RUN_ID)
"""Columns without statistics: those of texts take as long as to write them, and `sort_index` finds the same rows."""
BATCH = 1 << 13
"""Values that are encoded at a time. A page may be so many values larger than it should."""
STEADY = 0.9
"""So many of the steps between rows are the same."""
PAGE = 8 << 20
"""Bytes. Each page begins a compression of its own, which takes some 0.1 ms."""
LEVEL = 1
"""Of zstd: higher ones are slower and hardly smaller."""
SLICES = 4
"""Places that a sample is taken from."""
PACKED = 0.8
"""Of a column's size, at most, where it is worth to pack it."""
QUICK = "snappy"
"""For index columns of few values: to begin with zstd takes longer than to pack them."""


@dataclass
class Piece:
    """Rows of a frame, and the specs they belong to.

    Attributes:
        own: the frame's columns and levels, packed or not, and the row of each row's spec.
        specs: the index columns of one block's specs.
        places: for each spec in turn, its place in `specs`.
        lengths: for each spec in turn, its rows.
        first: the place in its spec of the first row.
        ahead: bytes of its last spec that are in the next pieces, as far as is known.
    """

    own: pa.Table
    specs: pa.Table
    places: np.ndarray[Any, Any]
    lengths: np.ndarray[Any, Any]
    first: int = 0
    ahead: int = 0

    def steps(self, n_bytes: int, room: Callable[[int], int]) -> Iterator[Piece]:
        """The piece in smaller ones of at most about a size, cut between specs, or within a spec that is larger.

        `room` says how many rows the next one should have, given the place in its spec of the first row. The next one
        has more where these would end within a spec.
        """
        size = max(1, int(n_bytes * self.own.num_rows / max(1, self.own.nbytes)))
        ends = np.cumsum(self.lengths)
        at = 0
        while at < len(self.lengths):
            start = int(ends[at - 1]) if at else 0
            enough = int(np.searchsorted(ends, start + room(0 if at else self.first))) + 1
            last = max(at + 1, min(enough, int(np.searchsorted(ends, start + size, side="right"))))
            rows = self.own.slice(start, int(ends[last - 1]) - start)
            first = 0 if at else self.first
            if last > at + 1 or rows.num_rows <= size:
                yield Piece(rows, self.specs, self.places[at:last], self.lengths[at:last], first)
            else:
                yield from self._within_spec(at, rows, first, size)
            at = last

    def _within_spec(self, at: int, rows: pa.Table, first: int, size: int) -> Iterator[Piece]:
        for start in range(0, rows.num_rows, size):
            part = rows.slice(start, size)
            lengths = np.array([part.num_rows])
            ahead = rows.slice(start + size).nbytes
            yield Piece(part, self.specs, self.places[at : at + 1], lengths, first + start, ahead)

    def counted(self) -> np.ndarray[Any, Any]:
        """The place of each row in its spec."""
        rows = np.arange(self.own.num_rows)
        rows -= np.repeat(np.cumsum(self.lengths) - self.lengths, self.lengths)
        rows[: self.lengths[0]] += self.first
        return rows


def own_columns(pieces: Sequence[Piece], schema: pa.Schema) -> pa.Table:
    """The frames' own columns, levels and counted columns, as the schema has them; pieces of one kind at once."""
    tables: list[pa.Table] = []
    for _, group in groupby(pieces, key=lambda piece: _Kind(piece.own.schema)):
        alike = list(group)
        kind = alike[0].own.schema
        table = with_metadata(unpack(pa.concat_tables([piece.own for piece in alike])), None)
        if table.num_columns > 1:
            table = table.drop_columns([ROW])
        for name in counts_from_zero(read_header(kind), table.column_names):
            if name in schema.names:
                table = table.append_column(name, pa.array(np.concatenate([piece.counted() for piece in alike])))
        tables.append(fit(table, schema))
    return pa.concat_tables(tables)


class _Kind:
    """A schema with its metadata, to compare."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Kind) and (
            self._schema is other._schema or self._schema.equals(other._schema, check_metadata=True)
        )

    __hash__ = None  # type: ignore[assignment]


def index_columns(pieces: Sequence[Piece], schema: pa.Schema, *, repeated: bool) -> list[Any]:
    """The index columns of all rows. Where specs have several rows, texts are dictionaries of the specs' values."""
    specs = pa.concat_tables([piece.specs.take(pa.array(piece.places)) for piece in pieces])
    lengths = np.concatenate([piece.lengths for piece in pieces])
    made: list[Any] = []
    for field in schema:
        column: Any = specs.column(field.name).combine_chunks()
        if pa.types.is_string(field.type) and (repeated or field.name != layout.WORKFLOW_RUN_ID):
            texts: Any = column.dictionary_encode()
            made.append(pa.DictionaryArray.from_arrays(_repeated(texts.indices, lengths), texts.dictionary, safe=False))
        else:
            made.append(_repeated(column, lengths))
    return made


def _repeated(column: Any, lengths: np.ndarray[Any, Any]) -> Any:
    """Each value so many times."""
    if (lengths == 1).all():
        return column
    if _is_number(column.type) and not column.null_count:
        return pa.array(np.repeat(column.to_numpy(), lengths))
    return column.take(pa.array(np.repeat(np.arange(len(column), dtype=np.int32), lengths)))


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def have_several_rows(pieces: Sequence[Piece]) -> bool:
    """Whether specs usually have more than one row."""
    return sum(piece.own.num_rows for piece in pieces) > sum(len(piece.lengths) for piece in pieces)


def as_dictionaries(table: pa.Table, categories: Mapping[str, Sequence[str]], kept: Sequence[str]) -> list[Any]:
    """The columns, texts but those of `kept` as dictionaries; pandas' categories with all values, in their order."""
    columns: list[Any] = []
    for field, column in zip(table.schema, table.columns, strict=True):
        if not pa.types.is_string(field.type) or field.name in kept:
            columns.append(column)
        elif field.name in categories:
            columns.append(to_categories(column, categories[field.name]))
        else:
            columns.append(column.combine_chunks().dictionary_encode())
    return columns


def encodings(group: pa.Table, index: Sequence[str]) -> dict[str, Any]:
    """How the columns of a file with this first row group are written: arguments of pyarrow's writer."""
    dictionaries: list[str] = []
    encoded: dict[str, str] = {}
    wide = group.num_columns > WIDE
    for field in group.schema:
        column = group.column(field.name)
        sampled = not wide or field.name in index
        if sampled and _has_steady_steps(column):
            encoded[field.name] = "DELTA_BINARY_PACKED"
        elif field.name == layout.WORKFLOW_RUN_ID and pa.types.is_string(field.type):
            encoded[field.name] = "DELTA_BYTE_ARRAY"
        elif pa.types.is_dictionary(field.type) or (sampled and _may_repeat(field.type) and has_few_values(column)):
            dictionaries.append(field.name)
    other = dict.fromkeys({*dictionaries}.intersection(index), QUICK)
    if not wide:
        other |= {
            name: "none"
            for name in {*group.column_names}.difference(dictionaries, encoded)
            if not _packs(group.column(name))
        }
    if any(pa.types.is_nested(field.type) for field in group.schema):
        # pyarrow looks for the paths of leaves: it packs none that it does not find, and `a.b` may be one of two
        other, encoded = {}, {}
    return {
        "compression": {name: other.get(name, "zstd") for name in group.column_names} if other else "zstd",
        "compression_level": {name: LEVEL for name in group.column_names if name not in other} if other else LEVEL,
        "data_page_size": PAGE,
        "use_dictionary": dictionaries,
        "column_encoding": encoded,
        "write_batch_size": BATCH,
        "write_statistics": [name for name in (index if wide else group.column_names) if name not in IDS],
    }


def repeating(group: pa.Table, options: dict[str, Any], index: Sequence[str]) -> list[str]:
    """The columns that may be the same in several row groups: those that go up in steps, and ids.

    Args:
        group: the first row group.
        options: what `encodings` says of it.
        index: names of the index columns.
    """
    if group.num_columns > WIDE or any(pa.types.is_nested(field.type) for field in group.schema):
        return []
    floats = {field.name for field in group.schema if pa.types.is_floating(field.type)}  # 0.0 equals -0.0
    few = {*options["use_dictionary"]}.intersection(index) - floats
    return [name for name in group.column_names if name in few or name in options["column_encoding"]]


def _packs(column: pa.ChunkedArray[Any]) -> bool:
    """Whether zstd makes a sample at least a fifth smaller. Random numbers take as long to pack, and stay large."""
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return True
    size = SAMPLE // SLICES
    starts = range(0, len(column), max(size, len(column) // SLICES))  # the first rows alone may be zeros
    sample = b"".join(column.slice(start, size).drop_null().to_numpy().tobytes() for start in starts)
    packed = pa.Codec("zstd", compression_level=LEVEL).compress(sample)
    return len(packed) <= PACKED * len(sample)


def _may_repeat(kind: pa.DataType) -> bool:
    return not (pa.types.is_nested(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind))


def _has_steady_steps(column: pa.ChunkedArray[Any]) -> bool:
    """Whether nearly all of its first rows are one step from the row before, as the hours of a year are."""
    if not (pa.types.is_integer(column.type) or pa.types.is_temporal(column.type)):
        return False
    sample: Any = column.slice(0, SAMPLE).drop_null().combine_chunks()
    if len(sample) < 2:
        return False
    steps, counts = np.unique(np.diff(sample.view(f"int{sample.type.bit_width}").to_numpy()), return_counts=True)
    most = counts.argmax()
    return bool(steps[most] != 0 and counts[most] >= STEADY * (len(sample) - 1))

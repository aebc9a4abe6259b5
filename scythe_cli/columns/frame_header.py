"""What a frame's Arrow table says of itself beyond its columns, in the metadata of its schema.

Input: what pandas knew of a frame, and which columns are packed into blocks. Output: two entries of metadata, and from
them the same again. A table without these entries is a frame whose columns are all there is, of any library but pandas.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from scythe_cli.core import layout

if TYPE_CHECKING:
    from collections.abc import Mapping

ROW = "_row"
"""The row number of the spec a frame's row belongs to."""
ABOUT = b"scythe.frame"
COLUMNS = b"scythe.columns"
"""The long part, compressed: the names and labels of thousands of columns."""
PLACE = layout.SORT_SUBINDEX
"""Among the index levels: where the frame's author put the row's place in its spec."""


@dataclass(frozen=True)
class FrameColumns:
    """A frame's own columns, in order.

    Attributes:
        names: their text names, of packed columns too; None where the table's columns are all there are.
        labels: their entries `name` in pandas' metadata, where these are not the text names.
        levels: the entry `column_indexes` of pandas' metadata; none where the text names are the labels.
    """

    names: tuple[str, ...] | None = None
    labels: tuple[str | None, ...] | None = None
    levels: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Packed:
    """Columns of one type that are one column of the table, which has the bytes of a row of them in each row.

    Attributes:
        column: its name in the table.
        kind: the type of each column, as Arrow spells it.
        missing: whether NaN means a missing value.
        spans: places of the columns among the frame's own: first and last + 1 of each stretch.
    """

    column: str
    kind: str
    missing: bool
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Pandas:
    """What pandas knew of a frame and Arrow does not.

    Attributes:
        column_levels: names of the levels of the columns.
        index_levels: the column of each level of the index that is the author's own, and its name in pandas; and
            `sort_subindex` where the author asked for it.
        numbered: whether the frame's index was the plain 0, 1, 2, ...
        dtypes: pandas' own types, by column, for those that Arrow's type does not give.
        categories: values of columns that are categories, by column, and whether they are ordered.
    """

    column_levels: tuple[str | None, ...] = (None,)
    index_levels: tuple[tuple[str, str | None], ...] = ()
    numbered: bool = False
    dtypes: Mapping[str, str] = field(default_factory=dict)
    categories: Mapping[str, tuple[tuple[str, ...], bool]] = field(default_factory=dict)

    @property
    def level_names(self) -> tuple[tuple[str | None, ...], frozenset[str]]:
        """The levels of the columns and of the index, to compare with those of another frame."""
        return self.column_levels, frozenset(column for column, _ in self.index_levels if column != PLACE)


@dataclass(frozen=True)
class FrameHeader:
    """All that a frame's table says of itself.

    Attributes:
        columns: its own columns.
        blocks: those that are packed.
        pandas: what pandas knew; None for a frame of another library.
    """

    columns: FrameColumns = FrameColumns()
    blocks: tuple[Packed, ...] = ()
    pandas: Pandas | None = None

    def level_columns(self) -> list[str]:
        """The columns that are levels of the index."""
        return [column for column, _ in self.pandas.index_levels if column != PLACE] if self.pandas else []


def write_header(table: pa.Table, header: FrameHeader) -> pa.Table:
    """The table with what it says of itself."""
    if header == FrameHeader():
        return with_metadata(table, None)
    about = {"blocks": [asdict(block) for block in header.blocks], "pandas": _fields(header.pandas)}
    metadata = {ABOUT: json.dumps(about).encode()}
    if header.columns != FrameColumns():
        metadata[COLUMNS] = _compress(header.columns)
    return with_metadata(table, metadata)


def with_metadata(table: pa.Table, metadata: dict[bytes, bytes] | None) -> pa.Table:
    """The table with other metadata, and with its rows also where it has no columns."""
    if table.num_columns:
        return table.replace_schema_metadata(metadata)
    schema = pa.schema([], metadata=cast("Any", metadata))
    return pa.Table.from_batches(table.to_batches(), schema=schema)


def read_header(schema: pa.Schema) -> FrameHeader:
    """What a table says of itself."""
    metadata = schema.metadata or {}
    if ABOUT not in metadata:
        return FrameHeader()
    return _parsed(metadata[ABOUT], metadata.get(COLUMNS))


def _fields(pandas: Pandas | None) -> dict[str, Any] | None:
    return None if pandas is None else {name: getattr(pandas, name) for name in Pandas.__dataclass_fields__}


_compressed: list[tuple[FrameColumns, bytes]] = []


def _compress(columns: FrameColumns) -> bytes:
    """The frames of a run usually have the same columns: the last ones are remembered."""
    for known, text in _compressed:
        if known is columns or known == columns:
            return text
    held = {"names": columns.names, "labels": columns.labels, "levels": columns.levels}
    text = base64.b64encode(zlib.compress(json.dumps(held).encode(), 1))
    _compressed.insert(0, (columns, text))
    del _compressed[4:]
    return text


@lru_cache(maxsize=8)
def _columns(text: bytes) -> FrameColumns:
    held = json.loads(zlib.decompress(base64.b64decode(text)))
    names, labels = (None if held[key] is None else tuple(held[key]) for key in ("names", "labels"))
    return FrameColumns(names, labels, tuple(held["levels"]))


@lru_cache(maxsize=64)
def _parsed(about: bytes, columns: bytes | None) -> FrameHeader:
    held = json.loads(about)
    blocks = tuple(
        Packed(one["column"], one["kind"], one["missing"], tuple((first, last) for first, last in one["spans"]))
        for one in held["blocks"]
    )
    pandas = None
    if of := held["pandas"]:
        pandas = Pandas(
            column_levels=tuple(of["column_levels"]),
            index_levels=tuple((column, name) for column, name in of["index_levels"]),
            numbered=of["numbered"],
            dtypes=of["dtypes"],
            categories={name: (tuple(values), ordered) for name, (values, ordered) in of["categories"].items()},
        )
    return FrameHeader(_columns(columns) if columns is not None else FrameColumns(), blocks, pandas)

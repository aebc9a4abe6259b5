"""A parquet file on the local disk whose row groups may be encoded at the same time.

pyarrow encodes a file in one thread. So each row group is encoded as a file of its own, in memory; its pages are
appended to those before it, and its footer becomes a part of the file's. Columns that have the same values in row group
after row group, as the hours of a year in each spec, are encoded once, and their pages are written again.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from scythe_cli.final_tables.parquet_footer import ColumnChunk, chunks, moved, with_group

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from concurrent.futures import Future
    from pathlib import Path

MAGIC = b"PAR1"
LENGTH = 4
"""Bytes of the footer's length, which is after it and before the magic bytes."""


SYNCED_BYTES = 64 << 20
"""After so many the disk begins to write; else all would wait for it when the file is whole."""


class EncodedGroup(NamedTuple):
    """A row group in memory.

    Attributes:
        rows: how many rows it has.
        columns: the columns that were encoded.
        pages: their bytes.
        footer: the footer of a file of this row group alone.
    """

    rows: int
    columns: list[str]
    pages: memoryview
    footer: bytes


class GroupedFile:
    """A file in the making.

    Args:
        path: the file.
        schema: of all row groups.
        options: arguments of pyarrow's writer.
        repeating: columns that may have the values that they had in the row group before, none of them nested.

    Attributes:
        size: bytes of its pages so far.
    """

    def __init__(
        self, path: Path, schema: pa.Schema, options: Mapping[str, Any], *, repeating: Collection[str] = ()
    ) -> None:
        self.path = path
        self._schema = schema
        self._options = options
        self._repeating = frozenset(repeating)
        self._last: dict[str, pa.ChunkedArray[Any]] = {}
        self._kept: dict[str, tuple[ColumnChunk, bytes]] = {}
        self._empty = _split(self._as_file(schema, None, {}))[1] if repeating else b""
        self._footers: list[bytes] = []
        self._file = path.open("wb")
        self.size = self._file.write(MAGIC)
        self._disk = ThreadPoolExecutor(1, "scythe-disk")
        self._synced = 0
        self._syncing: Future[None] | None = None

    def new_columns(self, group: pa.Table) -> list[str]:
        """The columns of a row group that have other values than in the one that this was asked of before."""
        last = self._last
        same = {name for name in self._repeating if name in last and last[name].equals(group.column(name))}
        self._last = {name: group.column(name) for name in self._repeating}
        return [name for name in group.column_names if name not in same]

    def encode(self, group: pa.Table, columns: list[str]) -> EncodedGroup:
        """Encode columns of a row group. Threads may do it at the same time."""
        schema = self._schema if len(columns) == len(self._schema) else _of(self._schema, columns)
        file = self._as_file(schema, group if schema is self._schema else group.select(columns), {})
        return EncodedGroup(group.num_rows, columns, *_split(file))

    def append(self, group: EncodedGroup) -> None:
        """Write a row group after those before it; of columns that were not encoded the pages of before."""
        if self._repeating:
            self._append_columns(group)
        else:
            self._footers.append(moved(group.footer, self.size - len(MAGIC)))
            self.size += self._file.write(group.pages)
        self._begin_to_sync()

    def _append_columns(self, group: EncodedGroup) -> None:
        new = dict(zip(group.columns, chunks(group.footer), strict=True))
        written: list[ColumnChunk] = []
        start = self.size
        for name in self._schema.names:
            if name in new:
                chunk = new[name]
                at = chunk.start - len(MAGIC)
                pages: Any = group.pages[at : at + chunk.packed]
                if name in self._repeating:
                    self._kept[name] = chunk, bytes(pages)
            else:
                chunk, pages = self._kept[name]
            written.append(chunk)
            self.size += self._file.write(pages)
        self._footers.append(with_group(self._empty, written, rows=group.rows, start=start))

    def _begin_to_sync(self) -> None:
        if self.size - self._synced > SYNCED_BYTES and (self._syncing is None or self._syncing.done()):
            self._file.flush()
            if self._syncing is not None:
                self._syncing.result()  # the system reports an error of the disk once
            self._syncing = self._disk.submit(os.fsync, self._file.fileno())
            self._synced = self.size

    def close(self, metadata: dict[bytes, bytes]) -> None:
        """End the file."""
        about = _read_footer(_split(self._as_file(self._schema, None, metadata))[1])
        for footer in self._footers:
            about.append_row_groups(_read_footer(footer))
        end = pa.BufferOutputStream()
        about.write_metadata_file(end)
        with self._file as file:
            file.write(memoryview(end.getvalue())[len(MAGIC) :])
            self._disk.shutdown()
        if self._syncing is not None:
            self._syncing.result()

    def abandon(self) -> None:
        """Stop; the file is of no use."""
        self._disk.shutdown()
        self._file.close()

    def _as_file(self, schema: pa.Schema, group: pa.Table | None, metadata: dict[bytes, bytes]) -> pa.Buffer:
        made = pa.BufferOutputStream()
        with pq.ParquetWriter(made, schema, store_schema=False, write_page_index=False, **self._options) as file:
            if group is not None:
                file.write_table(group, row_group_size=max(1, group.num_rows))
            file.add_key_value_metadata(cast("Any", metadata))
        return made.getvalue()


def _of(schema: pa.Schema, columns: list[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in columns])


def _split(file: pa.Buffer) -> tuple[memoryview, bytes]:
    """The pages of a file, and its footer."""
    data = memoryview(file)
    end = len(data) - len(MAGIC) - LENGTH
    start = end - int.from_bytes(data[end : end + LENGTH], "little")
    return data[len(MAGIC) : start], bytes(data[start:end])


def _read_footer(footer: bytes) -> pq.FileMetaData:
    length = len(footer).to_bytes(LENGTH, "little")
    return pq.read_metadata(pa.BufferReader(MAGIC + footer + length + MAGIC))

"""A parquet file on the local disk whose row groups may be encoded at the same time.

pyarrow encodes a file in one thread. So each row group is encoded as a file of its own, in memory; its pages are
appended to those before it, and its footer becomes a part of the file's.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from scythe_cli.final_tables.parquet_footer import moved

if TYPE_CHECKING:
    from collections.abc import Mapping
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
        pages: its bytes.
        footer: the footer of a file of this row group alone.
    """

    pages: memoryview
    footer: bytes


class GroupedFile:
    """A file in the making.

    Args:
        path: the file.
        schema: of all row groups.
        options: arguments of pyarrow's writer.

    Attributes:
        size: bytes of its pages so far.
    """

    def __init__(self, path: Path, schema: pa.Schema, options: Mapping[str, Any]) -> None:
        self.path = path
        self._schema = schema
        self._options = options
        self._footers: list[bytes] = []
        self._file = path.open("wb")
        self.size = self._file.write(MAGIC)
        self._disk = ThreadPoolExecutor(1, "scythe-disk")
        self._synced = 0
        self._syncing: Future[None] | None = None

    def encode(self, group: pa.Table) -> EncodedGroup:
        """Encode a row group. Threads may do it at the same time."""
        return _split(self._as_file(group, {}))

    def append(self, group: EncodedGroup) -> None:
        """Write a row group after those before it."""
        self._footers.append(moved(group.footer, self.size - len(MAGIC)))
        self.size += self._file.write(group.pages)
        if self.size - self._synced > SYNCED_BYTES and (self._syncing is None or self._syncing.done()):
            self._file.flush()
            self._syncing = self._disk.submit(os.fsync, self._file.fileno())
            self._synced = self.size

    def close(self, metadata: dict[bytes, bytes]) -> None:
        """End the file."""
        about = _read_footer(_split(self._as_file(None, metadata)).footer)
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

    def _as_file(self, group: pa.Table | None, metadata: dict[bytes, bytes]) -> pa.Buffer:
        made = pa.BufferOutputStream()
        with pq.ParquetWriter(made, self._schema, store_schema=False, write_page_index=False, **self._options) as file:
            if group is not None:
                file.write_table(group, row_group_size=max(1, group.num_rows))
            file.add_key_value_metadata(cast("Any", metadata))
        return made.getvalue()


def _split(file: pa.Buffer) -> EncodedGroup:
    data = memoryview(file)
    end = len(data) - len(MAGIC) - LENGTH
    start = end - int.from_bytes(data[end : end + LENGTH], "little")
    return EncodedGroup(data[len(MAGIC) : start], bytes(data[start:end]))


def _read_footer(footer: bytes) -> pq.FileMetaData:
    length = len(footer).to_bytes(LENGTH, "little")
    return pq.read_metadata(pa.BufferReader(MAGIC + footer + length + MAGIC))

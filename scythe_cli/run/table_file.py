"""A table while it is written to one parquet file: a row group is encoded in a thread while the next is collected.

Input: rows. Output: a local file. Texts that repeat are written as dictionaries, which the first row group decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from scythe_cli.columns.column_values import has_few_values
from scythe_cli.core import layout

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future
    from pathlib import Path


class TableFile:
    """The file.

    Args:
        path: where.
        schema: of all rows, with the file's metadata.
        group_rows: a row group ends at so many rows.
        group_bytes: or at so many bytes in memory.
        encoder: encodes a row group while the next is collected; one is under way at a time.
        compression: of pages.
        level: of the compression, where it has levels.
        on_group: gets each row group before it is written.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        *,
        group_rows: int,
        group_bytes: int,
        encoder: Executor,
        compression: str,
        level: int | None = None,
        on_group: Callable[[pa.Table], None] | None = None,
    ) -> None:
        self.path = path
        self._schema = schema
        self._group_rows, self._group_bytes = group_rows, group_bytes
        self._encoder = encoder
        self._compression, self._level = compression, level
        self._on_group = on_group
        self._writer: pq.ParquetWriter | None = None
        self._writing: Future[None] | None = None
        self._held: list[pa.Table] = []
        self._held_rows = self._held_bytes = 0
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        """Append rows."""
        self._held.append(table)
        self._held_rows += table.num_rows
        self._held_bytes += table.nbytes
        if self._held_rows >= self._group_rows or self._held_bytes >= self._group_bytes:
            self._write()

    def _write(self) -> None:
        if not self._held:
            return
        table = pa.concat_tables(self._held)
        if self._on_group is not None:
            self._on_group(table)
        self._finish_writing()
        self._writer = self._writer or self._open(table)
        self._writing = self._encoder.submit(self._writer.write_table, table, row_group_size=self._group_rows)
        self.rows += table.num_rows
        self._held, self._held_rows, self._held_bytes = [], 0, 0

    def _open(self, first: pa.Table) -> pq.ParquetWriter:
        texts = [f.name for f in self._schema if pa.types.is_string(f.type) and f.name != layout.WORKFLOW_RUN_ID]
        return pq.ParquetWriter(
            self.path,
            self._schema,
            compression=cast("Any", self._compression),
            compression_level=self._level,
            use_dictionary=cast("Any", [name for name in texts if has_few_values(first.column(name))]),
            column_encoding={layout.WORKFLOW_RUN_ID: "DELTA_BYTE_ARRAY"},
            write_statistics=True,
        )

    def _finish_writing(self) -> None:
        """Wait for the row group under way; raise what it failed with."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def finish(self) -> Path:
        """Write what is held and end the file."""
        self._write()
        self._finish_writing()
        self._writer = self._writer or self._open(self._schema.empty_table())
        self._writer.close()
        return self.path

    def close(self) -> None:
        """Stop; a file that was not finished is of no use."""
        if self._writing is not None:
            self._writing.exception()
        if self._writer is not None:
            self._writer.close()

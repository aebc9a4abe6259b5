"""A table of more rows than memory should hold, in a file without a name that the system deletes with the process.

Input: pieces of rows. Output: a table whose columns are pages of that file; the system loads and drops them as needed.
"""

from __future__ import annotations

import contextlib
import mmap
import tempfile
import weakref
from typing import IO, TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scythe_cli.columns.checks import Column


class DiskTable:
    """Rows that are written to the disk and read back.

    Args:
        schema: of every piece; a column of another type is cast.

    Raises:
        OSError: from every method, when the temporary folder's disk is full.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._file = tempfile.TemporaryFile(prefix="scythe-specs-")  # noqa: SIM115 - lives as long as the table
        weakref.finalize(self, _close, self._file)
        self._writer = pa.ipc.new_file(pa.PythonFile(self._file, mode="w"), schema)
        self._map: mmap.mmap | None = None

    def add(self, columns: Mapping[str, Column]) -> None:
        """Append rows."""
        arrays = [columns[f.name].cast(f.type) for f in self._schema]
        self._writer.write_table(pa.table(arrays, schema=self._schema))

    def table(self) -> pa.Table:
        """All rows. No more can be added."""
        self._writer.close()
        self._file.flush()
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._file.close()  # the mapping keeps what it needs
        return pa.ipc.open_file(pa.BufferReader(pa.py_buffer(self._map))).read_all()

    def drop_pages(self) -> None:
        """Free the memory of pages that were read; the system reads them again when they are needed."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def _close(file: IO[bytes]) -> None:
    """A full disk may refuse the last bytes, which are not needed any more."""
    with contextlib.suppress(OSError):
        file.close()

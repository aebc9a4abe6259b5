"""The frames of one part, opened but not read: a part may hold more than memory should.

Input: the bytes of a frame's part. Output: its schema and the rows it has, at once; its tables, a row group at a time.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from functools import partial
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from scythe_cli.columns.frame_header import ROW
from scythe_cli.core import layout
from scythe_cli.errors import BrokenRun, KeyMissing
from scythe_cli.run import checksum
from scythe_cli.run.parts import GARBAGE, CorruptPart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from scythe_cli.storage.base import Store


EXPANDED_BYTES = 256 << 20
EXPANDED_TIMES = 1000
"""A row group that would take more memory than this, and this many times its packed size, was not written by scythe:
it writes frames in groups of a few megabytes."""


class FramePart:
    """One frame of the specs of a part.

    Args:
        store: rooted at the run.
        key: of the part.
        wanted: the rows, as specs have them, that count; all unless given.

    Attributes:
        schema: its columns, with the frame's header.
        groups: how many row groups it has.
        runs: for each row group, the specs whose rows it has, in turn: `row`, and `start` and `length` of its rows.
        nbytes: the size of the part, packed.

    Raises:
        CorruptPart: at once or from every method, when the bytes are not what was written.
    """

    def __init__(self, store: Store, key: str, wanted: Sequence[int] | None = None) -> None:
        self.address = store.locate(key)
        self._open_file: Callable[[], IO[bytes] | None] = partial(store.open_file, key)
        self._opened: list[IO[bytes]] = []
        weakref.finalize(self, _close_all, self._opened)
        self._wanted = wanted
        self._reading = Lock()  # pyarrow's file forgets for one reader what it has fetched for another
        try:
            data = store.read(key)
            self._checked = checksum.verify(data)
            self._data: bytes | None = data
            self._file: pq.ParquetFile | None = self._open()
            self.schema = self._file.schema_arrow
            self.groups = self._file.num_row_groups
            if ROW not in self.schema.names:
                raise CorruptPart(f"{self.address} has no column {ROW!r}")
            _refuse_bomb(self._file, len(data))
        except KeyMissing as exc:
            raise self._gone() from exc
        except BrokenRun as exc:
            raise CorruptPart(exc.message) from exc
        except GARBAGE as exc:
            raise self._corrupt(exc) from exc
        self.nbytes = len(data)
        self.runs = [self._runs(group) for group in range(self.groups)]

    def _open(self) -> pq.ParquetFile:
        if self._data is not None:
            source: Any = pa.BufferReader(self._data)
        else:
            file = cast("IO[bytes]", self._open_file())
            self._opened.append(file)
            source = pa.PythonFile(cast("Any", file), mode="r")
        again = self._data is None  # what was checked may have changed since
        return pq.ParquetFile(source, page_checksum_verification=again or not self._checked)

    def _close(self) -> None:
        self._file = None
        _close_all(self._opened)

    def _read(self, group: int, columns: list[str] | None = None) -> pa.Table:
        """A row group. A part on the disk is open, and what says where things are in memory, only while it is read."""
        with self._reading:
            return self._read_alone(group, columns)

    def _read_alone(self, group: int, columns: list[str] | None) -> pa.Table:
        try:
            file = self._file = self._file or self._open()
            table = file.read_row_group(group, columns=columns, use_threads=False)
        except KeyMissing as exc:
            raise self._gone() from exc
        except GARBAGE as exc:
            raise self._corrupt(exc) from exc
        if self._data is None:
            self._close()  # a block may have thousands of parts, and each keeps what it has fetched
        return table

    def spill(self) -> None:
        """Keep the packed bytes on the disk alone: in the part's own file, or in a temporary copy of one in a bucket.

        Raises OSError where the disk is full.
        """
        if self._data is None:
            return
        try:
            file = self._open_file()
        except KeyMissing as exc:
            raise self._gone() from exc
        if file is None:
            with tempfile.NamedTemporaryFile(prefix="scythe-frames-", delete=False) as copy:
                weakref.finalize(self, os.unlink, copy.name)
                copy.write(self._data)
            path = Path(copy.name)
            self._open_file = lambda: path.open("rb")
        else:
            file.close()
        self._data = self._file = None

    def share_schema(self, known: pa.Schema | None) -> pa.Schema:
        """Use an equal schema of another part in place of the own: of a wide frame each has a megabyte."""
        if known is not None and known.equals(self.schema, check_metadata=True):
            self.schema = known
        return self.schema

    def _runs(self, group: int) -> np.ndarray[Any, Any]:
        import numpy as np

        column = self._read(group, [ROW]).column(0)
        if column.type != pa.int64() or column.null_count:
            raise CorruptPart(f"{self.address} has a column {ROW!r} without row numbers")
        rows = column.to_numpy()
        starts = np.flatnonzero(np.concatenate([[True], rows[1:] != rows[:-1]])[: len(rows)])
        found = np.empty(len(starts), [("row", "i8"), ("start", "i8"), ("length", "i8")])
        found["row"], found["start"] = rows[starts], starts
        found["length"] = np.diff(starts, append=len(rows))
        return found

    def read(self, group: int) -> pa.Table:
        """A row group. The rows that do not count are among its rows. Safe in any thread."""
        table = self._read(group)
        return table.replace_schema_metadata(self.schema.metadata)  # without the checksum, which no other part has

    def read_all(self) -> None:
        """Read each row group once, to see that it can be: parts of older versions have no checksum of the whole."""
        for group in range(self.groups):
            self.read(group)

    def counts(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Which of these rows count."""
        import numpy as np

        if self._wanted is None:
            return np.ones(len(rows), bool)
        return np.isin(rows, np.asarray(self._wanted, dtype=rows.dtype))

    def explicit_places(self) -> bool:
        """Whether the rows have their place in the spec in a column, as parts of older versions and of some frames."""
        return layout.SORT_SUBINDEX in self.schema.names

    def _gone(self) -> CorruptPart:
        return CorruptPart(f"{self.address} does not exist any more")

    def _corrupt(self, exc: BaseException) -> CorruptPart:
        return CorruptPart(f"{self.address} cannot be read: {exc}")


def _close_all(files: list[IO[bytes]]) -> None:
    while files:
        files.pop().close()


def _refuse_bomb(file: pq.ParquetFile, packed: int) -> None:
    """Raise `ValueError` where a few bytes would become many in memory. Looks at the metadata alone."""
    width = sum(_least_bytes(field.type) for field in file.schema_arrow)
    limit = max(EXPANDED_BYTES, EXPANDED_TIMES * packed)
    for group in range(file.num_row_groups):
        about = file.metadata.row_group(group)
        pages = sum(about.column(at).total_uncompressed_size for at in range(about.num_columns))
        if max(about.num_rows * width, pages) > limit:
            raise ValueError(f"{packed:,} bytes that hold {about.num_rows:,} rows")


def _least_bytes(kind: pa.DataType) -> float:
    """What a value takes in memory at least."""
    try:
        return kind.bit_width / 8
    except ValueError:  # text, lists and the like: an offset each
        return 4

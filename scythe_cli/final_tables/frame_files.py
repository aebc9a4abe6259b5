"""The files of one frame's final table while they are written: one, or several where one would be too large.

Input: rows of the frame with their specs, in order. Output: parquet files in a local folder, cut between specs. Index
columns are constant within a spec: they are made for a whole row group at a time, as dictionaries.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from scythe_cli.columns.frame_stack import NO_FIT
from scythe_cli.core import processes
from scythe_cli.final_tables.frame_rows import WIDE, encodings, repeating
from scythe_cli.final_tables.grouped_file import GroupedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor, Future
    from pathlib import Path

    from scythe_cli.final_tables.frame_rows import Piece
    from scythe_cli.final_tables.grouped_file import EncodedGroup

GROUP_ROWS = 1 << 18
GROUP_BYTES = 64 << 20
STEPS = 16
"""A row group is collected in at least so many steps; a file may end before each of them that begins a spec."""
CHUNKS = 50_000
"""Columns times row groups of a file, at most: each is some 200 bytes that a reader must load first."""
FOOTER = 16 << 20
CHUNK_FOOTER = 270
"""Bytes of the footer that a column of a row group takes, next to its name."""
WITHIN_SPEC = 1.5
"""A row group ends within a spec only if it is so many times larger than others."""
ENCODED = 2
"""Row groups of a table that are encoded at the same time; one of wide frames, which take more memory."""
FULL = 0.9
"""Of the largest file: past this, no small row groups are added to come closer."""


class FrameFiles:
    """Writes pieces to files.

    Args:
        path: names the next file.
        max_file: the size at which a file ends, about.
        build: makes the rows of a row group from pieces.
        metadata: the metadata of a file, when it is ended.
        index: names of the index columns.
        as_written: gives the columns of a row group that was read the types that `build` gives them.
        writers: threads that encode row groups while the next is collected.

    Attributes:
        held: pieces that are not written yet.
        rows: how many were added.
    """

    def __init__(
        self,
        path: Callable[[], Path],
        *,
        max_file: int,
        build: Callable[[list[Piece]], pa.Table],
        metadata: Callable[[], dict[bytes, bytes]],
        index: Sequence[str],
        as_written: Callable[[pa.Table], pa.Table],
        writers: Executor,
    ) -> None:
        self._path = path
        self._max = max_file
        self._group_bytes = min(GROUP_BYTES, max(1 << 12, max_file // 4))
        self._build = build
        self._metadata = metadata
        self._index = index
        self._as_written = as_written
        self._writers = writers
        self._writing: deque[tuple[Future[EncodedGroup], int]] = deque()
        self._ended: list[tuple[Path, dict[bytes, bytes]]] = []
        self._open: _OpenFile | None = None
        self._packed = self._unpacked = 0
        self.held: list[Piece] = []
        self._held_rows = self._held_bytes = 0
        self.rows = 0

    def add(self, piece: Piece) -> None:
        """Append rows."""
        for step in piece.steps(self._group_bytes // STEPS, self._room):
            n_bytes = step.own.nbytes
            if step.first == 0:
                if self._has_a_group():
                    self._flush()
                if self._is_full(n_bytes + step.ahead):
                    self._end()
            self.held.append(step)
            self.rows += step.own.num_rows
            self._held_rows += step.own.num_rows
            self._held_bytes += n_bytes
            if self._held_rows >= WITHIN_SPEC * GROUP_ROWS or self._held_bytes >= WITHIN_SPEC * self._group_bytes:
                self._flush()

    def _has_a_group(self) -> bool:
        """Whether what is held is enough for a row group."""
        return self._held_rows >= GROUP_ROWS or self._held_bytes >= self._group_bytes

    def _room(self, place: int) -> int:
        """Rows until the next row group is whole: specs of one length fill all alike, so more repeats in them.

        The next row has this place in its spec. A row group that is large enough ends with the spec.
        """
        if not self._has_a_group():
            return GROUP_ROWS - self._held_rows
        return 1 if place else GROUP_ROWS

    def _is_full(self, n_bytes: int) -> bool:
        """Whether the open file ends before so many more bytes."""
        file = self._open
        if file is None:
            return False
        groups = file.groups + 1
        if groups * file.width > CHUNKS or file.metadata + groups * file.footer > FOOTER:
            return True
        if file.size() + self._expected(file.unwritten + self._held_bytes + n_bytes) <= self._max:
            return False
        self._flush()
        self._finish_writing()
        return file.size() > FULL * self._max or file.size() + self._expected(n_bytes) > self._max

    def _expected(self, n_bytes: int) -> int:
        """The size that pieces have when they are written, estimated from earlier ones."""
        return n_bytes * self._packed // self._unpacked if self._packed else n_bytes

    def _flush(self) -> None:
        """Begin to write what is held as a row group."""
        if not self.held:
            return
        group = self._build(self.held)
        if len(self._writing) == (ENCODED if group.num_columns <= WIDE else 1):
            self._write_next()
        if self._open is None:
            self._open = self._start(group)
        self._open.unwritten += self._held_bytes
        self._open.groups += 1
        pages = self._open.pages
        self._writing.append((self._writers.submit(pages.encode, group, pages.new_columns(group)), self._held_bytes))
        self.held, self._held_rows, self._held_bytes = [], 0, 0

    def _start(self, group: pa.Table) -> _OpenFile:
        fixed = sum(map(len, self._metadata().values()))
        return _OpenFile(self._path(), group, self._index, fixed)

    def _write_next(self) -> None:
        """Wait for the first of the row groups under way and write it; raise what it failed with."""
        assert self._open is not None  # noqa: S101 - row groups are of a file
        encoded, n_bytes = self._writing.popleft()
        before = self._open.pages.size
        self._open.pages.append(encoded.result())
        self._packed += self._open.pages.size - before
        self._unpacked += n_bytes
        self._open.unwritten -= n_bytes

    def _finish_writing(self) -> None:
        while self._writing:
            self._write_next()

    def _end(self) -> None:
        self._flush()
        self._finish_writing()
        if self._open is not None:
            metadata = self._metadata()
            self._open.pages.close(metadata)
            self._ended.append((self._open.path, metadata))
            self._open = None
            processes.give_memory_back()  # each thread's allocator keeps what its row groups took

    def finish(self, empty: pa.Table) -> list[Path]:
        """End the last file; `empty` is a table without rows for a frame that has none. Returns the files, in order."""
        self._end()
        if not self._ended:
            file = self._start(empty)
            file.write(empty)
            self._open = file
            self._end()
        metadata = self._metadata()
        for at, (path, written) in enumerate(self._ended):
            if written != metadata:  # a later spec had other labels for the same columns
                copy = self._copied(path, self._as_written)
                copy.pages.close(metadata)
                path.unlink()
                self._ended[at] = copy.path, metadata
        return [path for path, _ in self._ended]

    def close(self) -> None:
        """Stop writing; what was not finished is of no use."""
        for encoded, _ in self._writing:
            encoded.exception()
        if self._open is not None:
            self._open.pages.abandon()

    def rewrite(self, change: Callable[[pa.Table], pa.Table]) -> None:
        """Write all files again with each row group changed. Where a value does not fit, the files are as they were."""
        if self._open is None and not self._ended:
            return
        held, self.held = self.held, []
        n_held, self._held_rows, self._held_bytes = (self._held_rows, self._held_bytes), 0, 0
        self._end()
        old, copies = self._ended, list[_OpenFile]()
        try:
            for path, _ in old:
                copies.append(self._copied(path, change))
        except BaseException as exc:
            for copy in copies:
                copy.pages.abandon()
                copy.path.unlink()
            if not isinstance(exc, NO_FIT):
                raise
            last, _ = old.pop()
            self._open = self._copied(last, self._as_written)
            last.unlink()
            raise
        finally:
            self.held, (self._held_rows, self._held_bytes) = held, n_held
        for path, _ in old:
            path.unlink()
        for copy in copies[:-1]:
            copy.pages.close(self._metadata())
        self._ended = [(copy.path, {}) for copy in copies[:-1]]
        self._open = copies[-1]

    def _copied(self, path: Path, change: Callable[[pa.Table], pa.Table]) -> _OpenFile:
        """A new open file with the row groups of another one, changed. Where that raises, no file is left of it."""
        file: _OpenFile | None = None
        try:
            with pq.ParquetFile(path) as source:
                for group in range(source.num_row_groups):
                    table = change(plain(source.read_row_group(group, use_threads=False)))
                    file = file or self._start(table)
                    file.write(table)
        except BaseException:
            if file is not None:
                file.pages.abandon()
                file.path.unlink()
            raise
        assert file is not None  # noqa: S101 - every file has a row group
        return file


class _OpenFile:
    """A file that grows, and what decides when it ends."""

    def __init__(self, path: Path, group: pa.Table, index: Sequence[str], metadata: int) -> None:
        self.path = path
        self.groups = 0
        self.unwritten = 0
        self.width = group.num_columns
        self.footer = sum(len(name) for name in group.column_names) + CHUNK_FOOTER * self.width
        self.metadata = metadata
        options = encodings(group, index)
        self.pages = GroupedFile(path, group.schema, options, repeating=repeating(group, options, index))

    def write(self, group: pa.Table) -> None:
        """Write a row group."""
        self.pages.append(self.pages.encode(group, self.pages.new_columns(group)))
        self.groups += 1

    def size(self) -> int:
        """Bytes without the row groups under way."""
        return self.pages.size + self.metadata + self.groups * self.footer


def plain(table: pa.Table) -> pa.Table:
    """The table without dictionaries."""
    columns: list[Any] = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    fields = [field.with_type(column.type) for field, column in zip(table.schema, columns, strict=True)]
    return pa.table(columns, schema=pa.schema(fields))

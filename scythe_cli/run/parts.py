"""Outcome and frame parts: written during a run, listed and read when it is counted or gathered.

Input: the batches of lanes. Output: objects under `scatter-gather/output`. A part's name says what it holds. It is
written after the files and frames of its specs, so its presence means that they are complete.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scythe_cli.columns import frames
from scythe_cli.core import layout
from scythe_cli.core.layout import PartName
from scythe_cli.errors import BrokenRun, KeyMissing, NotFinishedError, StoreError
from scythe_cli.run import checksum
from scythe_cli.run.outcomes import FRAMES_KEY, KIND, ROW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scythe_cli.storage.base import Store

_T = TypeVar("_T")

GROUP_BYTES = 4 << 20
"""Of a frame's part: a gather reads so much of it at a time."""
PART_BYTES = 16 << 20
"""A block's outcomes are written when they weigh this much, however young they are."""
WRITERS = 4
ENCODERS = 2
"""Parts that are encoded at a time, which takes three times their size; the other writers wait for the store."""
READERS = 2
UPLOADERS = 8


@dataclass
class _Held:
    """Outcomes of one block that are not in the store yet."""

    since: float
    batches: list[tuple[list[str], list[bytes]]] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)
    attempts: list[pa.Table] = field(default_factory=list)
    uploads: list[Future[None]] = field(default_factory=list)
    callbacks: list[Callable[[], None]] = field(default_factory=list)
    weight: int = 0


class PartThreads:
    """The threads that write parts, move output files and read blocks ahead; several writers may share them."""

    def __init__(self) -> None:
        self.encoding = BoundedSemaphore(ENCODERS)
        self.readers = ThreadPoolExecutor(READERS, "scythe-block")
        self.writers = ThreadPoolExecutor(WRITERS, "scythe-part")
        self.uploaders = ThreadPoolExecutor(UPLOADERS, "scythe-upload")

    def close(self) -> None:
        """End the threads. What was not written stays unwritten."""
        self.readers.shutdown(wait=True, cancel_futures=True)
        self.writers.shutdown(wait=True, cancel_futures=True)
        self.uploaders.shutdown(wait=True, cancel_futures=True)


class PartWriter:
    """Collects outcomes block by block and writes them in other threads, so that the supervisor does not wait.

    Args:
        store: rooted at the run.
        generation: 1 for the first allocate, one more for each resume.
        flush: a finished spec is in the store at most so many seconds later.
        series: part of the names, so that two writers over the same range write different parts.
        threads: shared by several writers and closed by their owner; its own unless given.

    Attributes:
        keep_folder: uploads the folder of a failed spec, where these are kept: its path and its key.
    """

    def __init__(
        self, store: Store, *, generation: int, flush: float, series: int = 0, threads: PartThreads | None = None
    ) -> None:
        self._store = store
        self._generation = generation
        self._flush = flush
        self._attempt = series
        self._held: dict[int, _Held] = {}
        self._writing: dict[Future[None], int] = {}
        self.threads = threads or PartThreads()
        self._shared = threads is not None
        self.keep_folder: Callable[[Path, str], None] | None = None
        self._taken: set[tuple[str, int, int, int]] = set()

    def add(self, block: int, names: Sequence[str], uploads: Sequence[tuple[str, str]], buffers: list[bytes]) -> None:
        """Add one batch of a lane.

        Args:
            block: of its rows.
            names: of the frames, in the order of the buffers after the first.
            uploads: output files: local path and key in the run.
            buffers: outcomes, then the frames.
        """
        held = self._of(block)
        held.batches.append((list(names), buffers))
        held.weight += sum(map(len, buffers))
        held.uploads += [self.threads.uploaders.submit(self._upload, local, key) for local, key in uploads]
        if held.weight > PART_BYTES:
            self.write(block)

    def add_table(self, block: int, outcomes: pa.Table) -> None:
        """Add outcomes of specs whose lane died."""
        self._hold(block, self._of(block).tables, outcomes)

    def add_attempts(self, block: int, failures: pa.Table) -> None:
        """Add failures of attempts after which their specs are tried again. They are no outcomes, and are kept."""
        self._hold(block, self._of(block).attempts, failures)

    def _hold(self, block: int, tables: list[pa.Table], table: pa.Table) -> None:
        tables.append(table)
        self._held[block].weight += table.nbytes
        if self._held[block].weight > PART_BYTES:
            self.write(block)

    def add_folder(self, block: int, folder: Path, key: str) -> None:
        """Add what a spec left whose lane died."""
        self._of(block).uploads.append(self.threads.uploaders.submit(self._upload, str(folder), key))

    def _of(self, block: int) -> _Held:
        return self._held.setdefault(block, _Held(time.monotonic()))

    def write(self, block: int, *, then: Callable[[], None] | None = None) -> None:
        """Begin to write what is held of a block; call `then` when it is in the store."""
        held = self._held.pop(block, None) or _Held(0.0)
        if then is not None:
            held.callbacks.append(then)
        self._writing[self.threads.writers.submit(self._write, block, held)] = held.weight

    def tick(self) -> None:
        """Write what is due. Raises what a write failed with: `StoreError` and its like."""
        due = time.monotonic() - self._flush
        for block in [block for block, held in self._held.items() if held.since < due]:
            self.write(block)
        self._raise_errors()

    @property
    def bytes_on_their_way(self) -> int:
        """Of outcomes that the store is to take and has not yet."""
        return sum(weight for future, weight in self._writing.items() if not future.done())

    def finish(self) -> None:
        """Write all that is held and wait until it is in the store."""
        for block in list(self._held):
            self.write(block)
        while self._writing:
            next(iter(self._writing)).exception()
            self._raise_errors()

    def close(self) -> None:
        """End its own threads. What was not written stays unwritten."""
        if not self._shared:
            self.threads.close()

    def _raise_errors(self) -> None:
        done = [future for future in self._writing if future.done()]
        for future in done:
            del self._writing[future]
        for future in done:
            future.result()

    def _upload(self, local: str, key: str) -> None:
        path = Path(local)
        if path.is_dir():
            if self.keep_folder is not None:
                self.keep_folder(path, key)
            return
        self._store.upload(key, path, consume=True)
        path.unlink(missing_ok=True)

    def _write(self, block: int, held: _Held) -> None:
        for upload in held.uploads:
            upload.result()
        if held.attempts:
            self._write_attempts(block, pa.concat_tables(held.attempts))
        decoded = [(names, [decode(buffer) for buffer in buffers]) for names, buffers in held.batches]
        for outcomes, frames_of in compatible(decoded, held.tables):
            self._write_part(block, outcomes, frames_of)
        for callback in held.callbacks:
            callback()

    def _write_part(self, block: int, outcomes: pa.Table, frames_of: dict[str, pa.Table]) -> None:
        if not frames.is_sorted(outcomes.column(ROW)):
            outcomes = outcomes.sort_by(ROW)
        rows = outcomes.column(ROW)
        first, last = rows[0].as_py(), rows[-1].as_py()
        failed = outcomes.num_rows - outcomes.column(KIND).null_count
        name = PartName(block, self._generation, first, last, outcomes.num_rows, failed, self._next(first, last))
        if PartName.parse(name.key) is None:
            raise ValueError(f"nobody would read {name.key}: a row is there twice, or of another block")
        for frame, table in frames_of.items():
            with self.threads.encoding:
                data = encode(in_order(table), group_bytes=GROUP_BYTES)
            self._store.write(name.frame_key(frame), data)
        self._store.write(name.key, encode(outcomes.replace_schema_metadata({FRAMES_KEY: ",".join(frames_of)})))

    def _write_attempts(self, block: int, failures: pa.Table) -> None:
        rows: list[Any] = failures.column(ROW).to_pylist()
        first, last = min(rows), max(rows)
        number = self._next(first, last, of="attempts")
        key = layout.attempts(block, self._generation, first, last, number)
        self._store.write(key, encode(failures))

    def _next(self, first: int, last: int, *, of: str = "outcomes") -> int:
        attempt = self._attempt
        while (of, first, last, attempt) in self._taken:
            attempt += 1
        self._taken.add((of, first, last, attempt))
        return attempt


def compatible(
    batches: list[tuple[list[str], list[pa.Table]]], tables: list[pa.Table]
) -> Iterator[tuple[pa.Table, dict[str, pa.Table]]]:
    """The batches of a block as few parts as their frames' types allow: one, unless specs clash."""
    rest = batches
    outcomes = tables
    while rest or outcomes:
        kept: list[tuple[list[str], list[pa.Table]]] = []
        apart: list[tuple[list[str], list[pa.Table]]] = []
        united: dict[str, pa.Table] = {}
        for names, decoded in rest:
            trial = dict(united)
            for name, table in zip(names, decoded[1:], strict=True):
                both, misfits = frames.stack([trial[name], table] if name in trial else [table])
                if misfits:
                    apart.append((names, decoded))
                    break
                trial[name] = both
            else:
                united = trial
                kept.append((names, decoded))
        yield pa.concat_tables([decoded[0] for _, decoded in kept] + outcomes, promote_options="default"), united
        rest, outcomes = apart, []


def decode(buffer: bytes) -> pa.Table:
    """The table in a buffer of a lane's message."""
    return pa.ipc.open_stream(pa.py_buffer(buffer)).read_all()


def encode(table: pa.Table, *, group_bytes: int | None = None) -> bytes:
    """One table as the bytes of a small parquet file, with a checksum, in row groups of about a size."""
    rows = table.num_rows
    if group_bytes is not None and rows:
        rows = max(1, min(rows, group_bytes * rows // max(1, table.nbytes)))
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="lz4",
        use_dictionary=_worth_a_dictionary(table.schema),  # type: ignore[arg-type]  # the stubs know only bool
        write_page_checksum=True,
        write_statistics=False,
    ) as writer:
        writer.write_table(table, row_group_size=max(1, rows))
        writer.add_key_value_metadata({checksum.KEY: checksum.EMPTY})  # type: ignore[dict-item]  # bytes are fine
    return checksum.fill_in(memoryview(sink.getvalue()))


def _worth_a_dictionary(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if pa.types.is_string(field.type) or field.name == ROW]


def frames_of(outcomes: pa.Table) -> list[str]:
    """The names of the frames that a part's specs have."""
    text = (outcomes.schema.metadata or {}).get(FRAMES_KEY, b"")
    return text.decode(errors="replace").split(",") if text else []


def in_order(table: pa.Table) -> pa.Table:
    """The rows of frames by spec, so that they can be read in that order, a row group at a time."""
    rows = table.column(ROW).to_numpy()
    if not len(rows) or (np.diff(rows) >= 0).all():
        return table
    starts = np.flatnonzero(np.diff(rows, prepend=rows[0] - 1))
    lengths = np.diff(starts, append=len(rows))
    order = np.argsort(rows[starts], kind="stable").tolist()
    return pa.concat_tables([table.slice(int(starts[at]), int(lengths[at])) for at in order])


def read_part(store: Store, key: str, columns: list[str] | None = None) -> pa.Table:
    """One part of outcomes or of a frame. Raises `CorruptPart` when its bytes are not what was written."""
    name = PartName.parse(key)
    try:
        data = store.read(key)
        table = _decoded(data, columns, rows=name.rows if name else None)
    except KeyMissing as exc:
        raise CorruptPart(f"{store.locate(key)} does not exist any more") from exc
    except BrokenRun as exc:
        raise CorruptPart(exc.message) from exc
    except GARBAGE as exc:
        raise CorruptPart(f"{store.locate(key)} cannot be read: {exc}") from exc
    if problem := _disagrees(table, name, columns):
        raise CorruptPart(f"{store.locate(key)} {problem}")
    return table


GARBAGE = (pa.ArrowException, OSError, ValueError, TypeError, LookupError, OverflowError)
"""What reading changed bytes raises: some of them are taken for names, lengths, types."""


def _decoded(
    data: bytes, columns: list[str] | None, *, rows: int | None = None, at_most: int | None = None
) -> pa.Table:
    """The table in some bytes, unpacked only if its metadata say that it has `rows` rows, or `at_most` so many."""
    checked = checksum.verify(data)
    file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=not checked)
    if rows is not None and file.metadata.num_rows != rows:
        raise ValueError(f"it has {file.metadata.num_rows} rows, not {rows}")
    if at_most is not None and file.metadata.num_rows > at_most:
        raise ValueError(f"it has {file.metadata.num_rows} rows, more than the {at_most} of a block")
    table = file.read(columns, use_threads=False)  # without the pool of threads that pyarrow may not outlive
    return table if columns is None else table.select(columns)


def _disagrees(table: pa.Table, name: PartName | None, columns: list[str] | None) -> str | None:
    """How a part differs from what its name says; None when it does not."""
    if columns is None and ROW not in table.column_names:
        return f"has no column {ROW!r}"
    if name is None:
        return None
    if name.rows != table.num_rows:
        return f"has {table.num_rows} rows, not {name.rows}"
    if ROW in table.column_names:
        edges: Any = pc.min_max(table.column(ROW)).as_py()
        if (edges["min"], edges["max"]) != (name.first, name.last):
            return f"has the rows {edges['min']} to {edges['max']}, not {name.first} to {name.last}"
    if KIND in table.column_names and name.failed != name.rows - table.column(KIND).null_count:
        return f"has {name.rows - table.column(KIND).null_count} failures, not {name.failed}"
    return None


def read_block(store: Store, number: int, columns: list[str] | None = None) -> pa.Table:
    """Columns, or all, of one block's specs. Raises `StoreError` when its bytes are not what was written."""
    return _own(store, layout.input_block(number), lambda data: _decoded(data, columns, at_most=layout.BLOCK))


def block_bytes(store: Store, number: int) -> bytes:
    """The parquet of one block's specs, as lanes take it. Raises as `read_block`."""

    def check(data: bytes) -> bytes:
        if not checksum.verify(data):
            _decoded(data, None, at_most=layout.BLOCK)
        elif pq.ParquetFile(pa.BufferReader(data)).metadata.num_rows > layout.BLOCK:
            raise ValueError(f"it has more than the {layout.BLOCK} rows of a block")
        return data

    return _own(store, layout.input_block(number), check)


def read_schema(store: Store) -> pa.Schema:
    """The columns of the run's outcomes. Raises as `read_block`."""
    return _own(store, layout.OUTCOME_SCHEMA, lambda data: _decoded(data, None).schema.remove_metadata())


def _own(store: Store, key: str, read: Callable[[bytes], _T]) -> _T:
    """Read an object that the run needs and cannot make again."""
    try:
        return read(store.read(key))
    except BrokenRun:
        raise
    except GARBAGE as exc:
        raise StoreError(
            f"{store.locate(key)} cannot be read: {exc}",
            hint="restore it from a copy; the run needs it",
        ) from exc


class CorruptPart(NotFinishedError):
    """A part whose bytes are not what was written; its rows count as missing."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message, hint="scythe gather sets it aside; then scythe allocate --resume runs its specs again"
        )

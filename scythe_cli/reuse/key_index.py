"""The specs of an earlier run by a hash of what is compared.

Input: its specs in pieces. Output: for pieces of a new run, the rows that are here too. Of each spec a hash and its row
stay in memory; the columns that decide wait on the disk where they are many.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from scythe_cli.columns.disk_table import DiskTable
from scythe_cli.errors import StoreError
from scythe_cli.reuse.in_turn import in_turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from scythe_cli.reuse.keys import KeyedPiece

    Rows = NDArray[np.int64]

MEMORY_LIMIT = 64 << 20
"""The most bytes of columns that stay in memory."""


class KeyIndex:
    """The specs of an earlier run by their keys.

    Args:
        pieces: of them, in order, at least one.

    Raises:
        StoreError: the temporary folder's disk is full.
    """

    def __init__(self, pieces: Iterable[KeyedPiece]) -> None:
        hashes, known = [], []
        self._columns = _Columns()
        for piece, hashed in in_turn(_with_hashes, ((piece,) for piece in pieces), threads=2):
            hashes.append(hashed)
            known.append(piece.known)
            self._columns.add(piece.columns)
        self._columns.finish()
        rows, self._hashes = _sorted(np.concatenate(hashes))
        self._rows = rows.astype(np.uint32)
        self._known = np.concatenate(known)
        self._used = np.zeros(len(rows), np.uint32)

    def find(self, pieces: Iterable[KeyedPiece]) -> Iterator[tuple[KeyedPiece, Rows, Rows]]:
        """Each piece of a new run with its rows that are here too, and which rows those are.

        The k-th of equal specs is the k-th here. Specs are found by a hash and then compared column by column, so that
        a collision finds nothing.
        """
        self._used[:] = 0
        for piece, hashes in in_turn(_with_hashes, ((piece,) for piece in pieces), threads=2):
            rows, source_rows = self._candidates(hashes)
            kept = piece.known[rows] & self._known[source_rows]
            rows, source_rows = rows[kept], source_rows[kept]
            same = equal(piece.columns.take(rows), self._columns.take(source_rows))
            yield piece, rows[same], source_rows[same]

    def _candidates(self, hashes: NDArray[np.uint64]) -> tuple[Rows, Rows]:
        """The rows of a piece whose hash is here, and for the k-th of a hash the k-th row here."""
        order, ranked = _sorted(hashes)  # neighbours are looked for at neighbouring places
        at = np.searchsorted(self._hashes, ranked)
        here = np.flatnonzero(self._hashes[np.minimum(at, len(self._hashes) - 1)] == ranked)
        ranked, at, order = ranked[here], at[here], order[here]
        starts = np.flatnonzero(np.diff(at, prepend=-1))
        counts = np.diff(starts, append=len(at))
        firsts = at[starts]
        at += np.arange(len(at)) - np.repeat(starts, counts) + self._used[at]
        self._used[firsts] += counts.astype(np.uint32)
        inside = np.minimum(at, len(self._hashes) - 1)
        right = np.flatnonzero((at == inside) & (self._hashes[inside] == ranked))
        source = np.full(len(hashes), -1)
        source[order[right]] = self._rows[inside[right]]
        rows = np.flatnonzero(source >= 0)
        return rows, source[rows]


def _with_hashes(piece: KeyedPiece) -> tuple[KeyedPiece, NDArray[np.uint64]]:
    return piece, piece.hashes()


def _sorted(hashes: NDArray[np.uint64]) -> tuple[Rows, NDArray[np.uint64]]:
    """The rows by their hash, those of equal hash in their order; and the sorted hashes.

    numpy sorts several times faster where it need not keep the order of equals, of which there are few.
    """
    order = np.argsort(hashes)
    ranked = hashes[order]
    same = ranked[1:] == ranked[:-1]
    several = np.flatnonzero(np.append(same, False) | np.append(False, same))
    rows = order[several]
    order[several] = rows[np.lexsort((rows, ranked[several]))]
    return order, ranked


class _Columns:
    """The columns that are compared, to be read at any rows."""

    def __init__(self) -> None:
        self.schema: pa.Schema = pa.schema([])
        self._pieces: list[pa.RecordBatch] = []
        self._disk: DiskTable | None = None
        self._bytes = 0
        self._starts: Any = []
        self._rows = 0

    def add(self, columns: pa.Table) -> None:
        """Append rows."""
        if not self._starts:
            self.schema = columns.schema
        for piece in columns.to_batches():
            self._starts.append(self._rows)
            self._rows += piece.num_rows
            self._pieces.append(piece)
        self._bytes += columns.nbytes
        if self._bytes > MEMORY_LIMIT:
            self._move_to_disk()

    def _move_to_disk(self) -> None:
        with _on_disk():
            self._disk = self._disk or DiskTable(self.schema)
            for piece in self._pieces:
                self._disk.add(dict(zip(piece.schema.names, piece.columns, strict=True)))
        self._pieces.clear()

    def finish(self) -> None:
        """No more rows come."""
        self._starts = np.array(self._starts)
        if self._disk is not None:
            self._move_to_disk()
            with _on_disk():
                self._pieces = self._disk.table().to_batches()

    def take(self, rows: Rows) -> pa.Table:
        """The rows at these places."""
        if not len(rows):
            return self.schema.empty_table()
        pieces = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(pieces, kind="stable")
        numbers, firsts = np.unique(pieces[order], return_index=True)
        found = [
            self._pieces[number].take(pa.array(rows[which] - self._starts[number]))
            for number, which in zip(numbers.tolist(), np.split(order, firsts[1:]), strict=True)
        ]
        if self._disk is not None:
            self._disk.drop_pages()
        taken = pa.Table.from_batches(found, self.schema)
        return taken if (np.diff(order) > 0).all() else taken.take(np.argsort(order))


@contextlib.contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StoreError(
            f"cannot keep the specs of the earlier run in the temporary folder: {exc.strerror or exc}",
            hint="free some space there, or set TMPDIR to a folder with more",
        ) from exc


def equal(new: pa.Table, old: pa.Table) -> NDArray[np.bool_]:
    """Whether rows have equal columns; a missing value equals a missing value."""
    import polars as pl

    ours, theirs = pl.DataFrame(new), pl.DataFrame(old)
    same = np.ones(ours.height, bool)
    for name in ours.columns:
        same &= ours[name].eq_missing(theirs[name]).to_numpy()
    return same

"""What makes two specs the same: every input field, files by name and content.

Input: the checked table of a new run, or the specs of an earlier one. Output: pieces of them in order, with the columns
that are compared, and whether each row can be compared at all: a remote file without a version cannot.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from scythe_cli.columns.rows import RAW_INPUT
from scythe_cli.core import layout
from scythe_cli.reuse.in_turn import in_turn
from scythe_cli.run.input_files import read_inputs
from scythe_cli.run.parts import read_block
from scythe_cli.storage import file_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from scythe_cli.run.run import Run
    from scythe_cli.storage.base import Store

THREADS = 4
PIECE, PIECE_BYTES = 1 << 16, 32 << 20
"""The most rows of a piece, and about the most bytes."""
NOT_COMPARED = frozenset({*layout.INDEX_HEAD, RAW_INPUT})
Meaning = dict[str, str | None]
"""By address: what the file is, or None where this is unknown."""
Identities = dict[str, Meaning]
"""By file field."""
_NOTHING = "_"
"""The one column of a model without fields."""


@dataclass(frozen=True)
class KeyedPiece:
    """Some specs as they are compared.

    Attributes:
        columns: those that are compared, in one chunk; files as what they are, lists, dicts and models as text.
        known: the rows whose files are all known.
        unknown: addresses of the others' files, which nobody can compare.
    """

    columns: pa.Table
    known: NDArray[np.bool_]
    unknown: set[str]

    def __len__(self) -> int:
        return len(self.known)

    def hashes(self) -> NDArray[np.uint64]:
        """Of the rows. Equal rows have equal hashes in any piece, whatever the order of the columns."""
        import polars as pl

        names = sorted(self.columns.column_names)
        return pl.DataFrame(self.columns).select(pl.struct(names).hash(seed=0)).to_series().to_numpy()


Keys = Generator[KeyedPiece, None, None]


def identity(name: str, sha256: str) -> str:
    """What a file is: its own name and its content."""
    return f"{file_names.decode(file_names.as_text(name), sha256)}\0{sha256}"


def remote_identity(address: str, etag: str | None) -> str | None:
    """What a remote file is: its address and version; None where its server gives no version."""
    return f"{address}\0{etag}" if etag else None


def piece_rows(run: Run) -> int:
    """How many rows a piece of this run and of one that is matched with it should have: some blocks."""
    size, first = run.manifest.block_size, read_block(run.store, 0)
    rows = min(PIECE, PIECE_BYTES * first.num_rows // max(1, first.nbytes))
    return max(size, rows // size * size)


def keys_of(specs: pa.Table, files: Identities, *, by_sort_index: bool, rows: int) -> Keys:
    """The keys of the specs of a table, in their order.

    Args:
        specs: the checked table.
        files: what each file of the table is.
        by_sort_index: compare the sort_index too.
        rows: of a piece.
    """
    meaning = {field: _Files(known) for field, known in files.items()}
    pieces = ((specs.slice(at, rows), meaning, by_sort_index) for at in range(0, max(1, specs.num_rows), rows))
    return in_turn(_keyed, pieces, threads=2)


def keys_of_run(run: Run, fields: Iterable[str], *, features: Iterable[str], by_sort_index: bool, rows: int) -> Keys:
    """The keys of the specs of an earlier run.

    Args:
        run: the run.
        fields: the file fields of its input.
        features: the columns that `computed_features` makes, which are not compared.
        by_sort_index: compare the sort_index too.
        rows: of a piece.
    """
    ignored = {*NOT_COMPARED, *features} - {layout.SORT_INDEX}
    names = [name for name in read_block(run.store, 0).column_names if name not in ignored]
    meaning = _files_of_run(run, [field for field in fields if field in names])
    blocks = range(-(-run.total // run.manifest.block_size))
    each = max(1, rows // run.manifest.block_size)

    def piece(numbers: Iterable[int]) -> KeyedPiece:
        specs = pa.concat_tables([read_block(run.store, number, names) for number in numbers])
        return _keyed(specs, meaning, by_sort_index)

    return in_turn(piece, ((blocks[at : at + each],) for at in range(0, len(blocks), each)), threads=THREADS)


def _keyed(specs: pa.Table, files: Mapping[str, _Files], by_sort_index: bool) -> KeyedPiece:
    """The columns that are compared, and which rows can be."""
    columns: dict[str, Any] = {}
    known = np.ones(specs.num_rows, bool)
    unknown: set[str] = set()
    for name in (name for name in specs.column_names if name not in NOT_COMPARED):
        column: Any = specs.column(name)
        if name in files:
            column, here, missing = files[name].translate(column)
            known &= here
            unknown |= missing
        elif pa.types.is_nested(column.type):
            column = pa.array([_as_text(value) for value in column.to_pylist()], pa.string())
        columns[name] = column
    if by_sort_index:
        columns[layout.SORT_INDEX] = specs.column(layout.SORT_INDEX)
    if not columns:
        columns[_NOTHING] = pa.nulls(specs.num_rows)
    return KeyedPiece(pa.table(columns).combine_chunks(), known, unknown)


def _as_text(value: Any) -> str | None:
    """A list, a dict or a model: what is compared of it."""
    return None if value is None else json.dumps(value, default=str, sort_keys=True)


class _Files:
    """What the files of one field are.

    Args:
        known: by address.
        find: what a file is whose address is not there; None where it stays unknown.
    """

    def __init__(self, known: Meaning, find: Callable[[str], str | None] = lambda _: None) -> None:
        self._known = {**known}
        self._find = find
        self._lock = Lock()

    def translate(self, column: Any) -> tuple[Any, NDArray[np.bool_], set[str]]:
        """A column of addresses as what the files are, the rows that are known, and the addresses that are not."""
        encoded = column.combine_chunks().dictionary_encode()
        addresses: list[str] = encoded.dictionary.to_pylist()
        meaning = {address: self._of(address) for address in addresses}
        texts = pa.array([f"\0{address}" if what is None else what for address, what in meaning.items()], pa.string())
        missing = {address for address, what in meaning.items() if what is None}
        unknown = np.array([address in missing for address in addresses] + [False])
        return texts.take(encoded.indices), ~unknown[encoded.indices.fill_null(-1).to_numpy()], missing

    def _of(self, address: str) -> str | None:
        if address not in self._known:
            with self._lock:  # a file is read once
                if address not in self._known:
                    self._known[address] = self._find(address)
        return self._known[address]


def _files_of_run(run: Run, fields: Iterable[str]) -> dict[str, _Files]:
    root = run.manifest.specs_uri.removesuffix(layout.SPECS)
    recorded = read_inputs(run.store)

    def artifact(address: str) -> str | None:
        return _hashed(run.store, address.removeprefix(root)) if address.startswith(root) else None

    found: dict[str, _Files] = {}
    for field in fields:
        known: Meaning = {}
        for record in recorded.get(field, []):
            if "key" in record:
                known[root + record["key"]] = identity(record["name"], record["sha256"])
            else:
                known[record["address"]] = remote_identity(record["address"], record.get("etag"))
        found[field] = _Files(known) if field in recorded else _Files(known, artifact)
    return found


def _hashed(store: Store, key: str) -> str:
    """What an artifact of a run without inputs.yml is: its content is read once."""
    with tempfile.TemporaryDirectory(prefix="scythe-reuse-") as folder:
        path = Path(folder) / "file"
        store.download(key, path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return identity(key.rpartition("/")[2], sha256)

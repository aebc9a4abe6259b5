"""Take rows over from an earlier run: the first work of a new run, and of any resume until it is done.

Input: the plan that the run keeps, and the earlier run. Output: parts of generation 0 with the outcomes and frames of
these rows, renumbered, after copies of their files. Whatever is there already is not done again, so that a process that
was killed loses at most one window of blocks.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from scythe_cli.columns import frames
from scythe_cli.core import layout, processes
from scythe_cli.core.events import TakenOver, TakeOverStarted, ignore
from scythe_cli.core.layout import PartName
from scythe_cli.errors import StoreError
from scythe_cli.reuse.in_turn import in_turn
from scythe_cli.reuse.plan import read_plan
from scythe_cli.run import lease, outcomes, parts
from scythe_cli.run.precedence import list_parts
from scythe_cli.run.run import open_run, spec_id
from scythe_cli.run.state import read_state
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scythe_cli.core.events import Listener
    from scythe_cli.reuse.plan import ReusePlan
    from scythe_cli.run.run import Run
    from scythe_cli.run.state import RunState
    from scythe_cli.storage.base import Store

    Rows = NDArray[np.int64]

GENERATION = 0
"""Of the parts: any later success of the same rows wins."""
THREADS = 8
"""Parts that are read or written, or whose files are copied, at a time."""
WINDOW_BYTES = 48 << 20
"""Outcomes and frames that are read at a time, as those before them were; of two windows one is written meanwhile."""
GROWTH = 8
"""A window has at most so many times the rows of the one before, which may have been smaller than others."""


@dataclass(frozen=True)
class _Part:
    """What is taken from one part of the earlier run: outcomes and frames, with the rows of the new run."""

    outcomes: pa.Table
    frames: dict[str, pa.Table]


def take_over(run: Run, listener: Listener = ignore) -> int:
    """Finish taking over what the run's plan names. Returns how many rows the plan has.

    Raises:
        NotFinishedError: another process works on the run.
        StoreError: a store does not answer; a resume continues.
    """
    plan = read_plan(run)
    if plan is None:
        return 0
    processes.share_heaps()
    there = _taken(run, plan)
    if not there.all():
        with lease.hold(run.store, lambda: None):
            listener(TakeOverStarted(plan.rows.num_rows))
            _TakeOver(run, plan, listener, there).take()
    return plan.rows.num_rows


def _taken(run: Run, plan: ReusePlan) -> NDArray[np.bool_]:
    """By place in the plan, whether its row has a part of generation 0."""
    rows: Rows = plan.rows.column("row").to_numpy()
    there = np.zeros(len(rows), bool)
    for part in list_parts(run.store):
        if part.generation == GENERATION:
            first, last = np.searchsorted(rows, [part.first, part.last + 1])
            if part.rows == last - first:
                there[first:last] = True
            else:  # the frames of its block did not fit into one part
                taken = parts.read_part(run.store, part.key, [outcomes.ROW]).column(outcomes.ROW).to_numpy()
                there[np.searchsorted(rows, taken)] = True
    return there


class _TakeOver:
    """One run's taking over."""

    def __init__(self, run: Run, plan: ReusePlan, listener: Listener, there: NDArray[np.bool_]) -> None:
        self._run = run
        self._plan = plan
        self._listener = listener
        self._there = there
        self._done = int(there.sum())
        self._at_once = layout.BLOCK
        store = open_store(plan.source)
        self._source = _open_at(store, plan.source_id)
        self._state: RunState = read_state(self._source)
        self._rows: Rows = plan.rows.column("row").to_numpy()
        self._source_rows: Rows = plan.rows.column("source_row").to_numpy()
        self._schema = parts.read_schema(run.store)

    def take(self) -> None:
        """Take the rows that are not there, a few blocks at a time: those that follow are read meanwhile."""
        for window in in_turn(self._read_window, self._windows(), threads=1):
            for rows in in_turn(self._write, sorted(window.items()), threads=THREADS):
                self._done += rows
                self._listener(TakenOver(self._done))

    def _windows(self) -> Iterator[tuple[Rows]]:
        """The places of the plan that are not there, those of some blocks at a time."""
        first = 0
        while first < len(self._rows):
            found: list[Rows] = []
            count = 0
            while first < len(self._rows) and (not count or count + layout.BLOCK <= self._at_once):
                block = int(self._rows[first]) // layout.BLOCK
                end = int(np.searchsorted(self._rows, (block + 1) * layout.BLOCK))
                found.append(first + np.flatnonzero(~self._there[first:end]))
                count += len(found[-1])
                first = end
            if count:
                yield (np.concatenate(found),)

    def _read_window(self, places: Rows) -> dict[int, list[_Part]]:
        """What is taken for some blocks, by block."""
        taken: dict[int, list[_Part]] = {}
        without_frames: list[pa.Table] = []
        weight = 0
        for piece in in_turn(self._read_part, self._parts(places), threads=THREADS):
            weight += piece.outcomes.nbytes + sum(frame.nbytes for frame in piece.frames.values())
            if not piece.frames:
                without_frames.append(piece.outcomes)
                continue
            inside: Rows = piece.outcomes.column(outcomes.ROW).to_numpy() // layout.BLOCK
            for block in np.unique(inside).tolist():
                taken.setdefault(block, []).append(_of_block(piece, block))
        for block, table in _by_block(without_frames):
            taken.setdefault(block, []).append(_Part(table, {}))
        wanted = WINDOW_BYTES * len(places) // max(1, weight)
        self._at_once = min(wanted, max(GROWTH * len(places), layout.BLOCK))
        return taken

    def _parts(self, places: Rows) -> Iterator[tuple[PartName, Rows, Rows]]:
        """The parts of the earlier run that have these rows: which of ours they are, and which of theirs."""
        order = places[np.argsort(self._source_rows[places], kind="stable")]
        wanted = self._source_rows[order]
        for block in np.unique(wanted // layout.BLOCK).tolist():
            resolved = self._state.blocks.get(block)
            for part, rows in (resolved.by_part if resolved else {}).items():
                first, last = np.searchsorted(wanted, [part.first, part.last + 1])
                mine, theirs = self._rows[order[first:last]], wanted[first:last]
                if rows is not None:
                    kept = np.isin(theirs, np.array(rows, np.int64))
                    mine, theirs = mine[kept], theirs[kept]
                if len(theirs):
                    yield part, mine, theirs

    def _read_part(self, part: PartName, mine: Rows, theirs: Rows) -> _Part:
        table = parts.read_part(self._source.store, part.key)
        names = (table.schema.metadata or {}).get(outcomes.FRAMES_KEY, b"").decode()
        read = {name: parts.read_part(self._source.store, part.frame_key(name)) for name in names.split(",") if name}
        moved = _renumbered(table, outcomes.ROW, theirs, mine)
        return _Part(moved, {name: _renumbered(frame, frames.ROW, theirs, mine) for name, frame in read.items()})

    def _write(self, block: int, pieces: list[_Part]) -> int:
        """Write the rows of a block, after the files that they name; as few parts as the types of frames allow.

        Returns how many rows that is.
        """
        specs = parts.read_block(self._run.store, block, [layout.SORT_INDEX])
        owned = [self._owned(piece.outcomes, specs, block) for piece in pieces]
        decoded = [
            (list(piece.frames), [table, *piece.frames.values()]) for table, piece in zip(owned, pieces, strict=True)
        ]
        for table, frames_of in parts.compatible(decoded, []):
            ordered = _sorted(table, outcomes.ROW)
            rows = ordered.column(outcomes.ROW)
            name = PartName(block, GENERATION, rows[0].as_py(), rows[-1].as_py(), len(rows), 0, 0)
            for frame, content in frames_of.items():
                self._run.store.write(name.frame_key(frame), parts.encode(_sorted(content, frames.ROW)))
            names: Any = {outcomes.FRAMES_KEY: ",".join(frames_of)}
            self._run.store.write(name.key, parts.encode(ordered.replace_schema_metadata(names)))
        return sum(piece.outcomes.num_rows for piece in pieces)

    def _owned(self, table: pa.Table, specs: pa.Table, block: int) -> pa.Table:
        """Outcomes as the new run's own: its sort_index, its files, and where they come from."""
        rows: Rows = table.column(outcomes.ROW).to_numpy()
        sort_index = specs.column(layout.SORT_INDEX).take(rows - block * layout.BLOCK)
        table = table.set_column(
            table.column_names.index(layout.SORT_INDEX), table.schema.field(layout.SORT_INDEX), sort_index
        )
        files = [field for field in self._run.manifest.files if field in table.column_names]
        if files:
            indexes: list[Any] = sort_index.to_pylist()
            ids = [spec_id(self._run.id, index) for index in indexes]
            for field in files:
                at = table.column_names.index(field)
                pairs = zip(table.column(field).to_pylist(), ids, strict=True)
                moved = [self._file(field, old, new) for old, new in pairs]
                table = table.set_column(at, table.schema.field(at), pa.array(moved, pa.string()))
        if outcomes.REUSED_FROM in table.column_names:
            table = table.drop_columns([outcomes.REUSED_FROM])
        origin = pa.repeat(pa.scalar(self._plan.source_id, pa.string()), table.num_rows)
        return table.append_column(outcomes.REUSED_FROM, origin)

    def _file(self, field: str, address: str | None, workflow_run_id: str) -> str | None:
        """The address of the new run's own copy of one output file."""
        if address is None:
            return None
        root = self._source.manifest.specs_uri.removesuffix(layout.SPECS)
        key = address.removeprefix(root)
        folder = f"{layout.RESULTS}/{field}/"
        if not address.startswith(root) or not key.startswith(folder):
            raise StoreError(
                f"{self._source.id}: {address} is not in the run's own folder {folder}",
                hint="leave out --reuse, or repair the earlier run",
            )
        name = key.removeprefix(folder)
        suffixes = name[name.find(".") :] if "." in name else ""
        target = layout.result(field, workflow_run_id, suffixes)
        _copy(self._source.store, key, self._run.store, target)
        return self._run.store.locate(target)


def _open_at(store: Store, run_id: str) -> Run:
    """The run in a store that is rooted at it."""
    found = open_run(store, "")
    if found.id != run_id:
        raise StoreError(f"{store.locate('')} holds the run {found.id}, not {run_id}")
    return found


def _copy(source: Store, source_key: str, target: Store, key: str) -> None:
    """Copy an object between two stores, inside the storage where they are in one."""
    if target.copy_from(source, source_key, key):
        return
    with tempfile.TemporaryDirectory(prefix="scythe-reuse-") as folder:
        path = Path(folder) / "file"
        source.download(source_key, path)
        target.upload(key, path, consume=True)


def _renumbered(table: pa.Table, column: str, theirs: Rows, mine: Rows) -> pa.Table:
    """The rows of a table that have a number of `theirs`, which is sorted, with the number of `mine` in its place."""
    numbers: Rows = table.column(column).to_numpy()
    chosen, fresh = table, mine
    if not np.array_equal(theirs, numbers):
        places = np.minimum(np.searchsorted(theirs, numbers), len(theirs) - 1)
        kept = np.flatnonzero(theirs[places] == numbers)
        fresh = mine[places[kept]]
        chosen = table if len(kept) == table.num_rows else table.take(kept)
    at = chosen.column_names.index(column)
    return chosen.set_column(at, chosen.schema.field(at), pa.array(fresh, chosen.schema.field(at).type))


def _by_block(tables: list[pa.Table]) -> Iterator[tuple[int, pa.Table]]:
    """The rows of outcomes by block, in order. In a table in another order each part has a few rows of each block."""
    if not tables:
        return
    table = _sorted(pa.concat_tables(tables, promote_options="default"), outcomes.ROW)
    blocks, starts = np.unique(table.column(outcomes.ROW).to_numpy() // layout.BLOCK, return_index=True)
    ends = [*starts[1:].tolist(), table.num_rows]
    for block, start, end in zip(blocks.tolist(), starts.tolist(), ends, strict=True):
        yield block, table.slice(start, end - start)


def _of_block(piece: _Part, block: int) -> _Part:
    """The rows of one block."""

    def only(table: pa.Table, column: str) -> pa.Table:
        inside = table.column(column).to_numpy() // layout.BLOCK == block
        return table if inside.all() else table.filter(pa.array(inside))

    found = {name: only(frame, frames.ROW) for name, frame in piece.frames.items()}
    kept = {name: table for name, table in found.items() if table.num_rows or not piece.frames[name].num_rows}
    return _Part(only(piece.outcomes, outcomes.ROW), kept)


def _sorted(table: pa.Table, column: str) -> pa.Table:
    """Rows in order; those of one spec keep theirs."""
    rows: Rows = table.column(column).to_numpy()
    if (np.diff(rows) >= 0).all():
        return table
    return table.take(np.argsort(rows, kind="stable"))

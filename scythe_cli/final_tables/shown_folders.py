"""What failed specs left, where workers claim rows: two of them may have kept folders of the same spec.

Input: a run whose outcomes are all there. Output: `failed/<sort_index>` has the files of the attempt that counts, and
no claim has a folder.
"""

from __future__ import annotations

import filecmp
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout
from scythe_cli.run.outcomes import KIND, ROW
from scythe_cli.run.parts import read_part

if TYPE_CHECKING:
    from scythe_cli.run.run import Run
    from scythe_cli.run.state import RunState
    from scythe_cli.storage.base import Store

COPIERS = 16


def show_folders(run: Run, state: RunState) -> None:
    """Give each failed spec the folder of the attempt that counts. Repeating it does no harm.

    Raises:
        StoreError: the store refuses or does not answer; a repeat continues.
        CorruptPart: a part cannot be read.
    """
    if not state.failed:
        return
    found = [(name, of) for name in run.store.children(layout.FAILED) if (of := layout.failed_claim(name))]
    if not found:
        return
    counts = _claims(run, state, {sort_index for _, (sort_index, _) in found})

    def show(name: str, sort_index: int, claim: int) -> None:
        folder = f"{layout.FAILED}/{name}"
        if counts.get(sort_index) == claim:
            _replace(run.store, layout.failed(sort_index), folder)
        for entry in list(run.store.list(folder)):
            run.store.delete(entry.key)

    with ThreadPoolExecutor(COPIERS) as pool:
        for _ in pool.map(lambda one: show(one[0], *one[1]), found):
            pass


def _claims(run: Run, state: RunState, sort_indexes: set[int]) -> dict[int, int]:
    """By sort_index, the claim whose failure counts, of specs that failed."""
    import polars as pl

    table = run.store.scan([layout.SPECS]).select(layout.SORT_INDEX).with_row_index(ROW)
    rows: list[Any] = table.filter(pl.col(layout.SORT_INDEX).is_in(sorted(sort_indexes))).collect().rows()
    by_block: dict[int, dict[int, int]] = {}
    for row, sort_index in rows:
        by_block.setdefault(layout.block_of(row), {})[row] = sort_index
    found: dict[int, int] = {}
    for block, wanted in by_block.items():
        for part, own in state.blocks[block].by_part.items():
            here = wanted.keys() & set(range(part.first, part.last + 1) if own is None else own)
            if not here or not part.failed:
                continue
            outcomes = read_part(run.store, part.key, [ROW, KIND])
            failed: list[Any] = outcomes.filter(outcomes.column(KIND).is_valid()).column(ROW).to_pylist()
            claim = part.attempt // layout.CLAIM_PARTS
            found |= {wanted[row]: claim for row in here.intersection(failed)}
    return found


def _replace(store: Store, shown: str, folder: str) -> None:
    """Copy a folder of a failed spec over the one that is shown, and remove from that what is not in it."""
    files = {entry.key.removeprefix(f"{folder}/"): entry.size for entry in store.list(folder)}
    there = {entry.key.removeprefix(f"{shown}/"): entry.size for entry in store.list(shown)}
    if _has_all(store, files, there, shown, folder):  # it was copied, and its removal was interrupted
        return
    for name in files:
        store.copy_from(store, f"{folder}/{name}", f"{shown}/{name}")
    for name in there.keys() - files.keys():
        store.delete(f"{shown}/{name}")


def _has_all(store: Store, files: dict[str, int], there: dict[str, int], shown: str, folder: str) -> bool:
    if any(there.get(name) != size for name, size in files.items()):
        return False
    return all(_are_equal(store, f"{folder}/{name}", f"{shown}/{name}") for name in files)


def _are_equal(store: Store, one: str, other: str) -> bool:
    """Whether two objects have the same bytes; they may be larger than the memory."""
    with tempfile.TemporaryDirectory(prefix="scythe-compare-") as folder:
        copies = [Path(folder, name) for name in ("one", "other")]
        for key, path in zip((one, other), copies, strict=True):
            store.download(key, path)
        return filecmp.cmp(copies[0], copies[1], shallow=False)

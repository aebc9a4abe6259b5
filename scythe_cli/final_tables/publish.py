"""Puts final tables into the store: a file each, or a folder of files where a table is too large for one.

Input: local files. Output: `final/`, which has them and nothing of an earlier gather, and the mark that says so. Where
tables change their form, the mark goes first: without it they may be those of a gather that was killed. Then all files
that are not replaced whole are removed, before the new ones are written. Tables that are a file before and after are
replaced whole, one by one.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.errors import KeyExists
from scythe_cli.run.state import remove_mark, write_mark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scythe_cli.storage.base import Store

UPLOADERS = 4


@dataclass(frozen=True)
class FinishedTable:
    """A final table on this disk.

    Attributes:
        files: its files, in order; at least one.
        rows: their rows together.
    """

    files: Sequence[Path]
    rows: int


def publish(store: Store, tables: Mapping[str, FinishedTable], generation: int) -> None:
    """Replace the run's final tables; the files are given up.

    Args:
        store: rooted at the run.
        tables: by name.
        generation: the run's latest.
    """
    files = {name: dict(_keys(name, table)) for name, table in tables.items()}
    outdated = [key for key in _in_store(store) if key not in _replaced_whole(files)]
    if outdated or any(len(of_table) > 1 for of_table in files.values()):
        remove_mark(store, Mark.GATHERED, generation)
    for key in outdated:
        store.delete(key)
    # without its first file a folder is no table: so that goes first, and comes last
    first = {key: path for of_table in files.values() for key, path in [*of_table.items()][:1]}
    rest = {key: path for of_table in files.values() for key, path in [*of_table.items()][1:]}
    with ThreadPoolExecutor(UPLOADERS) as pool:
        for some in (rest, first):
            list(pool.map(lambda item: store.upload(item[0], item[1], consume=True), some.items()))


def _in_store(store: Store) -> list[str]:
    """What is there of final tables, the first file of a folder before the others."""
    return sorted(entry.key for entry in store.list(layout.FINAL) if layout.final_name(entry.key))


def _replaced_whole(files: Mapping[str, Mapping[str, Path]]) -> set[str]:
    """Tables of one file: an upload replaces the file of an earlier gather at once."""
    return {key for of_table in files.values() if len(of_table) == 1 for key in of_table}


def mark_gathered(
    store: Store, tables: Mapping[str, FinishedTable], generation: int, *, about: Mapping[str, Any]
) -> None:
    """Write the mark that the tables are whole; `about` is what else is known of them."""
    rows = {name: table.rows for name, table in tables.items()}
    note = {
        "tables": list(tables),
        "rows": rows,
        "succeeded": rows[layout.SCALARS],
        "failed": rows[layout.ERRORS],
        **about,
    }
    try:
        write_mark(store, Mark.GATHERED, generation, note)
    except KeyExists:
        return


def _keys(name: str, table: FinishedTable) -> Sequence[tuple[str, Path]]:
    if len(table.files) == 1:
        return [(layout.final(name), table.files[0])]
    return [(layout.final_part(name, at), path) for at, path in enumerate(table.files)]

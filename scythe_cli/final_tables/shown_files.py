"""The output files that the final tables name, where two workers have written files of the same spec.

Input: a listing of `results/`. Output: the same without the files of a worker whose part does not count.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.errors import KeyMissing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scythe_cli.storage.base import Entry, Store

_FILE = re.compile(rf"{layout.RESULTS}/[^/]+/([0-9a-f-]{{36}})(\.[0-9]+)?(?:\.|$)")


def shown_files(store: Store, entries: Iterable[Entry]) -> list[Entry]:
    """Leave out files that no table names, of specs that were claimed again.

    Args:
        store: rooted at the run.
        entries: of `results/`.
    """
    found = list(entries)
    matches = [_FILE.match(entry.key) for entry in found]
    again = {match[1] for match in matches if match and match[2]}
    if not again:
        return found
    named = _named(store)
    return [
        entry
        for entry, match in zip(found, matches, strict=True)
        if match is None or match[1] not in again or entry.key.rpartition("/")[2] in named
    ]


def _named(store: Store) -> set[str]:
    """The names of all files in the table of files."""
    import io

    import polars as pl

    try:
        data = store.read(layout.final(layout.FILE_REFS))
    except KeyMissing:
        return set()
    table = pl.read_parquet(io.BytesIO(data))
    columns = [name for name, kind in table.schema.items() if kind == pl.String]
    return {str(value).rpartition("/")[2] for name in columns for value in table[name].drop_nulls()}

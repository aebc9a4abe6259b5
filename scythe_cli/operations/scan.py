"""Final tables as polars frames.

Input: a run and a table's name. Output: the table, read at once or lazily.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.errors import NotFoundError, did_you_mean

if TYPE_CHECKING:
    import polars as pl

    from scythe_cli.run.run import Run
    from scythe_cli.storage.base import Store


def final_tables(store: Store) -> dict[str, list[str]]:
    """The keys of the files of each final table, by the table's name. A large one is a folder of files.

    Args:
        store: rooted at the run.
    """
    found: dict[str, list[str]] = {}
    for key in sorted(entry.key for entry in store.list(layout.FINAL)):
        name = PurePosixPath(key).relative_to(layout.FINAL).parts[0]
        if name.endswith(layout.TABLE_SUFFIX):
            found.setdefault(name.removesuffix(layout.TABLE_SUFFIX), []).append(key)
    return dict(sorted(found.items()))


def scan_table(run: Run, name: str) -> pl.LazyFrame:
    """One final table; rows are read when the frame is collected, as far as they are needed.

    Raises:
        NotFoundError: no table has this name.
    """
    return run.store.scan(_files(run, name))


def load_table(run: Run, name: str) -> pl.DataFrame:
    """One final table, whole. Raises `NotFoundError` when no table has this name."""
    import polars as pl

    return pl.concat([pl.read_parquet(BytesIO(run.store.read(key))) for key in _files(run, name)])


def _files(run: Run, name: str) -> list[str]:
    known = final_tables(run.store)
    if name not in known:
        there = ", ".join(known) or "none yet"
        raise NotFoundError(f"{run.id} has no final table {name!r} ({there}).{did_you_mean(name, known)}")
    return known[name]

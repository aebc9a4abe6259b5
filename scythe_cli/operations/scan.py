"""Final tables as polars frames.

Input: a run and a table's name. Output: the table, read at once or lazily.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from scythe_cli.core import layout, processes
from scythe_cli.errors import InputError, NotFoundError, did_you_mean

CELL = 8
"""Bytes of a value in memory, at least."""
PACKED = 100
"""No table is so many times larger in memory than its files are."""

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from scythe_cli.run.run import Run
    from scythe_cli.storage.base import Store


def final_tables(store: Store) -> dict[str, list[str]]:
    """The keys of the files of each final table, by the table's name. A large one is a folder of files.

    A folder that a gather has not written whole is not a table.

    Args:
        store: rooted at the run.
    """
    found: dict[str, list[str]] = {}
    for key in layout.without_unfinished(sorted(entry.key for entry in store.list(layout.FINAL))):
        name = PurePosixPath(key).relative_to(layout.FINAL).parts[0]
        if name.endswith(layout.TABLE_SUFFIX):
            found.setdefault(name.removesuffix(layout.TABLE_SUFFIX), []).append(key)
    return dict(sorted(found.items()))


def execution_table(run: Run, tables: Mapping[str, Sequence[str]]) -> str | None:
    """The name of the table of how specs ran: it has an underscore where a frame of an older run is called so.

    Args:
        run: the run.
        tables: as `final_tables` gives them.
    """
    from scythe_cli.final_tables.final_table import execution_columns
    from scythe_cli.run.outcomes import ATTEMPTS, DURATION, STATE

    columns = execution_columns(run.manifest.index)
    always = {columns[name] for name in (STATE, ATTEMPTS, DURATION)}
    for name in (layout.EXECUTION, f"{layout.EXECUTION}_"):
        if name in tables and always <= {*run.store.scan(tables[name]).collect_schema().names()}:
            return name
    return None


def missing_in_tables(run: Run) -> int:
    """How many specs the final tables of a run lack: more than 0 where they are partial. Reads two footers."""
    from scythe_cli.run.run import OriginalRun

    if isinstance(run, OriginalRun) or layout.SCALARS not in final_tables(run.store):
        return 0
    there = sum(run.count(layout.final(name)) for name in (layout.SCALARS, layout.ERRORS))
    return max(0, run.total - there)


def partial_sentence(run: Run) -> str | None:
    """A sentence where the final tables are partial."""
    if not (missing := missing_in_tables(run)):
        return None
    of = f"{run.total:,} specs {'is' if missing == 1 else 'are'}" if run.total != 1 else "1 spec is"
    return f"the tables are partial: {missing:,} of {of} not in them"


def scan_table(run: Run, name: str) -> pl.LazyFrame:
    """One final table; rows are read when the frame is collected, as far as they are needed.

    Raises:
        NotFoundError: no table has this name.
    """
    return run.store.scan(_files(run, name))


def load_table(run: Run, name: str) -> pl.DataFrame:
    """One final table, whole.

    Raises:
        NotFoundError: no table has this name.
        InputError: it does not fit into this machine's memory.
    """
    import polars as pl

    _check_memory(run, name)
    return pl.concat([pl.read_parquet(BytesIO(run.store.read(key))) for key in _files(run, name)])


def _check_memory(run: Run, name: str) -> None:
    """Numbers take 8 bytes, texts more; the footers say how many there are."""
    import polars as pl

    keys = _files(run, name)
    listed = {entry.key: entry.size for entry in run.store.list(layout.FINAL)}
    room = processes.available_memory()
    if sum(listed.get(key, 0) for key in keys) < room // PACKED:
        return
    lazy = run.store.scan(keys)
    rows = int(lazy.select(pl.len()).collect().item())
    needed = rows * len(lazy.collect_schema()) * CELL
    if needed > room:
        raise InputError(
            f"{run.id}: the table {name!r} has {rows:,} rows, about {needed / 1e9:,.0f} GB in memory; "
            f"this machine has {room / 1e9:,.0f} GB left",
            hint=f"run.scan({name!r}) reads only what you ask for",
        )


def _files(run: Run, name: str) -> list[str]:
    known = final_tables(run.store)
    if name not in known:
        there = ", ".join(known) or "none yet"
        raise NotFoundError(f"{run.id} has no final table {name!r} ({there}).{did_you_mean(name, known)}")
    return known[name]

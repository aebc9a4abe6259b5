"""`scan`: one table of many runs, as one lazy frame.

Input: a name, as `open_run` takes it. Output: a polars LazyFrame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.api.places import log_notice
from scythe_cli.core import layout
from scythe_cli.experiment.config import find_storage
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


def scan(
    name: str, table: str = layout.SCALARS, *, versions: str | None = None, storage: str | Path | None = None
) -> pl.LazyFrame:
    """The rows of one table of all runs of a name, with a column `run` that has each run's id.

    It is called `run_` where a field is called `run`. Columns that a run lacks are null there; numbers are widened.
    Nothing is read before the frame is collected, and then only the columns and rows that are needed.

    Args:
        name: of the runs.
        table: scalars, errors, execution, or a user's frame.
        versions: which versions, ">=1.0,<2"; all unless given.
        storage: where runs live; unless it is given, `./experiment.yml`'s, else the environment's.

    Raises:
        NotFoundError: no run of these has the table.
        InputError: two runs have a column of types that do not fit together; both are named.
        ConfigError: `versions` is not a range of versions.
    """
    from scythe_cli.operations.scan_runs import scan_runs

    opened = open_store(find_storage(None if storage is None else str(storage)))
    return scan_runs(opened, name, table, versions, listener=log_notice)

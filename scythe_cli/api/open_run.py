"""`open_run`: a run in any process, by its name or its address.

Input: a RUN as the commands take it. Output: an `ExperimentRun`.
"""

from __future__ import annotations

from pathlib import Path

from scythe_cli.api.experiment import ExperimentRun
from scythe_cli.run import find
from scythe_cli.run import run as runs
from scythe_cli.storage.open_store import open_store as open_storage


def open_run(run: str | Path, *, storage: str | Path | None = None) -> ExperimentRun:
    """Open a run that exists, whichever process made it.

    Args:
        run: `name`, `name/v1`, `name/v1.2.0`, `name/v1.2.0/time`, the run's address or folder, or the path of an
            experiment file. Of several matches the highest version counts, then the latest time.
        storage: where runs live; unless it is given, `./experiment.yml`'s, else the environment's.

    Raises:
        NotFoundError: nothing matches; the message names the nearest runs.
    """
    text = f"{run.expanduser().absolute()}" if isinstance(run, Path) else run
    where = find.parse_where(text, storage=None if storage is None else str(storage))
    store = open_storage(where.storage)
    return ExperimentRun.of(find.find(store, where.pattern) if where.pattern else runs.open_run(store, ""))

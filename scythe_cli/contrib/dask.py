"""Dask as a door: a run of `engine: shared` on the workers of a Dask cluster, wherever that comes from.

Input: a `distributed.Client` and a run. Output: one task on each Dask worker, which is `scythe worker --run`. Dask only
starts them: which worker runs which specs is decided by claims in the run's directory, as without Dask.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scythe_cli.core import processes
from scythe_cli.engines.shared.serve import plan_to_work_on
from scythe_cli.run.find import find, parse_where
from scythe_cli.run.run import open_run
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from scythe_cli.api.experiment import ExperimentRun


def start(client: Any, run: str | ExperimentRun, *, file: str | Path = "experiment.yml") -> list[Any]:
    """Start a worker of a run on each worker that a Dask cluster has now.

    Args:
        client: a `distributed.Client`.
        run: a run of `engine: shared`: what the commands take as RUN, or an `ExperimentRun`.
        file: the experiment file, at this path on all of them; the experiment's code is in its folder.

    Returns:
        A future for each Dask worker: the exit code of its `scythe worker`, 0 when nothing was left.

    Raises:
        NotFoundError: there is no such run.
        ConfigError: its engine is another one.
    """
    path = Path(file).absolute()
    if isinstance(run, str):
        where = parse_where(run)
        store = open_store(where.storage)
        found = find(store, where.pattern) if where.pattern else open_run(store, "")
    else:
        found = run.run
    plan_to_work_on(found)
    workers: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    return [
        client.submit(_work, found.store.address, str(path), one["nthreads"], workers=[name], pure=False)
        for name, one in workers.items()
    ]


def _work(address: str, file: str, lanes: int) -> int:
    """Be a worker until nothing is left; it ends with the Dask worker that started it."""
    command = [sys.executable, "-m", "scythe_cli.cli.app", "worker", file, "--run", address, "--workers", str(lanes)]
    return subprocess.run(
        command, cwd=Path(file).parent, check=False, preexec_fn=processes.set_parent_death_signal
    ).returncode

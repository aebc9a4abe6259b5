"""Parts of a supervisor's world for tests that need no process: a run's work without a store behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from scythe_cli.core.units import MaxFailures
from scythe_cli.lane.job import Job
from scythe_cli.run.parts import PartWriter
from scythe_cli.storage.local import LocalStore
from scythe_cli.supervisor.failure_limits import FailureLimits
from scythe_cli.supervisor.run_progress import RunInfo, RunWork

if TYPE_CHECKING:
    from pathlib import Path


def run_work(folder: Path, *, name: str = "", key: str = "t/1#1") -> RunWork:
    """A run of 1,000 rows."""
    store = LocalStore(str(folder))
    job = Job(key, "t/1", str(folder), str(folder), retries=2, worker="here")
    info = RunInfo(job, store, pa.schema([]), "work (t.py:1)", total=1000, timeout=2.0, memory=1 << 20)
    return RunWork(info, PartWriter(store, generation=1, flush=60.0), FailureLimits(MaxFailures()), name=name)

"""Whole runs for tests: prepared, begun, driven, gathered, in any storage, by the verbs alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from scythe_cli.core import layout
from scythe_cli.core.events import ignore
from scythe_cli.engines.local import LocalEngine
from scythe_cli.experiment import config, experiment
from scythe_cli.operations import allocate
from scythe_cli.operations.resume import remaining, resumed_work
from scythe_cli.preparation.prepare import prepare
from scythe_cli.run.run import open_run
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from scythe_cli.core.events import Event
    from scythe_cli.operations.allocate import Allocation
    from scythe_cli.preparation.prepared import Prepared
    from scythe_cli.run.run import Run

PLANT = Path(__file__).parent / "plant"
LANES = 2


def prepared(storage: str, specs: Any, *, function: str = "plant:plant", **settings: Any) -> Prepared:
    """Check specs, a list of rows or a path. `settings` are those of the file, dots as double underscores."""
    values = {"experiment": function, "storage": storage, "name": "p"}
    values |= {key.replace("__", "."): value for key, value in settings.items()}
    loaded = config.from_values(values, folder=PLANT)
    table = pa.Table.from_pylist(specs) if isinstance(specs, list) else specs
    return prepare(loaded, experiment.load(function, PLANT), specs=table)


def run_all(ready: Prepared, *, listener: Callable[[Event], None] = ignore) -> Allocation:
    """Allocate on this machine and wait for the final tables."""
    run = allocate.begin(ready, open_store(ready.file.storage), listener=listener)
    work = allocate.first_work(run, ready)
    return allocate.finish(work, LocalEngine(LANES).submit(work), listener)


def resume(run: Run) -> Allocation:
    """Run what is missing or failed, as seen by a process that just came."""
    found = reopened(run)
    loaded = experiment.load(found.manifest.entry_point, PLANT)
    work = resumed_work(found, loaded, remaining(found))
    return allocate.finish(work, LocalEngine(LANES).submit(work))


def reopened(run: Run) -> Run:
    """The same run through a new connection."""
    return open_run(open_store(run.store.locate("").removesuffix(f"/{run.id}")), run.id)


def table(run: Run, name: str = layout.SCALARS) -> pl.DataFrame:
    """One final table."""
    return pl.read_parquet(run.store.read(layout.final(name)))


def keys(storage: str) -> list[str]:
    """All objects of a storage."""
    return sorted(entry.key for entry in open_store(storage).list())


@dataclass
class Files:
    """Input files in strange places, each with its content."""

    folder: Path

    def put(self, name: str, text: str) -> Path:
        """One file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

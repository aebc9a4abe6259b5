"""What a run would cost, before it is one: a plan from arithmetic, an estimate from a few specs that really ran.

Input: checked specs. Output: a `Plan` or an `Estimate`. The probe runs in a temporary store that is removed afterwards.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from scythe_cli.columns.column_blocks import own_columns
from scythe_cli.core import layout
from scythe_cli.core.events import ignore
from scythe_cli.core.row_ranges import Range, leaves
from scythe_cli.errors import NotFinishedError, StoreError
from scythe_cli.final_tables.frame_part import FramePart
from scythe_cli.final_tables.frame_rows import WIDE
from scythe_cli.operations.allocate import begin, first_work
from scythe_cli.operations.failure_groups import FailureGroup, failure_groups
from scythe_cli.operations.scan import final_tables
from scythe_cli.order.measured import keep_probe
from scythe_cli.run.claim import next_version
from scythe_cli.run.engine import EndReason
from scythe_cli.run.find import latest
from scythe_cli.run.outcomes import DURATION, ROW
from scythe_cli.run.parts import frames_of, read_part
from scythe_cli.run.run import OriginalRun
from scythe_cli.run.state import read_state
from scythe_cli.storage.local import LocalStore

if TYPE_CHECKING:
    from scythe_cli.core.events import Listener
    from scythe_cli.preparation.prepared import Prepared
    from scythe_cli.run.engine import Engine
    from scythe_cli.run.run import Run
    from scythe_cli.run.state import RunState
    from scythe_cli.run.version import Bump, SemVer
    from scythe_cli.storage.base import Store

CONTROL_OBJECTS = 12
"""Objects of a run besides blocks, parts and files: manifest, frozen file, claim, lease, marks, final tables."""


@dataclass(frozen=True)
class Plan:
    """What an allocate of this experiment would do.

    Attributes:
        run: the id that the run would have, without the time.
        address: its folder, without the time.
        n_specs: number of valid specs.
        n_files: number of local input files to upload.
        n_bytes: their bytes.
        n_remote: number of remote input files that are not copied.
        blocks: number of blocks of 4,096 specs; each task has specs of one block.
        leaves: number of tasks (packets of specs), or null where their size adapts to the run time.
        largest_leaf: most specs in one task.
        objects: least number of objects it would write, without result files.
        wide_frames: number of columns of each frame of the latest run that had more than 1,000.
    """

    run: str
    address: str
    n_specs: int
    n_files: int
    n_bytes: int
    n_remote: int
    blocks: int
    leaves: int | None
    largest_leaf: int
    objects: int
    wide_frames: dict[str, int]


def plan(prepared: Prepared, storage: Store, version: Bump | SemVer) -> Plan:
    """Describe what an allocate would do. Writes nothing."""
    n = prepared.table.rows
    size = prepared.file.run.leaf_size
    whole = [Range(0, n - 1)]
    blocks = -(-n // layout.BLOCK)
    cut = None if isinstance(size, str) else leaves(whole, size)
    run = f"{prepared.name}/{next_version(storage, prepared.name, version)}"
    return Plan(
        run=run,
        address=storage.locate(run),
        n_specs=n,
        n_files=len(prepared.uploads.uploads),
        n_bytes=prepared.n_bytes,
        n_remote=sum(map(len, prepared.remote.values())),
        blocks=blocks,
        leaves=None if cut is None else len(cut),
        largest_leaf=min(n, layout.BLOCK) if cut is None else max(map(len, cut)),
        objects=_objects(prepared),
        wide_frames=_wide_frames_before(storage, prepared.name),
    )


def _wide_frames_before(storage: Store, name: str) -> dict[str, int]:
    """Wide frames of the latest run of a name: a plan runs no spec, so it cannot know better."""
    before = next(iter(latest(storage, 1, only=name)), None)
    if before is None or isinstance(before, OriginalRun):
        return {}
    tables = {table: keys for table, keys in final_tables(before.store).items() if table not in layout.RESERVED_FRAMES}
    return _wide({table: _width(before, keys[0]) for table, keys in tables.items()})


def _width(run: Run, key: str) -> int:
    """How many columns a frame's final table has of its own; 0 where it cannot be read, which hinders no plan."""
    import polars as pl

    try:
        columns = run.store.scan([key]).collect_schema()
    except (StoreError, OSError, pl.exceptions.PolarsError):
        return 0
    return len({*columns} - {*run.manifest.index, layout.SORT_SUBINDEX})


def _wide(widths: dict[str, int]) -> dict[str, int]:
    return {name: width for name, width in sorted(widths.items()) if width > WIDE}


def _objects(prepared: Prepared) -> int:
    """Blocks, a part for each, input files, and what every run has."""
    blocks = -(-prepared.table.rows // layout.BLOCK)
    return CONTROL_OBJECTS + 2 * blocks + len(prepared.uploads.uploads)


@dataclass(frozen=True)
class Estimate:
    """The measured cost of a few specs, and the estimate for all.

    Attributes:
        n_specs: all specs.
        objects: least number of objects that a run of all specs writes, without result files.
        probed: specs that ran.
        failed: how many of them failed.
        seconds: mean time of one spec.
        slowest: longest time of one spec.
        cpu_hours: CPU hours for all specs.
        lanes: worker processes on this machine.
        wall_hours: hours for all specs on this machine.
        failures: what failed, grouped by kind, type and place.
        wide_frames: number of columns of each frame that has more than 1,000.
    """

    n_specs: int
    objects: int
    probed: int
    failed: int
    seconds: float
    slowest: float
    cpu_hours: float
    lanes: int
    wall_hours: float
    failures: list[FailureGroup]
    wide_frames: dict[str, int]


def probe(prepared: Prepared, k: int, engine: Engine, listener: Listener = ignore) -> Estimate:
    """Run `k` specs, spread over the table, on this machine's engine, without a run directory.

    Raises:
        NotFinishedError: it was interrupted.
    """
    n = prepared.table.rows
    k = min(k, n)
    rows = pa.array(sorted({round(at * (n - 1) / max(1, k - 1)) for at in range(k)}))
    specs = prepared.table.table.take(rows)
    table = replace(prepared.table, table=specs)
    features = None if prepared.features is None else prepared.features.take(rows)
    with tempfile.TemporaryDirectory(prefix="scythe-probe-") as folder:
        settings = prepared.file.model_copy(update={"engine": "local", "storage": folder})
        loaded = replace(prepared.loaded, file=settings)
        few = replace(prepared, table=table, features=features, loaded=loaded, reuse=None)
        run = begin(few, LocalStore(Path(folder)))
        with closing(engine.submit(first_work(run, few))) as ticket:
            ended = ticket.wait(listener)
        if ended is not None and ended.reason != EndReason.CANARY:
            raise NotFinishedError(f"the probe ended early: {ended.detail}")
        durations = _durations(run)
        keep_probe(prepared.experiment, specs, durations)
        seconds = [*durations.values()]
        state = read_state(run)
        failures = failure_groups(run, state)
        wide = _wide_frames(run, state)
    lanes = engine.lanes or 1
    mean = sum(seconds) / max(1, len(seconds))
    return Estimate(
        n_specs=n,
        objects=_objects(prepared),
        probed=len(seconds),
        failed=state.failed,
        seconds=mean,
        slowest=max(seconds, default=0.0),
        cpu_hours=mean * n / 3600,
        lanes=lanes,
        wall_hours=mean * n / 3600 / min(n, lanes),
        failures=failures,
        wide_frames=wide,
    )


def _wide_frames(run: Run, state: RunState) -> dict[str, int]:
    widths: dict[str, int] = {}
    for part in state.parts:
        for name in frames_of(read_part(run.store, part.key)):
            schema = FramePart(run.store, part.frame_key(name)).schema
            widths[name] = max(widths.get(name, 0), len(own_columns(schema)))
    return _wide(widths)


def _durations(run: Run) -> dict[int, float]:
    found: dict[int, float] = {}
    for part in read_state(run).parts:
        table = read_part(run.store, part.key, [ROW, DURATION])
        found |= {row[ROW]: row[DURATION] for row in table.to_pylist()}
    return found

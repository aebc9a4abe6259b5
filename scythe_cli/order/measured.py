"""Which specs were measured before: by an earlier generation of the run, by the run it reuses, by a probe.

Input: a run with its specs and parts; a probe's specs and seconds. Output: the rows of the run with the longest first.
A probe's seconds are kept in the cache of this machine, for the runs of the same function.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from scythe_cli.core import layout
from scythe_cli.experiment.field_kinds import file_fields, user_fields
from scythe_cli.order.expected import expected
from scythe_cli.run.outcomes import DURATION, ROW
from scythe_cli.run.parts import CorruptPart, read_block, read_part
from scythe_cli.run.state import read_state
from scythe_cli.storage import cache
from scythe_cli.storage.atomic_files import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from scythe_cli.core.row_ranges import Range
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.run.run import Run

pc: Any = pyarrow.compute
_SECONDS = "_seconds"


def keep_probe(experiment: Experiment, specs: pa.Table, seconds: dict[int, float]) -> None:
    """Keep what a probe has measured, for a run of the same function on this machine; without it a run works too.

    Args:
        experiment: its experiment.
        specs: the checked specs of the probe.
        seconds: by row of these.
    """
    rows = sorted(seconds)
    columns = set(specs.column_names)
    names = [name for name in user_fields(experiment.input_model) if name in columns]
    table = specs.select(names).take(pa.array(rows, pa.int64()))
    table = table.append_column(_SECONDS, pa.array([seconds[row] for row in rows], pa.float64()))
    path = _probe_file(experiment)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with replacing(path) as partial:
            pq.write_table(table, partial)


def _probe_file(experiment: Experiment) -> Path:
    name = hashlib.sha256(f"{experiment.folder}\n{experiment.target}".encode()).hexdigest()[:32]
    return cache.of_machine().root / "probes" / f"{name}.parquet"


def longest_first(run: Run, experiment: Experiment, ranges: list[Range]) -> list[int] | None:
    """The rows to run, those that may take longest first; None where nothing was measured."""
    fields = [*user_fields(experiment.input_model)]
    blocks = -(-run.total // layout.BLOCK)
    specs = pa.concat_tables([read_block(run.store, number, fields) for number in range(blocks)])
    own = _seconds_of_run(run)
    probed = _probed(experiment, specs.schema)
    measured = np.array([*own, *range(specs.num_rows, specs.num_rows + probed.num_rows)], dtype="i8")
    if not len(measured):
        return None
    seconds = np.array([*own.values(), *probed.column(_SECONDS).to_pylist()])
    both = pa.concat_tables([specs, probed.drop_columns([_SECONDS])])
    files = set(file_fields(experiment.input_model))
    columns = [_base_names(both[name]) if name in files else both[name] for name in fields]
    found = expected(columns, both.num_rows, measured, seconds)
    rows = np.concatenate([np.arange(one.first, one.last + 1) for one in ranges])
    order: list[int] = rows[np.argsort(-found[rows], kind="stable")].tolist()
    return order


def _base_names(addresses: Any) -> Any:
    """Files by name: a probe's are where the user has them, a run's are in the run."""
    return pc.replace_substring_regex(addresses, ".*/", "")


def _seconds_of_run(run: Run) -> dict[int, float]:
    """By row, the longest that an attempt took: of earlier generations, and of the run whose rows it has taken over."""
    found: dict[int, float] = {}
    for part in read_state(run).parts:
        try:
            table: Any = read_part(run.store, part.key, [ROW, DURATION])
        except CorruptPart:  # its specs count as missing; the order needs no measurement of them
            continue
        for row, seconds in zip(table.column(ROW).to_pylist(), table.column(DURATION).to_pylist(), strict=True):
            found[row] = max(found.get(row, 0.0), seconds or 0.0)
    return found


def _probed(experiment: Experiment, schema: pa.Schema) -> pa.Table:
    """What the last probe of the function measured; nothing where its specs had other columns."""
    wanted = pa.schema([*schema.remove_metadata(), pa.field(_SECONDS, pa.float64())])
    with suppress(OSError, pa.ArrowException, KeyError), pq.ParquetFile(_probe_file(experiment)) as file:
        return file.read(use_threads=False).select(wanted.names).cast(wanted)
    return wanted.empty_table()

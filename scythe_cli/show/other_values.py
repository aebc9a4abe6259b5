"""Whether one spec of a table as it is now is the spec of the same number in the latest run of that table.

Input: the checked experiment and table, and a number. Output: a sentence where they differ. Reads one block of the run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from scythe_cli.core import layout
from scythe_cli.core.validation_errors import format_value
from scythe_cli.errors import ScytheError
from scythe_cli.experiment.field_kinds import file_fields, user_fields
from scythe_cli.run import find
from scythe_cli.run.input_files import read_inputs
from scythe_cli.run.parts import read_block
from scythe_cli.run.run import DownloadedRun, OriginalRun
from scythe_cli.show.choice import row_of
from scythe_cli.storage import file_names
from scythe_cli.storage.artifacts import artifact_key
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from scythe_cli.preparation.prepared import Prepared
    from scythe_cli.run.input_files import Record
    from scythe_cli.run.run import Run

RUNS = 10
"""Runs that are looked at for one of the same table, latest first."""
FIELDS = 5
"""Fields that the sentence names."""


def other_values(prepared: Prepared, sort_index: int) -> str | None:
    """A sentence where the latest run of the same table has other inputs for this spec, which runs alone now.

    Args:
        prepared: the checked experiment and table.
        sort_index: the spec's.

    Returns:
        None where the inputs are equal, and where no run can be compared.
    """
    ours = prepared.table.table
    at = pc.index(ours.column(layout.SORT_INDEX), sort_index).as_py()
    try:
        run = _latest(prepared)
        if run is None or at < 0:
            return None
        row = row_of(run, sort_index)
        theirs = read_block(run.store, layout.block_of(row)).slice(row % layout.BLOCK, 1)
    except ScytheError:  # no run to compare with: the spec runs alone all the same
        return None
    changed = list(_changed(prepared, run, ours.slice(at, 1), theirs))
    if not changed:
        return None
    more = f" and {len(changed) - FIELDS} more" if len(changed) > FIELDS else ""
    named = f"{', '.join(changed[:FIELDS])}{more}"
    return f"spec {sort_index} of the latest run, {run.id}, has other values than this table: {named}"


def _latest(prepared: Prepared) -> Run | None:
    """The latest run that was allocated from the table, or the design, of these settings."""
    for run in find.latest(open_store(prepared.file.storage), RUNS, only=prepared.name):
        if isinstance(run, OriginalRun | DownloadedRun):
            continue
        specs = run.experiment_file().specs
        if specs is not None and specs == prepared.file.specs:
            return run
    return None


def _changed(prepared: Prepared, run: Run, ours: pa.Table, theirs: pa.Table) -> Iterator[str]:
    """`u_value 3.0 there, 2.0 here` for each field whose value differs."""
    model = prepared.experiment.input_model
    files = file_fields(model)
    known = read_inputs(run.store) if files else {}
    for name in user_fields(model):
        if name not in theirs.column_names or name not in ours.column_names:
            continue
        there, here = theirs.column(name)[0].as_py(), ours.column(name)[0].as_py()
        if name in files and there is not None and here is not None:
            there, here = _file_there(there, known.get(name, []), run), _file_here(here, name, prepared)
            if there == here:
                continue
            there, here = (one[0].rpartition("/")[2] for one in (there, here))
            if there == here:
                yield f"{name} {there} with another content"
                continue
        if repr(there) != repr(here):  # NaN is itself
            yield f"{name} {format_value(there)} there, {format_value(here)} here"


def _file_there(address: str, records: Sequence[Record], run: Run) -> tuple[str, str]:
    """The name and the hash of a file of a run; of one that is not kept in it, the address."""
    key = artifact_key(address, run.id)
    found = next((one["sha256"] for one in records if key is not None and one.get("key") == key), "")
    return (file_names.decode(address.rpartition("/")[2], found), found) if found else (address, "")


def _file_here(address: str, field: str, prepared: Prepared) -> tuple[str, str]:
    """The same of a file that the table names now."""
    path = str((prepared.copies or {}).get(address, address))
    for one in prepared.uploads.uploads:
        if one.field == field and prepared.uploads.keys.get((field, Path(path))) == one.key:
            return file_names.decode(one.key.rpartition("/")[2], one.sha256), one.sha256
    return address, ""

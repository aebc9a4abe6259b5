"""One spec of a run, with all that the run's directory has of it.

Input: a run and places in its table. Output: a `Spec` for each. Reads the blocks that have them and the parts of those
blocks, so it costs the same for a run of ten specs and for one of a million, at work or finished.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout
from scythe_cli.core.printable import text_for_bytes
from scythe_cli.errors import BrokenRun
from scythe_cli.run.state import READERS, read_blocks
from scythe_cli.show.frames import Frame  # at run time: pydantic writes the document by the annotations
from scythe_cli.storage.artifacts import key_in_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from scythe_cli.core.layout import PartName
    from scythe_cli.run.precedence import Resolved
    from scythe_cli.run.run import Run

SUCCEEDED, FAILED, MISSING = "succeeded", "failed", "missing"


@dataclass(frozen=True)
class Spec:
    """One spec: what went in, what became of it.

    Attributes:
        sort_index: its number in the table.
        workflow_run_id: its UUID, the same on every attempt.
        state: succeeded, failed, or missing: it has no result yet.
        inputs: its input fields and computed features. Input files of the run are addresses that open.
        outputs: its scalar outputs; empty unless it succeeded.
        files: the address of each output file by field; of a failed spec, what it left, by the name of the file.
        frames: its frames; null where they were not read, as in a list of specs.
        kind: exception, crash, timeout, memory, invalid_output or lost; null unless it failed.
        error_type: the exception's class, or the kind.
        message: the message of the failure; of a missing spec, why its result cannot be read.
        place: the line in the user's code.
        traceback: of the failure.
        log: what it printed, as far as it is kept.
        attempts: how often it was tried; 0 before the first result.
        start: when its last attempt began, UTC.
        duration: seconds of its last attempt.
        worker: the worker that ran it.
        generation: 1 for the first allocate, one more for each resume; 0 for a spec that was taken over.
        reused_from: the run that it was taken over from.
        command: the command that runs it alone, or null.
    """

    sort_index: int
    workflow_run_id: str
    state: str
    inputs: dict[str, Any]
    outputs: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    frames: list[Frame] | None = None
    kind: str | None = None
    error_type: str | None = None
    message: str | None = None
    place: str | None = None
    traceback: str | None = None
    log: str | None = None
    attempts: int = 0
    start: datetime | None = None
    duration: float | None = None
    worker: str | None = None
    generation: int | None = None
    reused_from: str | None = None
    command: str | None = None


@dataclass(frozen=True)
class Found:
    """A spec, and the part of the run that has its outcome.

    Attributes:
        row: its place in specs.pq.
        frames: the names of the frames of that part's specs.
    """

    spec: Spec
    row: int
    part: PartName | None
    frames: Sequence[str]


def read_specs(run: Run, rows: Sequence[int]) -> list[Found]:
    """The specs at some places of the table, in the order asked for, each once.

    Args:
        run: the run.
        rows: places in specs.pq.

    Raises:
        StoreError: the store does not answer, or the block of a spec cannot be read.
    """
    by_block: dict[int, list[int]] = {}
    for row in dict.fromkeys(rows):
        by_block.setdefault(layout.block_of(row), []).append(row)
    state = read_blocks(run, by_block)
    with ThreadPoolExecutor(READERS) as pool:
        read = pool.map(lambda block: _read_block(run, block, by_block[block], state[block]), by_block)
        found = {one.row: one for some in read for one in some}
        found |= {one.row: one for one in _with_left_files(run, list(found.values()), pool)}
    return [found[row] for row in dict.fromkeys(rows) if row in found]


def _with_left_files(run: Run, found: list[Found], pool: ThreadPoolExecutor) -> list[Found]:
    """The failed specs of which files were kept, with these."""
    failed = [one for one in found if one.spec.state == FAILED]
    kept = {*run.store.children(layout.FAILED)} if failed else set()
    folders = {one.row: _left_folders(one, kept) for one in failed}
    with_files = [one for one in failed if folders[one.row]]
    listed = pool.map(lambda one: _left_files(run, folders[one.row]), with_files)
    return [replace(one, spec=replace(one.spec, files=files)) for one, files in zip(with_files, listed, strict=True)]


def _left_folders(one: Found, kept: set[str]) -> list[str]:
    """Where files of the attempt that counts may be: each claim has its folder until the tables are built."""
    claim = one.part.attempt // layout.CLAIM_PARTS if one.part is not None else None
    folders = [layout.failed(one.spec.sort_index, claim=claim), layout.failed(one.spec.sort_index)]
    return [folder for folder in folders if folder.rpartition("/")[2] in kept]


def _left_files(run: Run, folders: list[str]) -> dict[str, str]:
    """The files of the first of some folders that has any: a folder may stay when its files have been moved."""
    for folder in folders:
        if keys := sorted(entry.key for entry in run.store.list(folder)):
            return {key.removeprefix(f"{folder}/"): run.store.locate(key) for key in keys}
    return {}


def _read_block(run: Run, block: int, rows: list[int], resolved: Resolved) -> list[Found]:
    from scythe_cli.run.parts import read_block

    specs = read_block(run.store, block)
    columns = set(specs.column_names)
    if not {layout.SORT_INDEX, layout.WORKFLOW_RUN_ID} <= columns:
        key = run.store.locate(layout.input_block(block))
        raise BrokenRun(f"{key} has no ids of specs: another program wrote it", hint="restore it from a copy")
    inputs = [name for name in run.manifest.index if name not in layout.INDEX_HEAD and name in columns]
    offset = block * layout.BLOCK
    rows = [row for row in rows if row - offset < specs.num_rows]  # a manifest may say more than there are
    chosen = specs.take([row - offset for row in rows])
    ids: list[Any] = chosen.select([layout.SORT_INDEX, layout.WORKFLOW_RUN_ID]).to_pylist()
    values: list[Any] = chosen.select(inputs).to_pylist()
    outcomes = _outcomes(run, rows, resolved)
    found = []
    for row, head, given in zip(rows, ids, values, strict=True):
        known = {name: _opening(run, text_for_bytes(value)) for name, value in given.items()}
        spec = Spec(head[layout.SORT_INDEX], head[layout.WORKFLOW_RUN_ID], MISSING, known)
        found.append(_with_outcome(run, Found(spec, row, None, ()), outcomes.get(row)))
    return found


_Outcome = tuple["PartName", "dict[str, Any] | str", "Sequence[str]"]
"""The part, its row (or why it cannot be read), and the names of the frames in it."""


def _outcomes(run: Run, rows: list[int], resolved: Resolved) -> dict[int, _Outcome]:
    """The outcomes of some rows of a block that count."""
    wanted = set(rows)
    found: dict[int, _Outcome] = {}
    for part, own in resolved.by_part.items():
        here = wanted.intersection(range(part.first, part.last + 1) if own is None else own)
        if here:
            found |= _of_part(run, part, sorted(here))
    return found


def _of_part(run: Run, part: PartName, rows: list[int]) -> dict[int, _Outcome]:
    from scythe_cli.run.outcomes import OWN_FIELDS, ROW
    from scythe_cli.run.parts import CorruptPart, frames_of, read_part

    try:
        table = read_part(run.store, part.key)
    except CorruptPart as exc:  # the next gather or resume sets it aside, and its specs run again
        return dict.fromkeys(rows, (part, exc.message, ()))
    there = table.schema
    if wrong := [
        one.name for one in OWN_FIELDS if one.name not in there.names or there.field(one.name).type != one.type
    ]:
        message = f"{run.store.locate(part.key)} has no column {wrong[0]!r} of the right type: another program wrote it"
        return dict.fromkeys(rows, (part, message, ()))
    names = [name for name in frames_of(table) if layout.is_frame_name(name)]
    outcomes: list[Any] = only_rows(table, rows).to_pylist()
    return {one[ROW]: (part, one, names) for one in outcomes}


def only_rows(table: pa.Table, rows: list[int]) -> pa.Table:
    """The rows of a part that belong to some specs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from scythe_cli.run.outcomes import ROW

    return table.filter(pc.is_in(table.column(ROW), value_set=pa.array(rows, pa.int64())))


def _with_outcome(run: Run, found: Found, outcome: _Outcome | None) -> Found:
    if outcome is None:
        return found
    from scythe_cli.run import outcomes

    part, row, frames = outcome
    known = {name: getattr(found.spec, name) for name in ("sort_index", "workflow_run_id", "inputs")}
    if isinstance(row, str):
        return Found(Spec(**known, state=MISSING, message=row), found.row, None, ())
    failed = row[outcomes.KIND] is not None
    manifest = run.manifest
    spec = Spec(
        **known,
        state=FAILED if failed else SUCCEEDED,
        outputs={} if failed else {name: text_for_bytes(row.get(name)) for name in manifest.scalars},
        files={name: str(_opening(run, row[name])) for name in manifest.files if row.get(name) is not None},
        kind=row[outcomes.KIND],
        error_type=row[outcomes.ERROR_TYPE],
        message=row[outcomes.MESSAGE],
        place=row[outcomes.PLACE],
        traceback=row[outcomes.TRACEBACK],
        log=row[outcomes.LOG],
        attempts=row[outcomes.ATTEMPTS],
        start=row[outcomes.START],
        duration=row[outcomes.DURATION],
        worker=row[outcomes.WORKER],
        generation=part.generation,
        reused_from=row.get(outcomes.REUSED_FROM),
    )
    return Found(spec, found.row, part, frames)


def _opening(run: Run, value: Any) -> Any:
    """The address of a file of the run as it is now, also where the run was copied or moved."""
    if not isinstance(value, str):
        return value
    key = key_in_run(value, run.id, layout.ARTIFACTS, layout.RESULTS)
    if key is None:
        return value
    try:
        return run.store.locate(key)
    except ValueError:  # somebody else wrote it: it leaves the run
        return value

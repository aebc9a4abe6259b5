"""Which specs of a new run an earlier run has computed already.

Input: a checked table and an earlier run of the same experiment. Output: a `ReusePlan`, which is kept in the new run
before its manifest is written, so that any process can take the rows over.
"""

from __future__ import annotations

import ast
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.core import layout, processes
from scythe_cli.core.layout import Mark
from scythe_cli.errors import InputError, KeyMissing, NotFoundError
from scythe_cli.experiment import provenance
from scythe_cli.experiment.field_kinds import file_fields
from scythe_cli.experiment.registry import TASK_PREFIX
from scythe_cli.reuse.keys import keys_of, keys_of_run, piece_rows
from scythe_cli.reuse.match import match
from scythe_cli.reuse.unknown_files import unknown_files
from scythe_cli.run import find, parts
from scythe_cli.run.code import changed_files
from scythe_cli.run.compatibility import refuse_other_models
from scythe_cli.run.outcomes import KIND, ROW
from scythe_cli.run.run import OriginalRun
from scythe_cli.run.state import read_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.reuse.keys import Identities, Keys
    from scythe_cli.run.run import Run
    from scythe_cli.run.state import RunState
    from scythe_cli.spec_table.table import SpecTable
    from scythe_cli.storage.base import Store

LATEST = "latest"
_SCHEMA = pa.schema([pa.field("row", pa.int64()), pa.field("source_row", pa.int64())])
_BOOKKEEPING = frozenset(layout.INDEX_HEAD)
_SOURCE, _SOURCE_ID = b"scythe.reuse.address", b"scythe.reuse.id"


@dataclass
class ReusePlan:
    """The rows that a new run takes over.

    Attributes:
        source_id: the earlier run's id.
        source: its address.
        rows: columns `row` and `source_row`, sorted by `row`; none after `release`.
        notes: sentences for the user.
    """

    source_id: str
    source: str
    rows: pa.Table
    notes: list[str] = field(default_factory=list)

    def encode(self) -> bytes:
        """The object that the new run keeps."""
        metadata: Any = {_SOURCE: self.source.encode(), _SOURCE_ID: self.source_id.encode()}
        return parts.encode(self.rows.replace_schema_metadata(metadata))

    def release(self) -> None:
        """Drop the rows, which are in the store now: the memory of a run must not grow with its specs."""
        self.rows = _SCHEMA.empty_table()


def read_plan(run: Run) -> ReusePlan | None:
    """The plan that a run keeps, or None."""
    try:
        table = parts.read_part(run.store, layout.REUSE, _SCHEMA.names)
    except parts.CorruptPart as exc:
        if isinstance(exc.__cause__, KeyMissing):
            return None
        raise
    metadata = table.schema.metadata or {}
    return ReusePlan(metadata[_SOURCE_ID].decode(), metadata[_SOURCE].decode(), table)


@dataclass(frozen=True)
class Wanted:
    """The new run, as far as reuse looks at it.

    Attributes:
        experiment: the loaded experiment.
        seed: `run.seed`.
        specs: the checked table.
        files: what each file of the table is.
        features: the columns that `computed_features` makes.
    """

    experiment: Experiment
    seed: int
    specs: SpecTable
    files: Identities
    features: list[str]


def find_source(storage: Store, name: str, reuse: str) -> Run:
    """The earlier run that `--reuse` means: a RUN, or with `latest` the newest run of the name with any success.

    Raises:
        NotFoundError: there is none.
    """
    if reuse != LATEST:
        found = find.find(storage, reuse)
        if isinstance(found, OriginalRun):
            raise InputError(f"{found.id} was made by scythe-engine: its specs cannot be taken over")
        return found
    for run in find.latest(storage, 1_000_000, only=name):
        if isinstance(run, OriginalRun):
            continue
        state = read_state(run)
        if state.done > state.failed:
            return run
    raise NotFoundError(
        f"--reuse latest: no run of {name} in {storage.locate('')} has a spec that succeeded",
        hint="leave out --reuse, or name a run",
    )


def plan_reuse(wanted: Wanted, source: Run, *, changed_code: bool, by_sort_index: bool) -> ReusePlan:
    """Find the specs that the earlier run has computed.

    Args:
        wanted: the new run.
        source: the earlier run; one that is not finished gives what it has.
        changed_code: reuse also what other code computed.
        by_sort_index: a spec is the same only where its sort_index is.

    Raises:
        InputError: the earlier run is of another experiment or other models, or its code is not the code of now.
    """
    experiment = wanted.experiment
    _refuse_other_experiment(source, experiment)
    if not by_sort_index and (read := fields_read(experiment)):
        raise InputError(
            f"{experiment.name} reads {', '.join(read)}, which differ in each run: equal specs may differ in results",
            hint="--reuse-by sort_index reuses specs whose sort_index is the same too",
        )
    refuse_other_models(source, experiment)
    state = read_state(source)
    generations = _generations(source, state, experiment, wanted.seed, changed_code=changed_code)
    files = file_fields(experiment.input_model)
    rows = piece_rows(source)
    old = keys_of_run(source, files, features=wanted.features, by_sort_index=by_sort_index, rows=rows)
    new = _keys_of(wanted, by_sort_index=by_sort_index, rows=rows)
    found = match(new, old, _succeeded(source, state, generations))
    pa.default_memory_pool().release_unused()
    processes.give_memory_back()
    notes = [f"{address} has no version (ETag): specs that name it run again" for address in found.unknown]
    notes += _changed_packages(source, experiment)
    if len(found.rows):
        notes += unknown_files(experiment, wanted.specs.table)
    if (left_out := _left_out(source, state, generations, experiment)) is not None:
        notes.append(left_out)
    notes.append(_summary(source, len(found.rows), wanted.specs.rows))
    pairs = pa.table([pa.array(found.rows), pa.array(found.source_rows)], schema=_SCHEMA)
    return ReusePlan(source.id, source.store.address, pairs, notes)


def _keys_of(wanted: Wanted, *, by_sort_index: bool, rows: int) -> Keys:
    """The keys of the new run; what was read of its table need not stay in memory."""
    with closing(keys_of(wanted.specs.table, wanted.files, by_sort_index=by_sort_index, rows=rows)) as pieces:
        for piece in pieces:
            yield piece
            wanted.specs.drop_pages()


def _summary(source: Run, reused: int, total: int) -> str:
    return f"{reused:,} of {total:,} specs reused from {source.version}, {total - reused:,} to run ({source.id})"


def _left_out(source: Run, state: RunState, generations: set[int], experiment: Experiment) -> str | None:
    """A sentence where rows of the earlier run count for nothing because other code made them, before a resume."""
    if source.manifest.code_version is not None:  # the name of the code counts, and a resume does not change it
        return None
    rows: dict[str, int] = {}
    for number, made in state.rows_by_generation().items():
        code = (state.mark(Mark.GENERATION, number) or {}).get("source_hash", source.manifest.source_hash)
        if number not in generations and code != experiment.source_hash:
            rows[code] = rows.get(code, 0) + made
    if not rows:
        return None
    was = ", ".join(code[:12] for code in rows)
    count = sum(rows.values())
    return (
        f"{count:,} {'spec' if count == 1 else 'specs'} of {source.version} ran with other code ({was} then, "
        f"{experiment.source_hash[:12]} now) and {'is' if count == 1 else 'are'} not reused; --allow-changed-code "
        "reuses their results all the same"
    )


def _refuse_other_experiment(source: Run, experiment: Experiment) -> None:
    theirs = source.manifest.experiment_name.removeprefix(TASK_PREFIX)
    if theirs != experiment.name:
        raise InputError(
            f"{source.id} is a run of {theirs}, not of {experiment.name}",
            hint="--reuse takes a run of the same experiment",
        )


def fields_read(experiment: Experiment) -> list[str]:
    """The bookkeeping fields that the experiment's own source files read, such as `input_spec.sort_index`."""
    found: set[str] = set()
    for file in experiment.modules:
        tree = ast.parse(file.read_bytes())
        found |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & _BOOKKEEPING
    return sorted(found)


def _generations(source: Run, state: RunState, experiment: Experiment, seed: int, *, changed_code: bool) -> set[int]:
    """The generations of the earlier run whose rows may be reused: the same code and the same seed.

    Raises:
        InputError: none has the code of now, and other code is not allowed.
    """
    known: dict[int, tuple[str, int]] = {}
    theirs = source.manifest.code_version
    frozen_seed = source.experiment_file().run.seed
    for number in {part.generation for part in state.parts} | {1}:
        mark = state.mark(Mark.GENERATION, number) or {}
        code = mark.get("source_hash", source.manifest.source_hash)
        known[number] = (code if theirs is None else theirs, mark.get("seed", frozen_seed))
    now = experiment.options.version if theirs is not None else experiment.source_hash
    same_code = {number for number, (code, _) in known.items() if changed_code or code == now}
    if not same_code and theirs is not None:
        raise InputError(
            f"{source.id} ran code of the version {theirs!r}, and this is {now!r}: Register(version=...) names it",
            hint="--allow-changed-code reuses its results all the same",
        )
    if not same_code:
        raise InputError(
            f"the code has changed since {source.id} ({source.manifest.source_hash[:12]} then, "
            f"{experiment.source_hash[:12]} now){_changed_files(source, experiment)}",
            hint="--allow-changed-code reuses its results all the same",
        )
    same = {number for number in same_code if known[number][1] == seed}
    if not same:
        raise InputError(
            f"{source.id} ran with run.seed {known[min(known)][1]}, and this run has {seed}",
            hint="set the same run.seed, or leave out --reuse",
        )
    return same


def _changed_files(source: Run, experiment: Experiment) -> str:
    """The source files that differ from those that the earlier run kept, or "" where it kept none."""
    changed = changed_files(source.store, source.manifest.source_hash, experiment.sources)
    return f": {', '.join(changed)}" if changed else ""


def _changed_packages(source: Run, experiment: Experiment) -> list[str]:
    then, now = source.manifest.packages, provenance.packages(experiment)
    changed = [
        f"{name} {then[name]} then, {now[name]} now" for name in sorted(now) if then.get(name, now[name]) != now[name]
    ]
    return [f"packages have changed since {source.version}: {'; '.join(changed)}"] if changed else []


def _succeeded(source: Run, state: RunState, generations: set[int]) -> NDArray[np.bool_]:
    """By row, whether its outcome is a success of one of these generations."""
    found = np.zeros(source.total, bool)
    for block in state.blocks.values():
        for part, rows in block.by_part.items():
            if part.generation not in generations:
                continue
            chosen = np.arange(part.first, part.last + 1) if rows is None else np.array(rows, np.int64)
            if part.failed:
                table = parts.read_part(state.store, part.key, [ROW, KIND])
                failed = table.filter(pc.is_valid(table.column(KIND))).column(ROW).to_numpy()
                chosen = chosen[~np.isin(chosen, failed)]
            found[chosen[chosen < source.total]] = True
    return found

"""What a generation of a run is to do, as the run's directory has it: the same for every worker that reads it.

Input: the work of an engine. Output: the mark of the generation, with everything a worker needs besides the run
itself. A queue message then names a run, a generation and row numbers.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout, yaml_document
from scythe_cli.core.layout import Mark
from scythe_cli.core.row_ranges import Range, covers, read_ranges, spans, within, write_ranges
from scythe_cli.errors import BrokenRun, InputError, KeyExists, KeyMissing
from scythe_cli.experiment import config
from scythe_cli.run import state
from scythe_cli.run.generation import begin_generation, settings_text
from scythe_cli.run.run import open_run

if TYPE_CHECKING:
    from scythe_cli.experiment.config import ExperimentFile
    from scythe_cli.run.engine import Work
    from scythe_cli.run.run import Run
    from scythe_cli.storage.base import Store


@dataclass(frozen=True)
class GenerationPlan:
    """One generation's work.

    Attributes:
        run: the run.
        generation: 1 for the first allocate, one more for each resume.
        ranges: the rows to run, sorted.
        file: the settings that rule.
        source_hash: of the experiment's code that the generation was allocated with.
        labels: of the workers that may take the leaves.
        done: specs that had their outcome before and keep it.
        failed: how many of those failed.
    """

    run: Run
    generation: int
    ranges: list[Range]
    file: ExperimentFile
    source_hash: str
    labels: dict[str, str]
    done: int
    failed: int

    @property
    def adapts(self) -> bool:
        """Whether leaves may split when their specs turn out slow."""
        return isinstance(self.file.run.leaf_size, str)

    @cached_property
    def leaves(self) -> list[Range]:
        """All leaves, as they start."""
        size = self.file.run.leaf_size
        return covers(self.ranges, layout.BLOCK if isinstance(size, str) else size)

    @property
    def todo(self) -> int:
        """Rows to run."""
        return sum(map(len, self.ranges))

    def rows_in(self, one: Range) -> list[Range]:
        """The rows to run of a stretch."""
        return within(self.ranges, one)

    def children(self, one: Range, depth: int) -> list[list[Range]]:
        """The leaves of a stretch in groups: a group of one is a leaf, a larger one is a node of the next depth."""
        leaves = [leaf for leaf in self.leaves if leaf.first >= one.first and leaf.last <= one.last]
        if len(leaves) <= self.file.tree.factor or depth >= self.file.tree.max_depth:
            return [[leaf] for leaf in leaves]
        return spans(leaves, self.file.tree.factor)


def write_plan(work: Work, *, engine: str, labels: dict[str, str] | None = None) -> GenerationPlan:
    """Begin a generation.

    Args:
        work: what is to run.
        engine: the name of the engine that has it run.
        labels: of the workers that may take its leaves.

    Raises:
        NotFinishedError: another process has begun this generation.
    """
    note = begin_generation(work, engine=engine, lanes=None, labels=labels or {}, rows=write_ranges(work.ranges))
    return _plan(work.run, work.generation, note)


def read_plan(storage: Store, run_id: str, generation: int) -> GenerationPlan:
    """What the directory says.

    Raises:
        InputError: that is not a run id, or the run has no such generation.
        NotFoundError: there is no such run.
    """
    if not layout.is_run_id(run_id):
        raise InputError(f"{run_id[:200]!r} is not a run id")
    run = open_run(storage, run_id)
    if run.id != run_id:
        raise InputError(f"the folder {run_id} holds a copy of {run.id}")
    plan = plan_of(run, generation)
    if plan is None:
        raise InputError(f"{run_id} has no generation {generation}: it was taken back before it began")
    return plan


def plan_of(run: Run, generation: int) -> GenerationPlan | None:
    """What the directory says of a generation; None where it never began, or an older version of scythe wrote less."""
    note = state.read_mark(run.store, Mark.GENERATION, generation) if generation else None
    return None if note is None or "rows" not in note else _plan(run, generation, note)


def _rows(run: Run, generation: int, text: str) -> list[Range]:
    """The rows of a generation: in order, each once, and of the run."""
    ranges: list[Range] = []
    with suppress(ValueError):
        ranges = read_ranges(text)
    edges = [edge for one in ranges for edge in (one.first, one.last + 1)]
    if edges != sorted(edges) or (text and not ranges) or (edges and edges[-1] > run.total):
        where = run.store.locate(layout.mark(Mark.GENERATION, generation))
        raise BrokenRun(f"{where} is empty, cut or changed", hint="put a copy of it back, or remove it")
    return ranges


def _plan(run: Run, generation: int, note: dict[str, Any]) -> GenerationPlan:
    ranges = _rows(run, generation, note["rows"])
    return GenerationPlan(
        run=run,
        generation=generation,
        ranges=ranges,
        file=config.parse(settings_text(note), place=layout.mark(Mark.GENERATION, generation)),
        source_hash=note["source_hash"],
        labels=dict(note["labels"]),
        done=note["done"],
        failed=note["failed"],
    )


@dataclass(frozen=True)
class Split:
    """Where a leaf cut off the rest of its range.

    Attributes:
        keep: what stayed with the leaf; None when nothing did.
        pieces: leaves of their own.
    """

    keep: Range | None
    pieces: list[Range]


def write_split(plan: GenerationPlan, one: Range, split: Split) -> bool:
    """Record a split. False when somebody else recorded one of this range before."""
    note = {"keep": str(split.keep or ""), "pieces": write_ranges(split.pieces)}
    key = layout.split(one.first, one.last, plan.generation)
    try:
        plan.run.store.write(key, yaml_document.write(note).encode(), new=True)
    except KeyExists:
        return False
    return True


def read_split(plan: GenerationPlan, one: Range) -> Split | None:
    """The recorded split of a range."""
    key = layout.split(one.first, one.last, plan.generation)
    try:
        note = yaml_document.read(plan.run.store.read(key).decode(), key).data
    except KeyMissing:
        return None
    keep = read_ranges(note["keep"] or "")
    return Split(keep[0] if keep else None, read_ranges(note["pieces"]))

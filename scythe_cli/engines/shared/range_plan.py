"""How a generation is cut into ranges that workers claim: large ones first, small ones last.

Input: the rows of a generation. Output: `control/plan-<n>.yml`, written once; it is the same for every worker.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.core.row_ranges import Range, cut_at_blocks, read_ranges, write_ranges
from scythe_cli.errors import BrokenRun, KeyExists
from scythe_cli.run import state

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scythe_cli.engines.generation.plan import GenerationPlan
    from scythe_cli.experiment.config import ExperimentFile

SEGMENT = 200
"""Ranges whose claims are in one folder: a listing of it is one page of a bucket."""
LANES, ROWS_A_LANE = 64, 20_000
"""The ranges suit so many lanes, or one for each so many rows. Long ranges are cut further while they run."""
SMALLEST, SMALLEST_SHARE = 1_000, 1_000
"""No range is smaller than so many rows, or than the rows of the run divided by the second, whichever is less; but for
the rest of a block, and with a smaller `run.leaf_size`."""


def cut(ranges: Sequence[Range], *, most: int = layout.BLOCK, least: int = 1) -> list[Range]:
    """Stretches of the rows, each in one block, whose sizes fall towards the end; gaps may lie inside.

    Args:
        ranges: the rows, sorted.
        most: the most rows of a stretch.
        least: the least, where a block has so many left: those of one call of a function of many specs.
    """
    left = total = sum(map(len, ranges))
    lanes = max(LANES, total // ROWS_A_LANE)
    smallest = max(1, min(SMALLEST, total // SMALLEST_SHARE))
    found: list[Range] = []
    for block in _by_block(ranges):
        rest = block
        while rest:
            size = min(most, max(smallest, left // lanes, least))
            taken, rest = _take(rest, size)
            left -= sum(map(len, taken))
            found.append(Range(taken[0].first, taken[-1].last))
    return found


def cut_by_settings(ranges: Sequence[Range], file: ExperimentFile, batch: int | None) -> list[Range]:
    """The stretches that the settings of a run make of its rows; `batch` as in `write_range_plan`."""
    size = file.run.leaf_size
    return cut(ranges, most=layout.BLOCK if isinstance(size, str) else size, least=batch or 1)


def _by_block(ranges: Sequence[Range]) -> Iterator[list[Range]]:
    held: list[Range] = []
    for one in cut_at_blocks(ranges):
        if held and layout.block_of(held[0].first) != layout.block_of(one.first):
            yield held
            held = []
        held.append(one)
    if held:
        yield held


def _take(block: list[Range], size: int) -> tuple[list[Range], list[Range]]:
    """The first rows of a block, and the rest."""
    taken: list[Range] = []
    for at, one in enumerate(block):
        if len(one) >= size:
            taken.append(Range(one.first, one.first + size - 1))
            rest = [Range(one.first + size, one.last)] if len(one) > size else []
            return taken, rest + block[at + 1 :]
        taken.append(one)
        size -= len(one)
    return taken, []


@dataclass(frozen=True)
class RangePlan:
    """The ranges of a generation in the order in which they are offered.

    Attributes:
        segments: neighbours, the claims of which are in one folder.
    """

    segments: list[list[Range]]

    @property
    def ranges(self) -> int:
        """How many there are."""
        return sum(map(len, self.segments))


def write_range_plan(plan: GenerationPlan, batch: int | None = None) -> RangePlan:
    """Cut a generation and write the plan. Where somebody has written one, that counts.

    Args:
        plan: of the generation.
        batch: most specs in one call, of a function of many.
    """
    ranges = cut_by_settings(plan.ranges, plan.file, batch)
    note = {"ranges": write_ranges(ranges), "segment": SEGMENT}
    with suppress(KeyExists):
        state.write_mark(plan.run.store, Mark.PLAN, plan.generation, note)
    return _split(ranges, SEGMENT)


def read_range_plan(plan: GenerationPlan) -> RangePlan | None:
    """The plan of a generation; None where it is not written yet.

    Raises:
        BrokenRun: it is not what was written.
    """
    note = state.read_mark(plan.run.store, Mark.PLAN, plan.generation)
    if note is None:
        return None
    ranges: list[Range] = []
    with suppress(ValueError):
        ranges = read_ranges(note["ranges"])
    edges = [edge for one in ranges for edge in (one.first, one.last + 1)]
    whole = not plan.ranges or (bool(edges) and edges[0] <= plan.ranges[0].first and edges[-1] > plan.ranges[-1].last)
    in_block = all(layout.block_of(one.first) == layout.block_of(one.last) for one in ranges)
    if edges != sorted(edges) or not whole or not in_block or (edges and edges[-1] > plan.run.total):
        where = plan.run.store.locate(layout.mark(Mark.PLAN, plan.generation))
        raise BrokenRun(f"{where} is empty, cut or changed", hint="put a copy of it back, or resume the run")
    return _split(ranges, note["segment"])


def _split(ranges: list[Range], size: int) -> RangePlan:
    return RangePlan([ranges[at : at + size] for at in range(0, len(ranges), size)])

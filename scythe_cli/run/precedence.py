"""Which outcome parts a run has, and which part's outcome counts for each row. Reads names, and opens little.

Input: a listing. Output: a `Resolved` for each block. Nothing heavy is imported until a part must be opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout
from scythe_cli.core.layout import PartName

if TYPE_CHECKING:
    from scythe_cli.storage.base import Store


def list_parts(store: Store, folder: str = layout.OUTPUT) -> list[PartName]:
    """The outcome parts of a run, or of one block's folder, from names alone, in order of block, generation, range."""
    return [part for part, _ in list_parts_and_times(store, folder)]


def list_parts_and_times(store: Store, folder: str = layout.OUTPUT) -> list[tuple[PartName, float]]:
    """The same, each with the time at which it was written, in seconds since 1970."""
    found = ((PartName.parse(entry.key), entry.modified) for entry in store.list(folder))
    return sorted((part, modified) for part, modified in found if part is not None)


def list_attempts(store: Store) -> list[tuple[str, int]]:
    """The objects with failures after which specs were tried again: key and generation."""
    found = ((entry.key, layout.attempts_generation(entry.key)) for entry in store.list(layout.OUTPUT))
    return sorted((key, generation) for key, generation in found if generation is not None)


@dataclass(frozen=True)
class Resolved:
    """Which part's outcome counts for each row of one block.

    Attributes:
        by_part: for each part that wins rows, those rows; None means all of them.
        failed: how many of the winning outcomes are failures.
        rows: how many rows have an outcome.
        corrupt: parts that could not be read.
    """

    by_part: dict[PartName, list[int] | None]
    failed: int
    rows: int
    corrupt: list[PartName]


def countable_by_name(parts: list[PartName]) -> bool:
    """Whether a block's parts can be counted by name: none is sparse, no two overlap."""
    edges = sorted((part.first, part.last) for part in parts)
    return not any(part.sparse for part in parts) and all(before[1] < after[0] for before, after in pairwise(edges))


def resolve(store: Store, parts: list[PartName]) -> Resolved:
    """Decide one block: success over failure, then the newest generation, then the latest claim, then the smallest key.

    So what a worker writes after its rows were claimed again replaces only a failure. A success does not count where a
    gather of its generation, or of a later one, has written a failure: its frame does not fit the others'.
    """
    if countable_by_name(parts):
        return Resolved(dict.fromkeys(parts), sum(p.failed for p in parts), sum(p.rows for p in parts), [])
    import pyarrow.compute as pc

    from scythe_cli.run.outcomes import KIND, ROW
    from scythe_cli.run.parts import CorruptPart, read_part

    found: dict[int, list[tuple[bool, PartName]]] = {}
    corrupt = []
    for part in parts:
        try:
            table = read_part(store, part.key, [ROW, KIND])
        except CorruptPart:
            corrupt.append(part)
            continue
        rows: list[Any] = table.column(ROW).to_pylist()
        failed: list[Any] = pc.is_valid(table.column(KIND)).to_pylist()
        for row, bad in zip(rows, failed, strict=True):
            found.setdefault(row, []).append((bad, part))
    best = {row: _best(outcomes) for row, outcomes in found.items()}
    by_part: dict[PartName, list[int] | None] = {}
    for row, (_, part) in sorted(best.items()):
        by_part.setdefault(part, []).append(row)  # type: ignore[union-attr]  # only lists are put in here
    return Resolved(by_part, sum(bad for bad, _ in best.values()), len(best), corrupt)


def _best(outcomes: list[tuple[bool, PartName]]) -> tuple[bool, PartName]:
    """Of one row: whether it is a failure, and its part."""
    if len(outcomes) == 1:
        return outcomes[0]
    unfit = max((part.generation for _, part in outcomes if part.of_gather), default=-1)
    counting = [(bad, part) for bad, part in outcomes if bad or part.generation > unfit]
    return min(counting, key=_rank)


def _rank(outcome: tuple[bool, PartName]) -> tuple[bool, int, int, str]:
    bad, part = outcome
    return bad, -part.generation, -(part.attempt // layout.CLAIM_PARTS), part.key


def by_block(parts: list[PartName]) -> dict[int, list[PartName]]:
    """Parts grouped by their block, blocks in order."""
    grouped: dict[int, list[PartName]] = {}
    for part in sorted(parts):
        grouped.setdefault(part.block, []).append(part)
    return grouped

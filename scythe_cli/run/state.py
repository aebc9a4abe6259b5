"""What a run's directory says of the run: counts, missing rows, generations, marks. Reads names, and opens little.

Input: a run. Output: a `RunState`. Only blocks whose parts are sparse or overlap have those parts opened.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout, yaml_document
from scythe_cli.core.layout import Mark
from scythe_cli.core.row_ranges import Range, missing, ranges_of
from scythe_cli.errors import BrokenRun, ConfigError, KeyExists, KeyMissing, NotFoundError
from scythe_cli.run import mark_types
from scythe_cli.run.precedence import by_block, list_parts, list_parts_and_times, resolve
from scythe_cli.run.run import refuse_original
from scythe_cli.storage.base import MANIFEST_LIMIT, PLAN_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scythe_cli.core.layout import PartName
    from scythe_cli.run.precedence import Resolved
    from scythe_cli.run.run import Run
    from scythe_cli.storage.base import Store

READERS = 16
_MARK = re.compile(rf"{layout.CONTROL}/([a-z]+)-([0-9]{{1,9}})\.yml")
_ASIDE = re.compile(rf"{layout.CONTROL}/aside-([0-9]{{1,9}})-(.+)\.yml")


@dataclass(frozen=True)
class RunState:
    """A run's state, as its directory has it.

    Attributes:
        total: specs of the run.
        blocks: for each block with parts, which part's outcome counts for each row.
        marks: the numbered objects in control/, by kind: lease, cancel, generation, ended, gathered.
        finals: the names of the final tables that exist.
        written: when each part was written, in seconds since 1970 by the store's clock.
    """

    store: Store
    total: int
    parts: list[PartName]
    blocks: dict[int, Resolved]
    marks: dict[str, list[int]]
    finals: list[str]
    written: dict[PartName, float] = field(default_factory=dict)

    @cached_property
    def done(self) -> int:
        """Specs with an outcome."""
        return sum(block.rows for block in self.blocks.values())

    @cached_property
    def failed(self) -> int:
        """Specs whose outcome is a failure."""
        return sum(block.failed for block in self.blocks.values())

    @property
    def generation(self) -> int:
        """The latest generation that began; 0 before the first."""
        return max(self.marks.get(Mark.GENERATION, [0]))

    @property
    def complete(self) -> bool:
        """Whether every spec has an outcome."""
        return self.done == self.total

    @cached_property
    def corrupt(self) -> list[PartName]:
        """Parts that were opened and could not be read."""
        return [part for block in self.blocks.values() for part in block.corrupt]

    def missing(self) -> list[Range]:
        """The rows without an outcome."""
        covered: list[Range] = []
        for block in self.blocks.values():
            for part, rows in block.by_part.items():
                covered += [Range(part.first, part.last)] if rows is None else ranges_of(rows)
        return missing(self.total, covered)

    def rows_by_generation(self) -> dict[int, int]:
        """How many rows have their outcome from each generation that made any."""
        found: dict[int, int] = {}
        for block in self.blocks.values():
            for part, rows in block.by_part.items():
                found[part.generation] = found.get(part.generation, 0) + (part.rows if rows is None else len(rows))
        return found

    def failed_rows(self) -> list[int]:
        """The rows whose outcome is a failure; opens the parts that have any.

        Raises:
            CorruptPart: one of them cannot be read. It is set aside; the next read counts its rows as missing.
        """
        from scythe_cli.run.outcomes import KIND, ROW
        from scythe_cli.run.parts import CorruptPart, read_part

        found: list[int] = []
        for block in self.blocks.values():
            for part, rows in block.by_part.items():
                if part.failed:
                    try:
                        table = read_part(self.store, part.key, [ROW, KIND])
                    except CorruptPart as exc:
                        set_aside(self.store, part, str(exc))
                        raise
                    wanted = None if rows is None else set(rows)
                    rows_in: list[Any] = table.filter(table.column(KIND).is_valid()).column(ROW).to_pylist()
                    found += [row for row in rows_in if wanted is None or row in wanted]
        return sorted(found)

    def mark(self, kind: Mark, number: int) -> dict[str, Any] | None:
        """The content of one numbered object, or None where there is none."""
        if number not in self.marks.get(kind, []):
            return None
        return read_mark(self.store, kind, number)


def read_state(run: Run) -> RunState:
    """Read a run's state. Costs the pages of two or three listings, and the parts of blocks that need opening."""
    refuse_original(run)
    with ThreadPoolExecutor(READERS) as pool:
        control, listed = pool.submit(_control, run.store), pool.submit(list_parts_and_times, run.store)
        final = pool.submit(lambda: [entry.key for entry in run.store.list(layout.FINAL)])
        marks, aside = control.result()
        written = {part: at for part, at in listed.result() if (str(part.block), part.file) not in aside}
        parts = list(written)
        grouped = by_block(parts)
        settled = pool.map(lambda some: resolve(run.store, some), grouped.values())
        blocks = dict(zip(grouped, settled, strict=True))
    finals = sorted({name for key in layout.without_unfinished(final.result()) if (name := layout.final_name(key))})
    return RunState(run.store, run.total, parts, blocks, marks, finals, written)


def read_blocks(run: Run, numbers: Iterable[int]) -> dict[int, Resolved]:
    """Which parts count for the rows of some blocks. Costs a listing for each of them, however large the run is."""
    refuse_original(run)
    wanted = sorted(set(numbers))
    with ThreadPoolExecutor(READERS) as pool:
        _, aside = _control(run.store)
        listed = pool.map(lambda number: list_parts(run.store, layout.output_block(number)), wanted)
        parts = [[part for part in found if (str(part.block), part.file) not in aside] for found in listed]
        return dict(zip(wanted, pool.map(lambda some: resolve(run.store, some), parts), strict=True))


def refuse_removed(run: Run, marks: Mapping[str, Sequence[int]]) -> None:
    """Raise `NotFoundError` for a run whose removal has begun: nothing can be made of what is left."""
    if marks.get(Mark.REMOVED):
        raise NotFoundError(f"{run.id} is partly removed", hint=f"to remove the rest: scythe remove {run.id}")


def list_marks(store: Store) -> dict[str, list[int]]:
    """The numbers of the objects in control/, by kind. Costs one short listing."""
    return _control(store)[0]


def _control(store: Store) -> tuple[dict[str, list[int]], set[tuple[str, str]]]:
    marks: dict[str, list[int]] = {}
    aside: set[tuple[str, str]] = set()
    for entry in store.list(layout.CONTROL):
        if found := _MARK.fullmatch(entry.key):
            marks.setdefault(found[1], []).append(int(found[2]))
        elif found := _ASIDE.fullmatch(entry.key):
            aside.add((found[1], found[2]))
    return marks, aside


def set_aside(store: Store, part: PartName, why: str) -> None:
    """Have a part that cannot be read count for nothing from now on; its rows are missing again."""
    note = yaml_document.write({"part": part.key, "why": why}).encode()
    try:
        store.write(layout.aside(part), note, new=True)
    except KeyExists:
        return


def write_mark(store: Store, kind: Mark, number: int, content: dict[str, Any]) -> None:
    """Put a numbered object. Raises `KeyExists` when somebody else has."""
    store.write(layout.mark(kind, number), yaml_document.write(content).encode(), new=True)


def remove_mark(store: Store, kind: Mark, number: int) -> None:
    """Take away a numbered object whose word does not hold any more; one that is not there is no error."""
    store.delete(layout.mark(kind, number))


def read_mark(store: Store, kind: Mark, number: int) -> dict[str, Any] | None:
    """One numbered object, or None. Raises `BrokenRun` when it is not what somebody wrote."""
    key = layout.mark(kind, number)
    try:
        limit = PLAN_LIMIT if kind in {Mark.GENERATION, Mark.PLAN} else MANIFEST_LIMIT
        found = yaml_document.read(store.read(key, limit=limit).decode(), key).data
        mark_types.check(kind, found)
    except KeyMissing:
        return None
    except (ConfigError, ValueError) as exc:
        hint = (
            "if no process works on the run, remove this file"
            if kind is Mark.LEASE
            else "restore it from a copy, or remove it"
        )
        raise BrokenRun(f"{store.locate(key)} is empty, cut or changed", hint=hint) from exc
    return mark_types.as_lines(found)

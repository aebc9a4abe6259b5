"""How far a generation is, from the names of its parts; a part that is sparse is opened once.

Input: a plan. Output, at each look: the rows that have no outcome of this generation yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.core.layout import PartName
from scythe_cli.core.row_ranges import Range, ranges_of, subtract
from scythe_cli.errors import KeyMissing
from scythe_cli.run.outcomes import ERROR_TYPE, KIND, PLACE, ROW
from scythe_cli.run.parts import CorruptPart, read_part
from scythe_cli.supervisor.failure_limits import CANARY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scythe_cli.engines.generation.plan import GenerationPlan


@dataclass(frozen=True)
class Snapshot:
    """One look at a generation.

    Attributes:
        missing: rows without an outcome of it, sorted.
        done: rows with one.
        failed: of those, about how many failed; a row that two workers ran may count twice.
        marks: the names in the control folder: "cancel-1", "ended-1".
    """

    missing: list[Range]
    done: int
    failed: int
    marks: frozenset[str]

    @property
    def left(self) -> int:
        """Rows without an outcome."""
        return sum(map(len, self.missing))


@dataclass
class GenerationProgress:
    """Remembers what it has opened, so that a look costs two listings."""

    plan: GenerationPlan
    _rows: dict[PartName, list[Range]] = field(default_factory=dict)

    def read(self) -> Snapshot:
        """Read the directory now."""
        store = self.plan.run.store
        prefix, suffix = f"{layout.CONTROL}/", ".yml"
        marks = frozenset(entry.key.removeprefix(prefix).removesuffix(suffix) for entry in store.list(layout.CONTROL))
        parts = self._parts(layout.OUTPUT, marks)
        covered = [one for part in parts for one in self._covered(part)]
        missing = subtract(self.plan.ranges, covered)
        done = self.plan.todo - sum(map(len, missing))
        return Snapshot(missing, done, min(done, sum(part.failed for part in parts)), marks)

    def left_of(self, one: Range) -> list[Range]:
        """The rows of one leaf that are still to run; costs one short listing, and a look at each part of the leaf."""
        parts = [part for part in self._touching(one) if not self._is_aside(part)]
        return subtract(self.plan.rows_in(one), [row for part in parts for row in self._covered(part)])

    def failed_in(self, one: Range) -> int:
        """About how many rows of a leaf have failed; costs one short listing."""
        return sum(part.failed for part in self._touching(one))

    def _touching(self, one: Range) -> list[PartName]:
        parts = self._parts(f"{layout.OUTPUT}/{layout.block_of(one.first)}", frozenset())
        return [part for part in parts if part.first <= one.last and part.last >= one.first]

    def _is_aside(self, part: PartName) -> bool:
        try:
            self.plan.run.store.stat(layout.aside(part))
        except KeyMissing:
            return False
        return True

    def canary(self, look: Snapshot) -> str | None:
        """Why a run whose first specs all failed alike should stop, None when it should not."""
        if look.failed < look.done or look.done < CANARY:
            return None
        kinds: set[tuple[str, str, str]] = set()
        for part in self._parts(layout.OUTPUT, look.marks):
            table = read_part(self.plan.run.store, part.key, [KIND, ERROR_TYPE, PLACE])
            kinds |= set(zip(*(table.column(name).to_pylist() for name in (KIND, ERROR_TYPE, PLACE)), strict=True))
        if len(kinds) != 1:
            return None
        kind, error_type, place = kinds.pop()
        where = f" in {place}" if place else ""
        return f"the first {look.done} specs all failed alike: {error_type} ({kind}){where}"

    def _parts(self, folder: str, marks: Iterable[str]) -> list[PartName]:
        aside = set(marks)
        found = (PartName.parse(entry.key) for entry in self.plan.run.store.list(folder))
        plan = self.plan
        mine = [p for p in found if p is not None and p.generation == plan.generation and not p.of_gather]
        return [part for part in mine if f"aside-{part.block}-{part.file}" not in aside]

    def _covered(self, part: PartName) -> list[Range]:
        if not part.sparse:
            return [Range(part.first, part.last)]
        if part not in self._rows:
            try:
                rows = read_part(self.plan.run.store, part.key, [ROW]).column(ROW)
            except CorruptPart:
                return []
            self._rows[part] = ranges_of(sorted({int(row) for row in rows.to_numpy()}))
        return self._rows[part]

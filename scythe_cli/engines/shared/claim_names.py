"""The objects by which workers share a run without a server, and what each name says.

Input: names. Output: names. Whatever a worker has to know of the others is in the names, so that one listing shows it:
which rows are claimed, for which time, finished, given back, or cut off for others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from scythe_cli.core import layout
from scythe_cli.core.row_ranges import Range

CLAIMED = frozenset({"shared", "slurm"})
"""Engines whose workers claim rows in the run's directory."""
_CLAIM = re.compile(r"([0-9]{1,18})-([0-9]{1,18})-c([0-9]{1,9})(?:-([a-z]+)((?:-[0-9]{1,18})*))?\.yml", re.ASCII)


class Step(StrEnum):
    """What became of a claim.

    DONE: its rows have their outcomes; with how many, and how many of them failed.
    FREE: its holder will not run the rest; anybody may claim the rows again.
    CUT: it keeps its rows up to one, and those from the next up to another may be claimed; with these two.
    BEGUN: it is about to run one row of a range over which a worker died; with the row.
    """

    CLAIM = ""
    DONE = "done"
    FREE = "free"
    CUT = "cut"
    BEGUN = "begun"


_NUMBERS = {Step.CLAIM: 0, Step.DONE: 2, Step.FREE: 0, Step.CUT: 2, Step.BEGUN: 1}


@dataclass(frozen=True)
class ClaimName:
    """The name of one object of a claim.

    Attributes:
        rows: the range as it was offered, in one block.
        number: 1 for the first claim of the range, one more each time it is claimed again.
        step: what the object says of the claim.
        numbers: what it says more; see `Step`.
    """

    rows: Range
    number: int
    step: Step = Step.CLAIM
    numbers: tuple[int, ...] = ()

    @property
    def file(self) -> str:
        """The name, without its folder."""
        more = "".join(f"-{number}" for number in self.numbers)
        step = f"-{self.step}" if self.step else ""
        return f"{self.rows}-c{self.number}{step}{more}.yml"

    def key(self, generation: int, segment: int) -> str:
        """Where it is."""
        return f"{layout.claims(generation, segment)}/{self.file}"

    @classmethod
    def parse(cls, file: str) -> ClaimName | None:
        """The claim that a name means; None for a name that no worker writes."""
        found = _CLAIM.fullmatch(file)
        if found is None:
            return None
        first, last, number = int(found[1]), int(found[2]), int(found[3])
        numbers = tuple(int(one) for one in (found[5] or "").split("-")[1:])
        if (found[4] or "") not in _STEPS or first > last or layout.block_of(first) != layout.block_of(last):
            return None
        step = Step(found[4] or "")
        if len(numbers) != _NUMBERS[step] or not number:
            return None
        name = cls(Range(first, last), number, step, numbers)
        return name if name._is_possible() else None

    def _is_possible(self) -> bool:
        """Whether the numbers fit the range."""
        if self.step is Step.CUT:
            return self.rows.first <= self.numbers[0] < self.numbers[1] <= self.rows.last
        if self.step is Step.BEGUN:
            return self.rows.first <= self.numbers[0] <= self.rows.last
        return self.step is not Step.DONE or self.numbers[1] <= self.numbers[0] <= len(self.rows)


_STEPS = {step.value for step in Step}

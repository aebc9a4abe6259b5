"""What is claimed, finished and free of a generation, as listings of its claims say.

Input: a plan, and listings of names. Output: the ranges that a worker may claim, and the counts of those finished. A
segment whose ranges are all finished is not listed again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.core.row_ranges import Range, within
from scythe_cli.engines.shared.claim_names import ClaimName, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from scythe_cli.engines.shared.range_plan import RangePlan
    from scythe_cli.storage.base import Store


@dataclass
class Offer:
    """A range that workers claim.

    Attributes:
        rows: as it was offered.
        segment: where its claims are.
        claims: the number of the latest claim; 0 before the first.
        freed: the claims that were given back.
        ended: the claims whose holders noted the end.
        done: rows with an outcome, and how many of them failed; None before the end.
        cuts: where its holders cut off the rest, and the last row of that.
        begun: by claim, the rows that were begun one at a time.
    """

    rows: Range
    segment: int
    claims: int = 0
    freed: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)
    done: tuple[int, int] | None = None
    cuts: set[tuple[int, int]] = field(default_factory=set)
    begun: dict[int, set[int]] = field(default_factory=dict)

    @property
    def kept(self) -> Range:
        """Its rows, without what was cut off."""
        return Range(self.rows.first, min((at for at, _ in self.cuts), default=self.rows.last))

    @property
    def is_free(self) -> bool:
        """Whether anybody may claim it."""
        return self.done is None and (not self.claims or self.claims in self.freed)

    @property
    def is_held(self) -> bool:
        """Whether a worker has it, who may be dead."""
        return self.done is None and not self.is_free

    @property
    def deaths(self) -> list[int]:
        """The claims before the next one whose holders neither finished nor gave back."""
        return [number for number in range(1, self.claims + 1) if number not in self.freed]

    def deaths_of_rows(self, *, before: int) -> dict[int, int]:
        """By row, how many holders before a claim died while it was at work, as far as they noted it."""
        return Counter(row for number in self.deaths if number < before for row in self.begun.get(number, ()))

    def add(self, name: ClaimName) -> None:
        """Count one object."""
        self.claims = max(self.claims, name.number)
        if name.step is Step.FREE:
            self.freed.add(name.number)
        elif name.step is Step.DONE:
            rows, failed = name.numbers
            self.done = max(self.done or (0, 0), (rows, failed))
            self.ended.add(name.number)
        elif name.step is Step.CUT:
            self.cuts.add((name.numbers[0], name.numbers[1]))
        elif name.step is Step.BEGUN:
            self.begun.setdefault(name.number, set()).add(name.numbers[0])


class ClaimBoard:
    """A generation's ranges, as far as they were looked at.

    Args:
        store: rooted at the run.
        generation: its number.
        plan: its ranges.
    """

    def __init__(self, store: Store, generation: int, plan: RangePlan) -> None:
        self._store = store
        self._generation = generation
        self._offers = [{one: Offer(one, at) for one in ranges} for at, ranges in enumerate(plan.segments)]
        self._seen: list[set[str]] = [set() for _ in plan.segments]
        self._finished: set[int] = set()
        self._counts: tuple[int, int] | None = (0, 0)
        self._free: list[Offer] | None = None

    @property
    def segments(self) -> int:
        """How many there are."""
        return len(self._offers)

    @property
    def open_segments(self) -> list[int]:
        """The segments in which something is not finished, as far as is known."""
        return [at for at in range(len(self._offers)) if at not in self._finished]

    @property
    def is_finished(self) -> bool:
        """Whether every range is known to be finished."""
        return len(self._finished) == len(self._offers)

    @property
    def counts(self) -> tuple[int, int]:
        """Rows of finished ranges, and how many of them failed."""
        if self._counts is None:
            done = [offer.done for offers in self._offers for offer in offers.values() if offer.done is not None]
            self._counts = sum(rows for rows, _ in done), sum(failed for _, failed in done)
        return self._counts

    def look(self, segment: int) -> None:
        """List the claims of a segment: one operation."""
        folder = layout.claims(self._generation, segment)
        self.read(segment, (entry.key.rpartition("/")[2] for entry in self._store.list(folder)))

    def read(self, segment: int, files: Iterable[str]) -> None:
        """Count the names of a segment's listing."""
        seen = self._seen[segment]
        for file in files:
            if file in seen:
                continue
            seen.add(file)
            if (name := ClaimName.parse(file)) is not None:
                self._count(segment, name)
        self._close(segment)

    def _close(self, segment: int) -> None:
        if all(offer.done is not None for offer in self._offers[segment].values()):
            self._finished.add(segment)

    def reopen(self, missing: Sequence[Range]) -> None:
        """Offer finished ranges again that hold rows which turned out to be missing: their claims count as given back.

        Another worker may have claimed them again, which its next claim or look shows.
        """
        for segment, offers in enumerate(self._offers):
            for offer in offers.values():
                if offer.done is not None and within(missing, offer.kept):
                    offer.done = None
                    offer.freed |= offer.ended
                    self._finished.discard(segment)
        self._counts = self._free = None

    def add(self, segment: int, name: ClaimName) -> None:
        """Count one object, and the range that it cut off."""
        self._count(segment, name)
        if name.step is Step.DONE:
            self._close(segment)

    def _count(self, segment: int, name: ClaimName) -> None:
        self._counts = self._free = None
        offers = self._offers[segment]
        offers.setdefault(name.rows, Offer(name.rows, segment)).add(name)
        if name.step is Step.CUT:
            rest = Range(name.numbers[0] + 1, name.numbers[1])
            offers.setdefault(rest, Offer(rest, segment))
            self._finished.discard(segment)

    def free(self, segment: int) -> list[Offer]:
        """The ranges of a segment that may be claimed, in order."""
        return [offer for offer in self._offers[segment].values() if offer.is_free]

    def all_free(self) -> list[Offer]:
        """All ranges that may be claimed, as far as is known."""
        if self._free is None:
            self._free = [offer for segment in self.open_segments for offer in self.free(segment)]
        return self._free

    def held(self) -> Iterator[Offer]:
        """The ranges that are claimed and not finished."""
        for segment in self.open_segments:
            yield from (offer for offer in self._offers[segment].values() if offer.is_held)

    def offer(self, segment: int, rows: Range) -> Offer:
        """One range."""
        return self._offers[segment][rows]

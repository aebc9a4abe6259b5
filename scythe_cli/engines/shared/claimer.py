"""Claims ranges of a generation for one worker, with few operations of the storage.

Input: a board and a watch. Output: claims, each made by a conditional create, so that one worker has it. While ranges
are free, a claim costs one listing and one create. At the end, where all are claimed, a worker looks the more rarely
the more workers there are.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scythe_cli.core import yaml_document
from scythe_cli.core.row_ranges import Range
from scythe_cli.engines.shared.claim_names import ClaimName, Step
from scythe_cli.engines.shared.liveness import NOTE_LIMIT
from scythe_cli.errors import BrokenRun, ConfigError, KeyExists, KeyMissing

if TYPE_CHECKING:
    from collections.abc import Callable

    from scythe_cli.engines.shared.claim_board import ClaimBoard, Offer
    from scythe_cli.engines.shared.liveness import PulseWatch
    from scythe_cli.storage.base import Store

FRESH_SECONDS = 0.5
"""A listing that is younger is not repeated: a create that loses corrects it."""
NEAR = 8
"""A worker takes one of the first ranges that seem free: so many for each worker, so that few want the same."""
TRIES = 4
"""Creates that may lose at the end of the plan before the claims are listed again; before the end, one."""
OPERATIONS = 30.0
"""Operations a second that all workers without work may cost together, where they are many."""
QUICKEST, SLOWEST = 1.0, 25.0
"""Seconds between two looks of a worker without work."""
READS = 20
"""Claims that all workers without work read in the time of one look, to learn whose they are when one seems dead."""
QUIET_SECONDS = 60.0
"""Without a change for so long, a look reads whose the claims are, although no worker seems dead."""


@dataclass(frozen=True)
class RangeClaim:
    """Rows that this worker may run, and nobody else.

    Attributes:
        segment: where its objects are.
        offered: the range as it was offered.
        rows: the rows to run lie in here.
        number: 1 for the first claim of the range.
        died: workers that died while they had it.
    """

    segment: int
    offered: Range
    rows: Range
    number: int
    died: int

    def name(self, step: Step, *numbers: int) -> ClaimName:
        """The name of an object of this claim."""
        return ClaimName(self.offered, self.number, step, numbers)


class Claimer:
    """Claims for one worker.

    Args:
        board: the ranges.
        watch: which workers live.
        store: rooted at the run.
        generation: of the run.
        about: what a claim says of its holder; `worker` is its id.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        board: ClaimBoard,
        watch: PulseWatch,
        *,
        store: Store,
        generation: int,
        about: dict[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.board = board
        self.watch = watch
        self._store = store
        self._generation = generation
        self._about = about
        self._note = yaml_document.write({**about}).encode()  # once: to write it takes two milliseconds
        self._clock = clock
        self._random = random.Random(about["worker"])  # noqa: S311 - only spreads the workers
        self._at = 0
        self._listed: dict[int, float] = {}
        self._holders: dict[tuple[Range, int], str] = {}
        self._due = 0.0
        self._seen: object = None
        self._changed = clock()

    @property
    def in_tail(self) -> bool:
        """Whether every range was claimed when this worker looked."""
        return self._at >= self.board.segments

    def claim(self) -> RangeClaim | None:
        """Claim a range; None where none is free now.

        Raises:
            StoreError: the storage does not answer.
        """
        while not self.in_tail:
            self.look_ahead()
            if not self.in_tail and (found := self._take_near(self.board.free(self._at))) is not None:
                return found
        if (found := self._take_one_of(self.board.all_free())) is not None:
            return found
        return self._poll() if self._clock() >= self._due else None

    def look_ahead(self) -> None:
        """Go to the next segment in which a range was free when this worker looked."""
        while not self.in_tail:
            if self._clock() - self._listed.get(self._at, -1e9) >= FRESH_SECONDS:
                self._look(self._at)
            if self.board.free(self._at):
                return
            self._at += 1

    def _look(self, segment: int) -> None:
        self.board.look(segment)
        self._listed[segment] = self._clock()

    def _take_near(self, offers: list[Offer]) -> RangeClaim | None:
        """Claim any of the first of some offers: workers that look at the same time take different ones."""
        near = offers[: NEAR * self.watch.workers if self.watch.workers > 1 else 1]
        return self._take_one_of([self._random.choice(near)]) if near else None

    def _take_one_of(self, offers: list[Offer]) -> RangeClaim | None:
        for offer in offers[:TRIES]:
            if (claim := self._take(offer)) is not None:
                return claim
        for offer in offers[:TRIES]:
            self._listed.pop(offer.segment, None)
        return None

    def _take(self, offer: Offer) -> RangeClaim | None:
        """Create the next claim of a range; None where another worker was first."""
        name = ClaimName(offer.rows, offer.claims + 1)
        died = len(offer.deaths)
        try:
            self._store.write(name.key(self._generation, offer.segment), self._note, new=True)
        except KeyExists:
            self.board.add(offer.segment, name)
            return None
        self.board.add(offer.segment, name)
        self._holders[offer.rows, name.number] = self._about["worker"]
        self._due = 0.0
        return RangeClaim(offer.segment, offer.rows, offer.kept, name.number, died)

    def _poll(self) -> RangeClaim | None:
        """Look at everything that is not finished: something may be free again, or its holder dead."""
        self.watch.look()
        for segment in self.board.open_segments:
            self._look(segment)
        operations = 2 + len(self.board.open_segments)  # with the look at the marks
        pause = min(SLOWEST, max(QUICKEST, self.watch.workers * operations / OPERATIONS))
        self._due = self._clock() + pause * self._random.uniform(0.9, 1.1)
        seen = (self.board.counts, [offer.claims for offer in self.board.held()])
        if seen != self._seen:
            self._seen, self._changed = seen, self._clock()
        free = list(self.board.all_free())
        self._random.shuffle(free)
        return self._take_one_of(free or self._abandoned())

    def _abandoned(self) -> list[Offer]:
        """The first range found whose holder is dead."""
        if not self.watch.suspects and self._clock() - self._changed < QUIET_SECONDS:
            return []
        workers = self.watch.workers
        reads = READS // workers or int(self._random.random() < READS / workers)
        held = list(self.board.held())
        self._random.shuffle(held)
        for offer in held:
            key = (offer.rows, offer.claims)
            if key not in self._holders:
                if not reads:
                    continue
                reads -= 1
                self._holders[key] = self._holder(offer)
            holder = self._holders[key]
            if holder != self._about["worker"] and self.watch.is_dead(holder):
                return [offer]
        return []

    def _holder(self, offer: Offer) -> str:
        """The worker that has a range."""
        key = ClaimName(offer.rows, offer.claims).key(self._generation, offer.segment)
        try:
            found = yaml_document.read(self._store.read(key, limit=NOTE_LIMIT).decode(errors="replace"), key).data
            return str(found["worker"])
        except (KeyMissing, ConfigError, BrokenRun, KeyError, TypeError, ValueError):
            return ""

    def is_mine(self, claim: RangeClaim) -> bool:
        """Whether nobody has claimed the range again, by a listing that is made now."""
        self._look(claim.segment)
        return self.board.offer(claim.segment, claim.offered).claims == claim.number

    def note(self, claim: RangeClaim, step: Step, *numbers: int) -> None:
        """Write what became of a claim. One that is written already is no error."""
        name = claim.name(step, *numbers)
        self._store.write(name.key(self._generation, claim.segment), b"{}\n")
        self.board.add(claim.segment, name)

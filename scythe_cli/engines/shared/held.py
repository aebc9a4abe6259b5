"""What a worker has claimed, on its way through the lanes.

Input: a claim and its rows. Output: the rows' outcomes in the run. Rows over which a worker has died are run one at a
time, each with a note before it: so the next one knows which rows were at work.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from scythe_cli.core import layout
from scythe_cli.core.clock import Clock
from scythe_cli.core.row_ranges import Range, ranges_of
from scythe_cli.engines.generation.lost_rows import write_lost
from scythe_cli.engines.shared.claim_names import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scythe_cli.engines.generation.leaf_queue import Leaf
    from scythe_cli.engines.generation.leaf_runner import LeafRunner
    from scythe_cli.engines.generation.plan import GenerationPlan
    from scythe_cli.engines.shared.claimer import Claimer, RangeClaim
    from scythe_cli.supervisor.run_progress import RunWork

DEATHS_ALONE = 1
"""A row that was at work when so many workers died runs alone on its worker."""
DEATHS_LOST = 2
"""After so many, the last of them alone, it counts as lost."""


@dataclass(frozen=True)
class Lanes:
    """What all claims of a worker need to have rows run.

    Attributes:
        plan: the generation.
        runner: the lanes.
        base: what the rows of the run share.
        wake: called when rows are over, from any thread.
    """

    plan: GenerationPlan
    runner: LeafRunner
    base: RunWork
    wake: Callable[[], None]

    def begin(self, claim: RangeClaim, one: Range, todo: list[Range]) -> Leaf:
        """Have rows of a claim run."""
        leaf = self.runner.begin(
            self.base,
            one,
            todo,
            generation=self.plan.generation,
            settings=self.plan.file.run,
            series=claim.number * layout.CLAIM_PARTS,
            claim=claim.number,
        )
        leaf.over.add_done_callback(lambda _: self.wake())
        return leaf


class Held(Protocol):
    """A claim that this worker has."""

    claim: RangeClaim
    lost: bool
    began: float

    @property
    def done(self) -> int:
        """Rows with an outcome from here."""

    @property
    def failed(self) -> int:
        """How many of them failed."""

    @property
    def slowest(self) -> float:
        """Seconds that a spec has taken here."""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs or waits here."""

    @property
    def is_complete(self) -> bool:
        """Whether every row has its outcome."""

    @property
    def left(self) -> int:
        """Rows without an outcome from here."""

    @property
    def failure(self) -> BaseException | None:
        """Why outcomes could not be stored."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing of it is at work here, and all that waits is rows that must run alone."""

    def advance(self, *, alone: bool) -> None:
        """Begin what may begin now; with `alone` a row that must run alone, too."""

    def seconds_left(self) -> float:
        """Work that no lane has yet, in seconds of all lanes."""

    def cut(self) -> list[Range]:
        """Take back the second half of the rows that no lane has."""

    def withdraw(self, grace: float) -> None:
        """Begin no more rows."""


def advance_all(claims: Sequence[Held]) -> None:
    """Begin what may begin now. Rows that must run alone go one at a time, when nothing else is at work here.

    Raises:
        StoreError: a note could not be written; the row has not begun.
    """
    quiet = all(held.is_quiet for held in claims)
    for at, held in enumerate(claims):
        held.advance(alone=quiet and at == 0)


@dataclass
class HeldRange:
    """A claim whose rows are one leaf. See `Held`."""

    claim: RangeClaim
    lanes: Lanes
    todo: int
    leaf: Leaf
    lost: bool = False
    began: float = field(default_factory=Clock.monotonic)

    @classmethod
    def start(cls, claim: RangeClaim, lanes: Lanes, todo: list[Range]) -> HeldRange:
        """Have the rows run."""
        return cls(claim, lanes, sum(map(len, todo)), lanes.begin(claim, claim.rows, todo))

    @property
    def done(self) -> int:
        return self.leaf.work.done

    @property
    def failed(self) -> int:
        return self.leaf.work.failed

    @property
    def slowest(self) -> float:
        return self.leaf.work.slowest

    @property
    def is_over(self) -> bool:
        return self.leaf.over.done()

    @property
    def is_complete(self) -> bool:
        return self.done >= self.todo and self.failure is None

    @property
    def left(self) -> int:
        return max(0, self.todo - self.done)

    @property
    def failure(self) -> BaseException | None:
        return self.leaf.over.exception() if self.leaf.over.done() else None

    @property
    def is_quiet(self) -> bool:
        return False

    def advance(self, *, alone: bool) -> None:
        """Its rows wait for a lane already."""

    def seconds_left(self) -> float:
        cost = self.lanes.runner.queue.cost(self.leaf)
        return 0.0 if cost is None or self.lost else cost * -(-self.leaf.left // self.lanes.runner.size)

    def cut(self) -> list[Range]:
        rest = self.lanes.runner.cut(self.leaf, self.leaf.left // 2)
        if rest and rest[0].first == self.claim.rows.first:
            return []  # its one row had not begun: the claim ends without it, and is free again as a whole
        self.todo -= sum(map(len, rest))
        return rest

    def withdraw(self, grace: float) -> None:
        self.lanes.runner.withdraw(self.leaf, grace=grace)


class CarefulRange:
    """A claim over which workers have died: its rows run one at a time in each lane, each noted before. See `Held`.

    Args:
        claim: the claim.
        lanes: where rows run.
        todo: the rows to run.
        claimer: writes the notes.
        deaths: by row, how many workers died while it was at work.
    """

    def __init__(
        self, claim: RangeClaim, lanes: Lanes, todo: list[Range], *, claimer: Claimer, deaths: Mapping[int, int]
    ) -> None:
        self.claim = claim
        self.lost = False
        self.began = Clock.monotonic()
        self._lanes = lanes
        self._claimer = claimer
        rows = [row for one in todo for row in one]
        self._todo = len(rows)
        self._waiting = deque(row for row in rows if deaths.get(row, 0) < DEATHS_ALONE)
        self._suspects = deque(row for row in rows if DEATHS_ALONE <= deaths.get(row, 0) < DEATHS_LOST)
        self._killers = [row for row in rows if deaths.get(row, 0) >= DEATHS_LOST]
        self._lost_rows = 0
        self._leaves: list[Leaf] = []
        self._over: list[Leaf] = []

    @property
    def done(self) -> int:
        return self._lost_rows + sum(leaf.work.done for leaf in [*self._over, *self._leaves])

    @property
    def failed(self) -> int:
        return self._lost_rows + sum(leaf.work.failed for leaf in [*self._over, *self._leaves])

    @property
    def slowest(self) -> float:
        return max((leaf.work.slowest for leaf in [*self._over, *self._leaves]), default=0.0)

    @property
    def is_over(self) -> bool:
        return not (self._waiting or self._suspects or self._killers) and all(leaf.over.done() for leaf in self._leaves)

    @property
    def is_complete(self) -> bool:
        return self.done >= self._todo and self.failure is None

    @property
    def left(self) -> int:
        return max(0, self._todo - self.done)

    @property
    def failure(self) -> BaseException | None:
        ended = (leaf.over.exception() for leaf in [*self._over, *self._leaves] if leaf.over.done())
        return next((one for one in ended if one is not None), None)

    @property
    def is_quiet(self) -> bool:
        return not self._waiting and all(leaf.over.done() for leaf in self._leaves)

    def advance(self, *, alone: bool) -> None:
        """Write what is lost; begin a row in each free lane; run suspects when nothing else is at work here.

        Raises:
            StoreError: a note could not be written; the row has not begun.
        """
        if self._killers:
            died = self.claim.died
            why = f"its worker died each time: {died} workers died with it"
            write_lost(self._lanes.plan, ranges_of(self._killers), attempts=died, why=why)
            self._lost_rows, self._killers = self._lost_rows + len(self._killers), []
        self._over += [leaf for leaf in self._leaves if leaf.over.done()]
        self._leaves = [leaf for leaf in self._leaves if not leaf.over.done()]
        while self._waiting and len(self._leaves) < self._lanes.runner.size:
            self._begin(self._waiting)
        if self._suspects and alone and not self._leaves:
            self._begin(self._suspects)

    def _begin(self, rows: deque[int]) -> None:
        row = rows[0]
        self._claimer.note(self.claim, Step.BEGUN, row)
        rows.popleft()
        self._leaves.append(self._lanes.begin(self.claim, Range(row, row), [Range(row, row)]))

    def seconds_left(self) -> float:
        if self._suspects or not self._over:
            return 0.0
        cost = max(leaf.work.cost or 0.0 for leaf in self._over)
        return cost * -(-len(self._waiting) // self._lanes.runner.size)

    def cut(self) -> list[Range]:
        keep = len(self._waiting) // 2
        rest = list(self._waiting)[keep:]
        self._waiting = deque(list(self._waiting)[:keep])
        self._todo -= len(rest)
        return ranges_of(rest)

    def withdraw(self, grace: float) -> None:
        self._waiting.clear()
        self._suspects.clear()
        self._killers.clear()
        for leaf in self._leaves:
            self._lanes.runner.withdraw(leaf, grace=grace)

"""The first pass over the rows: ranges, moments, a sample, the slowest specs.

Input: chunks. Output: a `Moments` for each column, a `Drawn` sample, the slowest specs. Needs the memory of one chunk,
whatever N is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scythe_cli.core import layout
from scythe_cli.core.printable import text_for_bytes
from scythe_cli.report.document import SlowSpec
from scythe_cli.run import outcomes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scythe_cli.report.rows import Floats, ReportBlock

DRAWN = 4000
"""Rows of the sample that classes are made from."""
DRAWN_FAILED = 1000
SLOWEST = 10


@dataclass
class Moments:
    """Count, range, mean and variance of a column's finite values (Chan, Golub and LeVeque 1983)."""

    count: int = 0
    nan: int = 0
    infinite: int = 0
    low: float = math.inf
    high: float = -math.inf
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: Floats) -> None:
        """Add the values of a chunk; NaN is counted and left out."""
        finite = values[np.isfinite(values)]
        nan = int(np.isnan(values).sum())
        self.nan += nan
        self.infinite += len(values) - len(finite) - nan
        if not len(finite):
            return
        self.low, self.high = min(self.low, float(finite.min())), max(self.high, float(finite.max()))
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(finite.mean())
            squares = float(np.square(finite - mean).sum())
            both = self.count + len(finite)
            step = mean - self.mean
            self.squares += squares + step * step * self.count * len(finite) / both
            self.mean += step * len(finite) / both
        self.count = both

    @property
    def std(self) -> float | None:
        """The standard deviation of the values; None where there is none, or it is not finite."""
        if not self.count or not math.isfinite(self.squares):
            return None
        return math.sqrt(self.squares / self.count)


@dataclass
class Drawn:
    """Rows drawn at random, the same for the same seed, whichever rows are finished: each row has a draw of its own.

    Attributes:
        seed: of the draws.
        size: rows to keep.
        draws: of the rows that are kept, rising.
        sort_index: of these rows.
        values: their inputs and outputs, one row each.
    """

    seed: int
    size: int
    draws: Floats = field(default_factory=lambda: np.empty(0))
    sort_index: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    values: Floats = field(default_factory=lambda: np.empty((0, 0)))

    def add(self, chunk: ReportBlock, sort_index: NDArray[np.int64], wanted: NDArray[np.bool_]) -> None:
        """Take from a chunk those of the wanted rows whose draw is among the lowest so far."""
        draws = np.random.default_rng([self.seed, chunk.block]).random(layout.BLOCK)
        own = draws[chunk.rows - chunk.block * layout.BLOCK]
        limit = self.draws[-1] if len(self.draws) == self.size else math.inf
        at = np.flatnonzero(wanted & (own < limit))
        if not len(at):
            return
        fresh = np.column_stack([column[at] for column in (*chunk.inputs, *chunk.outputs)] or [np.empty((len(at), 0))])
        joined = np.concatenate([self.draws, own[at]])
        kept = np.argsort(joined, kind="stable")[: self.size]
        self.draws = joined[kept]
        self.sort_index = np.concatenate([self.sort_index, sort_index[at]])[kept]
        self.values = (np.vstack([self.values, fresh]) if self.values.size else fresh)[kept]


class Summary:
    """What the first pass finds.

    Args:
        inputs: how many input columns there are.
        outputs: how many output columns.
        seed: of the sample.
    """

    def __init__(self, inputs: int, outputs: int, seed: int) -> None:
        self.inputs = [Moments() for _ in range(inputs)]
        self.outputs = [Moments() for _ in range(outputs)]
        self.durations = Moments()
        self.shortest = math.inf
        self.good = Drawn(seed, DRAWN)
        self.bad = Drawn(seed, DRAWN_FAILED)
        self.rows = 0
        self.failed = 0
        self._slow: list[tuple[float, SlowSpec]] = []

    @property
    def slowest(self) -> list[SlowSpec]:
        """The specs that ran longest, the longest first."""
        return [one for _, one in self._slow]

    @property
    def drawn_inputs(self) -> Floats:
        """The inputs of all rows of the sample."""
        width = len(self.inputs)
        parts = [one.values[:, :width] for one in (self.good, self.bad) if one.values.size]
        return np.vstack(parts) if parts else np.empty((0, width))

    def add(self, chunk: ReportBlock) -> None:
        """Add one chunk."""
        assert chunk.outcomes is not None  # noqa: S101 - the first pass has the tables
        self.rows += len(chunk.rows)
        self.failed += int(chunk.failed.sum())
        for moments, values in zip(self.inputs, chunk.inputs, strict=True):
            moments.add(values)
        for moments, values in zip(self.outputs, chunk.outputs, strict=True):
            moments.add(values[~chunk.failed])
        self.durations.add(chunk.durations)
        positive = chunk.durations[chunk.durations > 0]
        self.shortest = min(self.shortest, float(positive.min(initial=math.inf)))
        sort_index = chunk.outcomes.column(layout.SORT_INDEX).to_numpy()
        self.good.add(chunk, sort_index, ~chunk.failed)
        self.bad.add(chunk, sort_index, chunk.failed)
        self._add_slow(chunk)

    def _add_slow(self, chunk: ReportBlock) -> None:
        known = np.nan_to_num(chunk.durations, nan=-1.0)
        limit = self._slow[-1][0] if len(self._slow) == SLOWEST else -1.0
        order = np.argsort(-known, kind="stable")[:SLOWEST]
        fresh = [(float(known[at]), _slow_spec(chunk, int(at))) for at in order if known[at] > limit]
        self._slow = sorted([*self._slow, *fresh], key=lambda one: -one[0])[:SLOWEST]


def _slow_spec(chunk: ReportBlock, at: int) -> SlowSpec:
    assert chunk.outcomes is not None and chunk.specs is not None  # noqa: S101 - the first pass has the tables
    row: dict[str, Any] = chunk.outcomes.slice(at, 1).to_pylist()[0]
    return SlowSpec(
        sort_index=row[layout.SORT_INDEX],
        state="failed" if row[outcomes.KIND] is not None else "succeeded",
        duration=row[outcomes.DURATION],
        attempts=row[outcomes.ATTEMPTS],
        worker=row[outcomes.WORKER] or "",
        start=row[outcomes.START],
        inputs=text_for_bytes(chunk.specs.slice(at, 1).to_pylist()[0]),
    )

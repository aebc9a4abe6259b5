"""How long specs took: the median and the slowest one.

Input: outcomes while the tables are built, or a run and its state. Output: `Durations`. A gather counts all of them and
keeps what it found in its mark; of a run that is not finished, the parts that were written last are read.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.core import layout
from scythe_cli.run.outcomes import DURATION, ROW
from scythe_cli.run.parts import CorruptPart, read_part
from scythe_cli.run.state import READERS
from scythe_cli.timing.spec_times import Durations

if TYPE_CHECKING:
    from scythe_cli.core.layout import PartName
    from scythe_cli.run.run import Run
    from scythe_cli.run.state import RunState

PARTS = 32
"""Parts that are read of a run that is not finished."""
HELD = 1 << 16
"""Durations that are held as they are, before they are counted in a histogram."""
LEAST = 2.0**-34
"""Seconds of the histogram's first bin; the last one begins 64 doublings later."""
BINS = 64 << 12
_DROPPED = 52 - 12
_FIRST = int(np.array([LEAST]).view(np.int64)[0]) >> _DROPPED


class DurationCounter:
    """The durations of specs, block by block, and the number of the slowest.

    Of many specs the median is that of a histogram, so that memory does not grow with them: exact to 1 in 4,096.
    """

    def __init__(self) -> None:
        self._seconds: list[np.ndarray[Any, Any]] = []
        self._held = self._specs = 0
        self._counts: np.ndarray[Any, Any] | None = None
        self._slowest = (-1.0, 0)

    def add(self, table: pa.Table) -> None:
        """Add rows of outcomes."""
        known = table.select([layout.SORT_INDEX, DURATION])
        if known.column(DURATION).null_count:
            known = known.filter(pc.is_valid(known.column(DURATION)))
        if not known.num_rows:
            return
        seconds = known.column(DURATION).to_numpy()
        at = int(np.argmax(seconds))
        self._slowest = max(self._slowest, (float(seconds[at]), -int(known.column(layout.SORT_INDEX)[at].as_py())))
        self._seconds.append(seconds)
        self._held += len(seconds)
        self._specs += len(seconds)
        if self._held > HELD:
            self._count()

    def _count(self) -> None:
        """Put what is held into the histogram."""
        if self._seconds:
            bins = _bins(np.concatenate(self._seconds))
            counts = np.bincount(bins, minlength=BINS)
            self._counts = counts if self._counts is None else self._counts + counts
        self._seconds, self._held = [], 0

    def result(self) -> Durations | None:
        """The durations of all that was added; None where nothing was."""
        if not self._specs:
            return None
        slowest, number = self._slowest
        return Durations(self._median(), slowest, -number, self._specs)

    def _median(self) -> float:
        if self._counts is None:
            return float(np.median(np.concatenate(self._seconds)))
        self._count()
        middle = int(np.searchsorted(np.cumsum(self._counts), (self._specs + 1) // 2))
        return float(np.array([(middle + _FIRST) << _DROPPED], np.int64).view(np.float64)[0])


def _bins(seconds: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The bin of each duration: the head of its bits, exponent and mantissa."""
    heads: np.ndarray[Any, Any] = np.maximum(seconds, LEAST).view(np.int64) >> _DROPPED
    bins: np.ndarray[Any, Any] = np.minimum(heads - _FIRST, BINS - 1)
    return bins


def read_durations(run: Run, state: RunState) -> Durations | None:
    """The durations of the specs whose results were written last; None where there are none."""
    newest = [one for block in state.blocks.values() for one in block.by_part.items()]
    newest = sorted(newest, key=lambda one: state.written.get(one[0], 0.0))[-PARTS:]
    counter = DurationCounter()
    with ThreadPoolExecutor(READERS) as pool:
        for table in pool.map(lambda one: _of_part(run, one[0], one[1]), newest):
            if table is not None:
                counter.add(table)
    return counter.result()


def _of_part(run: Run, part: PartName, rows: list[int] | None) -> pa.Table | None:
    try:
        table = read_part(run.store, part.key, [ROW, layout.SORT_INDEX, DURATION])
    except CorruptPart:  # its specs count as missing as soon as somebody gathers or resumes
        return None
    return table if rows is None else table.filter(pc.is_in(table.column(ROW), value_set=pa.array(rows, pa.int64())))

"""How long specs took: the median and the slowest one.

Input: outcomes while the tables are built, or a run and its state. Output: `Durations`. A gather counts all of them and
keeps them in its mark; of a run that is not finished, the parts that were written last are read.
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


class DurationCounter:
    """The durations of specs, block by block: eight bytes a spec, and the number of the slowest."""

    def __init__(self) -> None:
        self._seconds: list[np.ndarray[Any, Any]] = []
        self._slowest = (-1.0, 0)

    def add(self, table: pa.Table) -> None:
        """Add rows of outcomes."""
        known = table.select([layout.SORT_INDEX, DURATION])
        known = known.filter(pc.is_valid(known.column(DURATION)))
        if not known.num_rows:
            return
        seconds = known.column(DURATION).to_numpy()
        at = int(np.argmax(seconds))
        self._slowest = max(self._slowest, (float(seconds[at]), -int(known.column(layout.SORT_INDEX)[at].as_py())))
        self._seconds.append(seconds)

    def result(self) -> Durations | None:
        """The durations of all that was added; None where nothing was."""
        if not self._seconds:
            return None
        seconds = np.concatenate(self._seconds)
        slowest, number = self._slowest
        return Durations(float(np.median(seconds)), slowest, -number, len(seconds))


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

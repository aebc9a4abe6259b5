"""Hands out the rows of a run in an order of their own: fewer at a time as the end nears.

Input: rows, those that may take longest first. Output: chunks of one block each; a chunk takes the next rows of the
block of the first one.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.supervisor.chunk import chunk_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scythe_cli.supervisor.run_progress import RunWork

AHEAD = layout.BLOCK
"""Rows among which the others of a chunk are looked for."""


class LongestSource:
    """The rows of one run, see `RowSource`.

    Args:
        run: the run.
        rows: in the order in which they are to begin.
        leaf_size: the most rows at a time, or "auto".
    """

    def __init__(self, run: RunWork, rows: list[int], *, leaf_size: int | str) -> None:
        self._run = run
        self._left = deque(rows)
        self._most = layout.BLOCK if isinstance(leaf_size, str) else leaf_size
        self._batch: int | None = None
        for row in rows:
            block = layout.block_of(row)
            run.left_in_block[block] = run.left_in_block.get(block, 0) + 1

    def next(self, cost: float | None, lanes: int) -> tuple[RunWork, int, Sequence[int]] | None:
        """The next rows; see `RowSource`."""
        if not self._left:
            return None
        if self._run.info.batch is not None and self._batch is None:
            self._batch = min(self._run.info.batch, -(-len(self._left) // lanes))
        size = min(self._most, chunk_size(cost, len(self._left), lanes, batch=self._batch))
        block = layout.block_of(self._left[0])
        if size == 1:
            return self._run, block, [self._left.popleft()]
        window = [*islice(self._left, AHEAD)]
        chosen = [row for row in window if layout.block_of(row) == block][:size]
        taken = {*chosen}
        for _ in window:
            self._left.popleft()
        self._left.extendleft(reversed([row for row in window if row not in taken]))
        return self._run, block, chosen

    def exhausted(self) -> bool:
        """Whether all rows were handed out."""
        return not self._left

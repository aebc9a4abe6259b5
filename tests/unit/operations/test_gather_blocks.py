"""The outcomes of a block, put in order."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from scythe_cli.operations import gather_blocks
from scythe_cli.run.outcomes import ROW


@pytest.mark.parametrize("at_once", [1, 300, 1 << 30])
def test_outcomes_that_are_sorted_in_steps_are_in_order(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(gather_blocks, "SORTED_BYTES", at_once)
    rows = [*range(4096, 4160), 4200]
    random.Random(1).shuffle(rows)
    made = pa.table({ROW: pa.array(rows, pa.int64()), "text": [f"t{row}" * (row % 5) for row in rows]})
    found = gather_blocks._in_order([made.slice(0, 20), made.slice(20, 1), made.slice(21)])
    assert found.combine_chunks().equals(made.sort_by(ROW).combine_chunks())

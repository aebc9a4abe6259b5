"""Rows that no worker lived through: their outcome is written for them, kind `lost`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from scythe_cli.core import layout, processes
from scythe_cli.run.outcomes import Failure, FailureKind, Outcome, failed_table
from scythe_cli.run.parts import PartWriter, read_block, read_schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scythe_cli.core.row_ranges import Range
    from scythe_cli.engines.generation.plan import GenerationPlan


def write_lost(plan: GenerationPlan, ranges: Iterable[Range], *, attempts: int, why: str) -> None:
    """Give every row of the ranges, which lie in one block each, the outcome `lost`."""
    store = plan.run.store
    schema = read_schema(store)
    writer = PartWriter(store, generation=plan.generation, flush=0.0, series=int(time.time()))
    failure = Failure(FailureKind.LOST, FailureKind.LOST, why, "", plan.run.manifest.place)
    for one in ranges:
        block = layout.block_of(one.first)
        specs = read_block(store, block, [layout.SORT_INDEX])
        indexes = specs.column(0).slice(one.first - block * layout.BLOCK, len(one)).to_numpy()
        outcomes = [
            Outcome(row, int(index), failure, attempts, time.time(), 0.0, processes.host(), "")
            for row, index in zip(one, indexes, strict=True)
        ]
        writer.add_table(block, failed_table(schema, outcomes))
        writer.write(block)
    writer.finish()
    writer.close()

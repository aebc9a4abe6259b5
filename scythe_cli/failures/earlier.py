"""Failures that are not the result of their specs, in groups: earlier attempts, and generations before a resume.

Input: a run. Output: a list of `FailureGroup`, most frequent first, as those of the failures that count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from scythe_cli.core import layout
from scythe_cli.failures.every_attempt import failed_attempts
from scythe_cli.operations.failure_groups import describe_group
from scythe_cli.run.outcomes import ERROR_TYPE, IS_FINAL, KIND, PLACE, ROW
from scythe_cli.run.parts import read_block

if TYPE_CHECKING:
    from scythe_cli.operations.failure_groups import Alike, FailureGroup
    from scythe_cli.run.run import Run


def earlier_failures(run: Run) -> list[FailureGroup]:
    """The earlier failures by kind, type and place; `count` is of attempts. The example is the lowest spec's first."""
    table = failed_attempts(run)
    table = table.filter(pc.invert(table.column(IS_FINAL)))
    counts: dict[Alike, int] = {}
    first: dict[Alike, int] = {}
    alike = table.select([KIND, ERROR_TYPE, PLACE]).to_pylist()
    for at, one in enumerate(alike):
        key = (one[KIND], one[ERROR_TYPE], one[PLACE] or "")
        counts[key] = counts.get(key, 0) + 1
        first.setdefault(key, at)
    order = sorted(counts, key=lambda key: (-counts[key], key))
    return [_described(run, key, counts[key], table.slice(first[key], 1).to_pylist()[0]) for key in order]


def _described(run: Run, alike: Alike, count: int, row: dict[str, Any]) -> FailureGroup:
    number = row[ROW]
    fields = [name for name in run.manifest.index if name not in layout.INDEX_HEAD]
    specs = read_block(run.store, layout.block_of(number), fields)
    inputs = specs.slice(number % layout.BLOCK, 1).to_pylist()
    return describe_group(alike, count, row, inputs[0] if inputs else {})

"""Ranges of rows, cut into nodes and leaves. Arithmetic only: no store, no process, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scythe_cli.layout import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, order=True)
class Range:
    """Row numbers from `first` to `last`, both included."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last + 1))

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def ranges_of(rows: Iterable[int]) -> list[Range]:
    """Sorted row numbers as the fewest ranges."""
    found: list[Range] = []
    first = last = None
    for row in rows:
        if last is not None and row == last + 1:
            last = row
            continue
        if first is not None and last is not None:
            found.append(Range(first, last))
        first = last = row
    if first is not None and last is not None:
        found.append(Range(first, last))
    return found


def missing(total: int, done: Iterable[Range]) -> list[Range]:
    """What of rows 0 to `total` - 1 lies in none of the ranges, which may overlap and come in any order."""
    found, at = [], 0
    for one in sorted(done):
        if one.first > at:
            found.append(Range(at, one.first - 1))
        at = max(at, one.last + 1)
    if at < total:
        found.append(Range(at, total - 1))
    return found


def cut_at_blocks(ranges: Iterable[Range]) -> list[Range]:
    """The same rows, in ranges that each lie in one block."""
    found = []
    for one in ranges:
        at = one.first
        while at <= one.last:
            end = min(one.last, (at // BLOCK + 1) * BLOCK - 1)
            found.append(Range(at, end))
            at = end + 1
    return found


def leaves(ranges: Iterable[Range], size: int) -> list[Range]:
    """The same rows, in leaves of at most `size` rows that each lie in one block."""
    return [
        Range(at, min(at + size - 1, one.last))
        for one in cut_at_blocks(ranges)
        for at in range(one.first, one.last + 1, size)
    ]


def halves(one: Range) -> list[Range]:
    """A range in two; a single row stays whole."""
    if len(one) == 1:
        return [one]
    middle = (one.first + one.last) // 2
    return [Range(one.first, middle), Range(middle + 1, one.last)]

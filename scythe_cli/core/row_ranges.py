"""Ranges of rows, cut into nodes and leaves. Arithmetic only: no store, no process, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from operator import eq
from typing import TYPE_CHECKING

from scythe_cli.core.layout import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


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


def as_range(rows: Sequence[int]) -> Sequence[int]:
    """The rows as a `range` where each is one more than the one before; otherwise as they are."""
    if not rows or isinstance(rows, range):
        return rows
    whole = range(rows[0], rows[0] + len(rows))
    return whole if rows[-1] == whole[-1] and all(map(eq, rows, whole)) else rows


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


def subtract(ranges: Iterable[Range], done: Iterable[Range]) -> list[Range]:
    """What of sorted ranges lies in none of the others, which may overlap and come in any order."""
    found: list[Range] = []
    covered = iter(sorted(done))
    other = next(covered, None)
    for one in ranges:
        at = one.first
        while other is not None and other.last < at:
            other = next(covered, None)
        while other is not None and other.first <= one.last:
            if other.first > at:
                found.append(Range(at, other.first - 1))
            at = max(at, other.last + 1)
            if other.last > one.last:
                break
            other = next(covered, None)
        if at <= one.last:
            found.append(Range(at, one.last))
    return found


def within(ranges: Iterable[Range], one: Range) -> list[Range]:
    """The part of sorted ranges that lies in `one`."""
    return [
        Range(max(r.first, one.first), min(r.last, one.last))
        for r in ranges
        if r.last >= one.first and r.first <= one.last
    ]


def covers(ranges: Iterable[Range], size: int) -> list[Range]:
    """Stretches that hold the same rows, at most `size` of them each, and each in one block; gaps may lie inside."""
    found: list[Range] = []
    held = 0
    for one in cut_at_blocks(ranges):
        at = one.first
        while at <= one.last:
            if found and held < size and found[-1].first // BLOCK == at // BLOCK:
                end = min(one.last, at + size - held - 1)
                found[-1] = Range(found[-1].first, end)
                held += end - at + 1
            else:
                end = min(one.last, at + size - 1)
                found.append(Range(at, end))
                held = end - at + 1
            at = end + 1
    return found


def spans(items: list[Range], most: int) -> list[list[Range]]:
    """Neighbours in at most `most` groups of sizes that differ by one at most."""
    n = min(most, len(items))
    return [items[len(items) * at // n : len(items) * (at + 1) // n] for at in range(n)]


def write_ranges(ranges: Iterable[Range]) -> str:
    """Ranges as text: "0-4095,5000-5000"."""
    return ",".join(map(str, ranges))


def read_ranges(text: str) -> list[Range]:
    """The ranges that `write_ranges` wrote. Raises `ValueError` for other text, and for a reversed range."""
    pairs = (part.split("-") for part in text.split(",") if part)
    found = [Range(int(first), int(last)) for first, last in pairs]
    if any(one.first > one.last for one in found):
        raise ValueError(f"a range in {text[:50]!r} is reversed")
    return found

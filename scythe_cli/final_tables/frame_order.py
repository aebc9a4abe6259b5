"""The rows of a block's frames in the order of their specs, read when their turn comes.

Input: opened parts, each with the rows of several specs in any order; those of one spec are together. Output: tables of
rows that follow each other, a row group or less at a time, and how many rows each spec has in them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import numpy as np
    import pyarrow as pa

    from scythe_cli.final_tables.frame_part import FramePart


class Stretch(NamedTuple):
    """Rows of a row group that follow each other there, and in the order of the specs.

    Attributes:
        part: which part.
        group: which row group of it.
        start: the first row's place in the row group.
        specs: the specs they belong to, and how many rows of it each has.
    """

    part: int
    group: int
    start: int
    specs: np.ndarray[Any, Any]


class FrameRows(NamedTuple):
    """Rows of frames that follow each other.

    Attributes:
        table: the rows, with the row of each one's spec.
        specs: the rows of these specs, each once, in turn.
        lengths: how many rows of the table each spec has.
    """

    table: pa.Table
    specs: np.ndarray[Any, Any]
    lengths: np.ndarray[Any, Any]


class OrderedFrames:
    """All rows of some parts that count, in order.

    Args:
        parts: the parts.
        without: rows, as specs have them, that are left out.

    Attributes:
        several: whether a spec has more than one row.
        rows: how many there are.
    """

    def __init__(self, parts: Sequence[FramePart], without: Collection[int]) -> None:
        import numpy as np

        self._parts = parts
        runs = _runs(parts, without)
        self.several = bool((runs["length"] > 1).any() or (np.diff(runs["row"]) == 0).any())
        self.rows = int(runs["length"].sum())
        self._stretches = _joined(runs)

    def tables(self) -> Iterator[FrameRows]:
        """The rows, in order. A row group is read while the one before is used, and kept while rows are to come."""
        left: dict[tuple[int, int], int] = {}
        for one in self._stretches:
            left[one.part, one.group] = left.get((one.part, one.group), 0) + 1
        held: dict[tuple[int, int], pa.Table] = {}
        with ThreadPoolExecutor(1, "scythe-frames") as reader:
            reads = (reader.submit(self._parts[part].read, group) for part, group in list(left))
            ahead = next(reads, None)
            for part, group, start, specs in self._stretches:
                at = part, group
                if at not in held and ahead is not None:
                    held[at] = ahead.result()
                    ahead = next(reads, None)
                table = held[at]
                left[at] -= 1
                if not left[at]:
                    del held[at]
                yield FrameRows(table.slice(start, int(specs["length"].sum())), specs["row"], specs["length"])
                del table


def _runs(parts: Sequence[FramePart], without: Collection[int]) -> np.ndarray[Any, Any]:
    """The rows of each spec in each row group, sorted by spec."""
    import numpy as np

    kind = [("row", "i8"), ("part", "i4"), ("group", "i4"), ("start", "i8"), ("length", "i8")]
    found = [np.empty(0, kind)]
    out = np.asarray(sorted(without), dtype="i8")
    for at, part in enumerate(parts):
        for group, own in enumerate(part.runs):
            runs = np.empty(len(own), kind)
            runs["part"], runs["group"] = at, group
            for name in ("row", "start", "length"):
                runs[name] = own[name]
            keep = part.counts(runs["row"])
            if len(out):
                keep &= ~np.isin(runs["row"], out)
            found.append(runs if keep.all() else runs[keep])
    together = np.concatenate(found)
    return together[np.argsort(together["row"], kind="stable")]


def _joined(runs: np.ndarray[Any, Any]) -> list[Stretch]:
    """Runs that follow each other in one row group, as one stretch."""
    import numpy as np

    if not len(runs):
        return []
    before, after = runs[:-1], runs[1:]
    follows = (
        (before["part"] == after["part"])
        & (before["group"] == after["group"])
        & (before["start"] + before["length"] == after["start"])
    )
    firsts = np.concatenate([[0], np.flatnonzero(~follows) + 1])
    first = runs[firsts]
    columns = (first["part"].tolist(), first["group"].tolist(), first["start"].tolist())
    return [Stretch(*values) for values in zip(*columns, np.split(runs, firsts[1:]), strict=True)]

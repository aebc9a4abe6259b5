"""The frames of one spec: how large they are, their columns, and their first rows.

Input: a run, and the part that has the outcome of a spec. Output: a `Frame` for each frame of the spec. Only the row
groups with the first rows are unpacked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout
from scythe_cli.core.printable import text_for_bytes

if TYPE_CHECKING:
    from scythe_cli.core.layout import PartName
    from scythe_cli.final_tables.frame_part import FramePart
    from scythe_cli.run.run import Run

HEAD_COLUMNS = 200
"""Columns of a frame whose first values are read."""


@dataclass(frozen=True)
class Frame:
    """One frame of a spec.

    Attributes:
        name: the name of its final table.
        rows: how many rows the spec has in it.
        columns: its own columns, as text.
        head: its first rows; empty unless they were asked for.
    """

    name: str
    rows: int
    columns: list[str]
    head: list[dict[str, Any]] = field(default_factory=list)


def read_frames(run: Run, row: int, part: PartName, names: list[str], *, head: int = 0) -> list[Frame]:
    """The frames of a spec.

    Args:
        run: the run.
        row: the place of the spec in specs.pq.
        part: the part that has its outcome.
        names: of the frames of that part.
        head: read so many rows of each.
    """
    from scythe_cli.columns.column_blocks import own_columns
    from scythe_cli.final_tables.frame_part import FramePart
    from scythe_cli.run.parts import CorruptPart

    found = []
    for name in names:
        try:
            held = FramePart(run.store, part.frame_key(name))
            places = [
                (group, int(one["start"]), int(one["length"]))
                for group, runs in enumerate(held.runs)
                for one in runs[runs["row"] == row]
            ]
            if places:
                rows = sum(length for _, _, length in places)
                first = _first_rows(held, places, head) if head else []
                found.append(Frame(name, rows, own_columns(held.schema), first))
        except CorruptPart:  # the next gather sets the part aside
            continue
    return found


def _first_rows(held: FramePart, places: list[tuple[int, int, int]], count: int) -> list[dict[str, Any]]:
    from scythe_cli.columns.column_blocks import unpack
    from scythe_cli.columns.frame_header import ROW

    rows: list[dict[str, Any]] = []
    for group, start, length in places:
        if len(rows) >= count:
            break
        table = unpack(held.read(group).slice(start, min(length, count - len(rows))))
        names = [name for name in table.column_names if name not in (ROW, layout.SORT_SUBINDEX)]
        some: list[Any] = table.select(names[:HEAD_COLUMNS]).to_pylist()
        rows += [{name: text_for_bytes(value) for name, value in one.items()} for one in some]
    return rows

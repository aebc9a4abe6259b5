"""A table as lines of text that fit a width. Input: names of columns, and cells as text. Output: lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.cli.formatting import counted, cut

if TYPE_CHECKING:
    from collections.abc import Sequence

CELL = 24
"""Characters of the longest cell; a longer one is cut."""
GAP = "  "


def text_table(
    names: Sequence[str], rows: Sequence[Sequence[str]], *, width: int, left: Sequence[str] = (), cell: int = CELL
) -> list[str]:
    """The table with as many columns as fit, and a line that says how many are left out.

    Args:
        names: of the columns.
        rows: their cells.
        width: characters of a line.
        left: columns of text, which begin at the left.
        cell: characters of the longest cell.
    """
    columns = [[cut(one, cell) for one in (name, *(row[at] for row in rows))] for at, name in enumerate(names)]
    sizes = [max(map(len, column)) for column in columns]
    shown, used = 0, -len(GAP)
    for size in sizes:
        if shown and used + len(GAP) + size > width:
            break
        shown, used = shown + 1, used + len(GAP) + size
    lines = []
    for cells in zip(*columns[:shown], strict=True):
        padded = [
            f"{text:<{size}}" if name in left else f"{text:>{size}}"
            for name, text, size in zip(names, cells, sizes, strict=False)
        ]
        lines.append(GAP.join(padded).rstrip())
    more = len(names) - shown
    return [*lines, f"({counted(more, 'more column')}; --json has all)"] if more else lines

"""Tables and facts as lines that fit a width. Input: text. Output: lines, and how wide they may be."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

from scythe_cli.cli.formatting import counted, cut

if TYPE_CHECKING:
    from collections.abc import Sequence

CELL = 24
"""Characters of the longest cell; a longer one is cut."""
GAP = "  "
FACT_GAP = "   "


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


def flowing(facts: Sequence[str], width: int) -> list[str]:
    """Facts side by side, on as many lines as they need."""
    lines: list[str] = []
    for fact in facts:
        if lines and len(lines[-1]) + len(FACT_GAP) + len(fact) <= width:
            lines[-1] += f"{FACT_GAP}{fact}"
        else:
            lines.append(fact)
    return lines


def wrapped(text: str, indent: int, *, width: int | None = None) -> list[str]:
    """A sentence as lines that end between words; all but the first are moved to the right.

    Args:
        text: of one line.
        indent: characters by which the further lines are moved.
        width: characters of a line; those of the terminal unless given.
    """
    room = line_width() if width is None else width
    if len(text) <= room:
        return [text]
    return textwrap.wrap(
        text, room, subsequent_indent=" " * indent, break_on_hyphens=False, break_long_words=False
    ) or [text]


def line_width() -> int:
    """Columns of the terminal; without one, as many as any line needs."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000

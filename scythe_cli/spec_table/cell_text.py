"""Cells of text as people write them: decimal commas, numbers that Python alone reads, variables in paths, empty rows.

Input: columns of cells. Output: the same columns as the model's fields read them, and what is wrong with a cell.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from scythe_cli.columns.checks import pc
from scythe_cli.core.environment import UnsetVariable, expand
from scythe_cli.core.validation_errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from scythe_cli.columns.checks import Column
    from scythe_cli.spec_table.sources import Chunk

Problems = list[tuple[int, Problem]]
"""By row of the chunk."""

UNDERSCORE = "must be a number, without _ between its digits"
TOO_LARGE = "is too large: a number of 64 bits ends at 1.8e308"
POINT = 'has a point, and the decimal mark of this file is a comma (`specs: {decimal: ","}`)'


def number_rule(cell: str, value: object) -> str | None:
    """What is wrong with the text of a number that Python reads, as `value`, and no other program does."""
    try:
        number = float(cell)
    except ValueError:  # a validator of the user's read it
        return None
    if "_" in cell:
        return UNDERSCORE
    if isinstance(value, Decimal):  # kept as text, so of any size
        return None
    beyond = math.isinf(number) and "inf" not in cell.lower()
    return TOO_LARGE if beyond else None


def with_points(name: str, cells: Column) -> tuple[Column, Problems]:
    """Numbers with a decimal comma, with a point. A cell that has a point is wrong, and zero for the time being."""
    pointed = pc.fill_null(pc.match_substring(cells, "."), False)
    problems = [(row, Problem(name, cells[row].as_py(), POINT)) for row in pc.indices_nonzero(pointed).to_pylist()]
    clean = pc.if_else(pointed, pa.scalar("0"), cells) if problems else cells
    return pc.replace_substring(clean, ",", "."), problems


def expanded(name: str, cells: Column) -> tuple[Column, Problems]:
    """Addresses with the values of the variables that they name, `${DATA}/w.epw`."""
    with_variables = pc.fill_null(pc.match_substring(cells, "${"), False)
    if not pc.any(with_variables).as_py():
        return cells, []
    coded = cells.dictionary_encode()
    known: list[str | None] = []
    wrong: dict[int, Problem] = {}
    for code, address in enumerate(coded.dictionary.to_pylist()):
        try:
            known.append(expand(address))
        except UnsetVariable as exc:
            known.append(address)
            wrong[code] = Problem(name, address, str(exc))
    codes = coded.indices.to_pylist()
    problems = [(row, wrong[code]) for row, code in enumerate(codes) if code in wrong]
    return pa.array(known, pa.string()).take(coded.indices), problems


def blank_rows(chunk: Chunk) -> set[int]:
    """The rows without a value in any column."""
    blank: Column = None
    for cells in chunk.values():
        empty = pa.array([cell is None for cell in cells]) if isinstance(cells, list) else pc.is_null(cells)
        blank = empty if blank is None else pc.and_(blank, empty)
        if not pc.any(blank).as_py():
            return set()
    return set() if blank is None else set(pc.indices_nonzero(blank).to_pylist())


class BlankRows:
    """Rows without a value, reported as one.

    Args:
        where: the place of a row.
    """

    def __init__(self, where: Callable[[int], str]) -> None:
        self._where = where
        self.first: int | None = None
        self._last = 0
        self._n = 0

    def add(self, row: int) -> None:
        """One more; rows come in order."""
        self.first = row if self.first is None else self.first
        self._last = row
        self._n += 1

    def __str__(self) -> str:
        if self._n == 1:
            return "is an empty row: delete it"
        return (
            f"is an empty row, and so are {self._n - 1:,} more up to {self._where(self._last)}: delete the empty rows"
        )


def is_text(cells: Any) -> bool:
    """Whether a column is text."""
    return isinstance(cells, pa.StringArray)

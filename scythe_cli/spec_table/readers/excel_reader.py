"""A sheet of an Excel file as rows, with the numbers that Excel shows beside them.

Input: a path. Output: the names in the first row, and the rows below it as Python values; a formula is its last result.
"""

from __future__ import annotations

import warnings
from array import array
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from scythe_cli.errors import MissingExtra, TableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openpyxl import Workbook


class ExcelFile:
    """The first sheet of an Excel file.

    Attributes:
        header: the names in its first row that is not empty.
        faults: once `rows` is read, cells that are errors of Excel, each with its place and what it says.

    Args:
        path: the file.
        label: how messages call it.

    Raises:
        TableError: it is not an Excel file, or empty.
        MissingExtra: openpyxl is not installed.
    """

    def __init__(self, path: Path, label: str) -> None:
        self._path = path
        self._label = label
        self._lines = array("q")
        self.faults: list[tuple[int, str]] = []
        first = next(self._cells(), None)
        if first is None:
            raise TableError(f"{label} is empty; its first row names the columns")
        self._head, names = first
        while names and names[-1] is None:
            names.pop()
        self.header = ["" if name is None else str(name) for name in names]

    def rows(self, n: int) -> Iterator[list[list[Any]]]:
        """The rows, `n` at a time; each has a value for each name of the header. Empty rows at the end are left out."""
        some: list[list[Any]] = []
        width = len(self.header)
        for number, cells in self._cells():
            if number == self._head:
                continue
            if any(cell is not None for cell in cells[width:]):
                self.faults.append((number, f"has a value right of the last column, which is {self.header[-1]!r}"))
            self._lines.append(number)
            some.append([*cells[:width], *[None] * (width - len(cells))])
            if len(some) == n:
                yield some
                some = []
        if some:
            yield some

    def line(self, row: int) -> int:
        """The number that Excel shows beside a row."""
        return self._lines[row]

    def _cells(self) -> Iterator[tuple[int, list[Any]]]:
        """The numbers and values of the rows up to the last one that has a value."""
        del self._lines[:], self.faults[:]
        book = self._open()
        try:
            held: list[tuple[int, list[Any]]] = []
            began = False
            sheet: Any = book.worksheets[0]
            sheet.reset_dimensions()  # the size that a sheet notes may be wrong, and would cut it
            for number, row in enumerate(sheet.iter_rows(), 1):
                values = [self._value(cell, number) for cell in row]
                if any(value is not None for value in values):
                    yield from held
                    held.clear()
                    yield number, values
                    began = True
                elif began:
                    held.append((number, values))
        finally:
            book.close()

    def _value(self, cell: Any, number: int) -> Any:
        value = cell.value
        if cell.data_type == "e":
            self.faults.append((number, f"{cell.column_letter}{number} is an error of Excel, {value}"))
            return None
        return None if value == "" else value

    def _open(self) -> Workbook:
        try:
            import openpyxl
        except ModuleNotFoundError:
            raise MissingExtra(f"{self._label}: reading Excel files", "excel") from None
        try:
            with warnings.catch_warnings():  # about parts of the file that are no cells
                warnings.simplefilter("ignore")
                book: Workbook = openpyxl.load_workbook(self._path, read_only=True, data_only=True)
        except (BadZipFile, KeyError, ValueError, openpyxl.utils.exceptions.InvalidFileException) as exc:
            raise TableError(f"{self._label} is not an Excel file, or is damaged ({exc})") from exc
        if not book.worksheets:
            raise TableError(f"{self._label} has no sheet of cells")
        return book

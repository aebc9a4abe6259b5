"""The final tables as an Excel workbook: a sheet a table, with the names in the first row and the units in the second.

Input: tables. Output: an xlsx file, whole or not at all. No cell is a formula. What Excel cannot hold is refused;
of logs and tracebacks, which are cut anyway, the beginning is kept.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from scythe_cli.core.extras import load_extra
from scythe_cli.errors import ConfigError
from scythe_cli.export.cells import is_formula, plain_columns
from scythe_cli.storage.atomic_files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from scythe_cli.export.tables import TableSource

ROWS = 1_048_576
COLUMNS = 16_384
TEXT = 32_767
SHEET_NAME = 31
HEADER_ROWS = 2
CELLS_A_SECOND = 50_000
"""As measured with xlsxwriter on a busy machine; a core that has nothing else to do writes three times as many."""
PATIENT_SECONDS = 20.0
EXACT = 2**53
"""Excel's numbers are floats: larger integers would lose digits, and are text."""
CUT_COLUMNS = frozenset({"log", "traceback", "message"})
"""Of errors.pq."""
_FIRST_DATE = date(1900, 3, 1)
"""Excel counts a 29 February 1900, and no day before."""
_BAD_IN_SHEET = re.compile(r"[\[\]:*?/\\']")
_HINT = "use --format csv"


def require_library() -> Any:
    """The library that writes workbooks. Raises `ConfigError` with the pip line where it is not installed."""
    return load_extra("xlsxwriter", extra="excel", purpose="--format xlsx")


def refuse_too_large(name: str, *, rows: int, columns: int) -> None:
    """Raise `ConfigError` for a table that is larger than a sheet."""
    if rows > ROWS - HEADER_ROWS:
        rule = f"{ROWS:,}, {HEADER_ROWS} of them for names and units"
        raise ConfigError(f"{name} has {rows:,} rows, and an Excel sheet has {rule}", hint=_HINT)
    if columns > COLUMNS:
        raise ConfigError(f"{name} has {columns:,} columns, and an Excel sheet has {COLUMNS:,}", hint=_HINT)


def slow_sentence(cells: int) -> str | None:
    """What to say before a workbook of so many cells is written; None where that takes no time worth a word."""
    seconds = cells / CELLS_A_SECOND
    if seconds < PATIENT_SECONDS:
        return None
    long = f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"
    return f"a workbook of {cells:,} cells may take {long} to write; --format csv takes a fraction of that"


def write_workbook(
    sources: Sequence[TableSource],
    path: Path,
    units: Mapping[str, str],
    on_rows: Callable[[int], None] = lambda _: None,
) -> list[str]:
    """Write all tables.

    Args:
        sources: the tables, in the order of the sheets.
        path: of the workbook.
        units: by the name of a column.
        on_rows: called with the number of rows that were just written.

    Returns:
        A sentence for each column of which cells were cut.

    Raises:
        ConfigError: a text is longer than a cell may be.
        OSError: the file cannot be written.
    """
    xlsxwriter = require_library()
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    try:
        with replacing(path) as aside:
            book = xlsxwriter.Workbook(str(aside), options | {"tmpdir": str(path.parent)})
            sheets = _Sheets(book, units, on_rows)
            try:
                for source in sources:
                    sheets.add(source)
            finally:
                book.close()
    except xlsxwriter.exceptions.FileCreateError as exc:
        raise OSError(exc.args[0].errno if isinstance(exc.args[0], OSError) else 0, str(exc)) from exc
    return sheets.cut


def sheet_names(tables: Sequence[str]) -> dict[str, str]:
    """Table -> the name of its sheet: at most 31 characters, and none twice in any case of letters."""
    names: dict[str, str] = {}
    taken = {"history"}  # Excel's own
    for table in tables:
        name, number = _BAD_IN_SHEET.sub("_", table)[:SHEET_NAME], 1
        while name.casefold() in taken:
            number += 1
            name = f"{table[: SHEET_NAME - len(str(number)) - 1]}~{number}"
        taken.add(name.casefold())
        names[table] = name
    return names


class _Sheets:
    """Writes tables into a workbook, row by row, which keeps the memory small."""

    def __init__(self, book: Any, units: Mapping[str, str], on_rows: Callable[[int], None]) -> None:
        self._on_rows = on_rows
        self._book = book
        self._units = units
        self._bold = book.add_format({"bold": True})
        self._italic = book.add_format({"italic": True, "font_color": "#666666"})
        self._quoted = book.add_format({"quote_prefix": True})
        self._moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self._day = book.add_format({"num_format": "yyyy-mm-dd"})
        self._names: dict[str, str] = {}
        self.cut: list[str] = []

    def add(self, source: TableSource) -> None:
        """Write one table to a sheet of its own. Raises `ConfigError` where Excel cannot hold it."""
        self._names = sheet_names([*self._names, source.name])
        sheet = self._book.add_worksheet(self._names[source.name])
        at = HEADER_ROWS
        cut: set[str] = set()
        for batch in source.batches():
            frame = plain_columns(batch)
            if at == HEADER_ROWS:
                self._write_header(sheet, frame.columns)
            refuse_too_large(source.name, rows=at - HEADER_ROWS + frame.height, columns=frame.width)
            for values in frame.iter_rows():
                for column, value in enumerate(values):
                    if value is None:
                        continue
                    if isinstance(value, str) and len(value) > TEXT:
                        value = self._shortened(source.name, frame.columns[column], value, at)  # noqa: PLW2901
                        cut.add(frame.columns[column])
                    self._write(sheet, at, column, value)
                at += 1
            self._on_rows(frame.height)
        self.cut += [
            f"{source.name}: texts of {name} are cut at {TEXT:,} characters, the most that a cell of Excel holds"
            for name in sorted(cut)
        ]

    def _write_header(self, sheet: Any, columns: Sequence[str]) -> None:
        for column, name in enumerate(columns):
            sheet.write_string(0, column, name, self._bold)
        for column, name in enumerate(columns):
            if unit := self._units.get(name, ""):
                sheet.write_string(1, column, unit, self._italic)
        sheet.freeze_panes(HEADER_ROWS, 0)

    @staticmethod
    def _shortened(table: str, column: str, text: str, at: int) -> str:
        if column not in CUT_COLUMNS:
            raise ConfigError(
                f"{table}, row {at - HEADER_ROWS + 1}: the text of {column} has {len(text):,} characters, and a cell "
                f"of Excel {TEXT:,}",
                hint=_HINT,
            )
        return f"{text[: TEXT - 4]} ..."

    def _write(self, sheet: Any, row: int, column: int, value: Any) -> None:
        if isinstance(value, bool):
            sheet.write_boolean(row, column, value)
        elif isinstance(value, str):
            sheet.write_string(row, column, value, self._quoted if is_formula(value) else None)
        elif isinstance(value, int | float):
            self._write_number(sheet, row, column, value)
        elif isinstance(value, datetime) and value.date() >= _FIRST_DATE:
            sheet.write_datetime(row, column, _without_zone(value), self._moment)
        elif isinstance(value, date) and not isinstance(value, datetime) and value >= _FIRST_DATE:
            sheet.write_datetime(row, column, value, self._day)
        elif isinstance(value, date | time | Decimal):
            sheet.write_string(row, column, str(value))
        else:
            raise AssertionError(f"{type(value)} is not a cell")

    @staticmethod
    def _write_number(sheet: Any, row: int, column: int, value: float) -> None:
        if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN is not itself
            sheet.write_string(row, column, "NaN" if value != value else str(value))  # noqa: PLR0124
        elif isinstance(value, int) and abs(value) > EXACT:
            sheet.write_string(row, column, str(value))
        else:
            sheet.write_number(row, column, value)


def _without_zone(value: datetime) -> datetime:
    """Excel has no time zones: times with one are in UTC."""
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo is not None else value

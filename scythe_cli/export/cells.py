"""The values of a final table as cells of text, numbers and times.

Input: batches of a final table. Output: the same columns; what a spreadsheet has no type for is text, lists and records
are JSON. Text that a spreadsheet would run as a formula is known by its first character.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

FORMULA = (
    "=+-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)
"""A text cell that begins with one of these may be run (OWASP, CSV injection)."""
QUOTE = "'"
"""Before such a text: spreadsheets then take it as text."""


def is_formula(text: str) -> bool:
    """Whether a spreadsheet may run a text."""
    return text[:1] in FORMULA and bool(text)


def guarded(text: str) -> str:
    """The text, with a quote before it where a spreadsheet may run it."""
    return QUOTE + text if is_formula(text) else text


def plain_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows; every column is of numbers, truth values, dates, times or text."""
    import polars as pl

    return frame.with_columns([_plain(frame[name]) for name in frame.columns if not _is_plain(frame[name].dtype, pl)])


def _is_plain(dtype: Any, pl: Any) -> bool:
    return bool(
        dtype.is_numeric()
        or dtype in (pl.Boolean, pl.String, pl.Date, pl.Time, pl.Null)
        or dtype.base_type() is pl.Datetime
    )


def _plain(column: pl.Series) -> pl.Series:
    """A column as text: lists and records as JSON, bytes in base64, durations as `1 day, 2:00:00`."""
    import polars as pl

    if column.dtype == pl.Binary:
        return column.bin.encode("base64")
    if column.dtype.is_nested() or column.dtype == pl.Object:
        values = [None if value is None else json.dumps(value, default=str) for value in column.to_list()]
    elif column.dtype.base_type() is pl.Duration:
        values = [None if value is None else str(value) for value in column.to_list()]
    else:
        return column.cast(pl.String)
    return pl.Series(column.name, values, dtype=pl.String)

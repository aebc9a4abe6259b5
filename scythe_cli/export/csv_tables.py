"""A final table as CSV: comma, UTF-8, a header, text in quotes. Input: a table. Output: a file, whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.export.cells import FORMULA, QUOTE, guarded, plain_columns
from scythe_cli.storage.atomic_files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import polars as pl

    from scythe_cli.export.tables import TableSource


def write_csv(source: TableSource, path: Path, on_rows: Callable[[int], None] = lambda _: None) -> None:
    """Write one table; `on_rows` is called with the number of rows that were just written. Raises `OSError`."""
    with replacing(path) as aside, aside.open("wb") as file:
        for number, batch in enumerate(source.batches()):
            cells = _as_text(plain_columns(batch))
            header = [guarded(name) for name in cells.columns]
            cells.rename(dict(zip(cells.columns, header, strict=True))).write_csv(
                file, include_header=not number, quote_style="non_numeric"
            )
            on_rows(batch.height)


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Times as `2026-01-31 12:00:00`, with their zone where they have one; a quote before what looks like a formula."""
    import polars as pl

    starts = "|".join(f"\\x{{{ord(character):x}}}" for character in FORMULA)
    columns = []
    for name, dtype in frame.schema.items():
        column = pl.col(name)
        if isinstance(dtype, pl.Datetime):
            columns.append(column.dt.strftime("%Y-%m-%d %H:%M:%S%.f" + ("%:z" if dtype.time_zone else "")))
        elif dtype == pl.String:
            runs = column.str.contains(f"^(?:{starts})")
            columns.append(pl.when(runs).then(pl.concat_str(pl.lit(QUOTE), column)).otherwise(column).alias(name))
    return frame.with_columns(columns)

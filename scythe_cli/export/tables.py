"""The final tables of a download, to be written in another format.

Input: the files of a downloaded table. Output: its rows, some at a time, and what it is made of.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.export.record import MADE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import polars as pl

    from scythe_cli.storage.base import Entry

BATCH_ROWS = 8192


@dataclass(frozen=True)
class TableSource:
    """One final table on this disk.

    Attributes:
        name: of the table.
        files: its parquet files, in order.
        etag: changes when the table does.
    """

    name: str
    files: list[Path]
    etag: str

    @property
    def rows(self) -> int:
        """How many rows it has, from the footers of its files."""
        import pyarrow.parquet as pq

        return sum(pq.read_metadata(path).num_rows for path in self.files)

    def batches(self) -> Iterator[pl.DataFrame]:
        """Its rows, at least one frame, each of few enough rows for any memory."""
        import polars as pl
        import pyarrow.parquet as pq

        empty = True
        for path in self.files:
            with pq.ParquetFile(path) as file:
                rows = max(1, min(BATCH_ROWS, 4_000_000 // max(1, len(file.schema_arrow))))
                for batch in file.iter_batches(rows):
                    empty = False
                    yield _frame(pl.from_arrow(batch))
        if empty:
            yield _frame(pl.from_arrow(pq.ParquetFile(self.files[0]).schema_arrow.empty_table()))


def _frame(found: pl.DataFrame | pl.Series) -> pl.DataFrame:
    import polars as pl

    assert isinstance(found, pl.DataFrame)  # noqa: S101 - a batch has columns
    return found


def sources(entries: Iterable[Entry], folder: Path) -> list[TableSource]:
    """The tables that some objects are, scalars first."""
    grouped: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.key):
        if name := layout.final_name(entry.key):
            grouped.setdefault(name, []).append(entry)
    names = sorted(grouped, key=lambda name: (name != layout.SCALARS, name))
    return [TableSource(name, [folder / one.key for one in grouped[name]], etag_of(grouped[name])) for name in names]


def etag_of(entries: Iterable[Entry]) -> str:
    """What a file is made from, as the record has it."""
    text = "\n".join(f"{entry.key} {entry.size} {entry.etag}" for entry in entries)
    return f"{MADE}{hashlib.sha256(text.encode()).hexdigest()[:32]}"

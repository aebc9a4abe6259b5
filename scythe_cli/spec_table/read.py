"""Read and check specs.

Input: a file, an address, a table or a list of models. Output: a `SpecTable`, or one error with everything that is
wrong.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel

from scythe_cli.columns.model_fields import read_fields
from scythe_cli.core import layout
from scythe_cli.errors import TableError
from scythe_cli.experiment.field_kinds import file_fields
from scythe_cli.spec_table.file_check import ReferencedFiles, absolute
from scythe_cli.spec_table.header import match_columns
from scythe_cli.spec_table.open_source import open_source
from scythe_cli.spec_table.reading import Reading
from scythe_cli.spec_table.report import TableReport
from scythe_cli.spec_table.table import SpecTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.columns.checks import Column
    from scythe_cli.experiment.models import ExperimentInputSpec
    from scythe_cli.spec_table.sources import Chunk, SpecSource


def read_specs(
    source: Any,
    model: type[ExperimentInputSpec],
    *,
    base: Path | None = None,
    limit: int | None = None,
    renumber: bool = False,
    place: str | None = None,
    check_files: bool = False,
    keeps_nulls: bool = False,
) -> SpecTable:
    """Read and check specs.

    Args:
        source: a path or address of a csv, parquet, feather or ndjson file; a polars, pandas or arrow table; a list of
            input models.
        model: the input model.
        base: the experiment file's folder; relative paths start from the specs file's folder, else from this.
        limit: take only the first so many specs.
        renumber: number the specs by their place, whatever `sort_index` they bring.
        place: where the settings give the source, for messages.
        check_files: check also that the files exist that the rows name.
        keeps_nulls: the table is a design's, where somebody wrote each null.

    Raises:
        TableError: everything that is wrong, in one report.
        InputFileError: a remote specs file does not exist, or only files that the rows name are wrong.
        StoreError: only servers of the specs or of files are unavailable, fail or refuse.
    """
    folder = (base or Path()).absolute()
    _refuse_other_models(source, model)
    opened = open_source(source, folder, place=place)
    opened.keeps_nulls = opened.keeps_nulls or keeps_nulls
    names, report, by_code = _matched(opened, model)
    if renumber:
        names = {found: name for found, name in names.items() if name != layout.SORT_INDEX}
    folders = [folder for folder in (opened.folder, folder) if folder is not None]
    reading = Reading(opened, model, names, report, ReferencedFiles(folders), by_code=by_code)
    for chunk, n in _limited(opened.chunks(), limit):
        reading.add(chunk, n)
    report.add_faults(reading.n_rows if limit is not None else None)
    order = reading.order()
    reading.finish(check_files=check_files)
    if reading.n_rows == 0:
        raise TableError(f"{opened.label} has no specs; give at least one row")
    table = reading.table()
    if order is not None:
        table = table.take(order)
    table = _addressed(table, model, folders)
    pa.default_memory_pool().release_unused()
    specs = SpecTable(table, model, opened.label, opened, order, reading.disk)
    if check_files:
        specs.check_files()
    return specs


def _matched(opened: SpecSource, model: type[ExperimentInputSpec]) -> tuple[dict[str, str], TableReport, bool]:
    """From columns to fields, what is wrong with them, and whether code of the model's makes fields of others."""
    report = TableReport(opened)
    names = match_columns(opened, model, report)
    if report.clean or opened.none_is_explicit or not read_fields(model).reads_rows:
        return names, report, False
    trial = TableReport(opened)
    wider = match_columns(opened, model, trial, by_code=True)
    if trial.clean and _takes_first_row(opened, model, wider):
        return wider, trial, True
    return names, report, False


def _takes_first_row(opened: SpecSource, model: type[ExperimentInputSpec], names: dict[str, str]) -> bool:
    """Whether the code of a model makes a valid spec of the first row, whatever its columns are."""
    chunks = opened.chunks()
    first = next(chunks, None)
    opened.chunks = lambda: chain(() if first is None else (first,), chunks)
    trial = Reading(opened, model, names, TableReport(opened), ReferencedFiles([]), by_code=True)
    if first is None:
        return False
    trial.add({name: cells[:1] for name, cells in first.items()}, 1)
    return trial.clean


def _limited(chunks: Iterator[Chunk], limit: int | None) -> Iterator[tuple[Chunk, int]]:
    left = limit
    for chunk in chunks:
        n = len(next(iter(chunk.values()))) if chunk else 0
        if left is None:
            yield chunk, n
            continue
        n = min(n, left)
        yield {name: cells[:n] for name, cells in chunk.items()}, n
        left -= n
        if left == 0:
            return


def _refuse_other_models(source: Any, model: type[ExperimentInputSpec]) -> None:
    for row, spec in enumerate(source) if isinstance(source, list | tuple) else ():
        if isinstance(spec, BaseModel) and not isinstance(spec, model):
            where = "" if type(spec).__name__ != model.__name__ else f" as {type(spec).__module__} has it now"
            raise TableError(
                f"specs row {row}  is a {type(spec).__name__}, and the experiment takes {model.__name__}{where}",
                hint="create the specs again: their class is another one, or is from before a reload"
                if where
                else None,
            )


def _addressed(table: pa.Table, model: type[ExperimentInputSpec], folders: list[Path]) -> pa.Table:
    """File fields with absolute local paths."""
    for name in file_fields(model):
        place = table.column_names.index(name)
        column: Column = table[name].combine_chunks()
        coded = column.dictionary_encode()
        known = [absolute(address, folders) for address in coded.dictionary.to_pylist()]
        found: Column = pa.array(known, pa.string()).take(coded.indices)
        table = table.set_column(place, table.schema.field(name), found)
    return table

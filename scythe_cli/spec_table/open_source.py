"""Open specs, whatever they are: a file, an address, a table in memory, a list of models.

Input: what a user gives. Output: a `SpecSource`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel

from scythe_cli.errors import TableError
from scythe_cli.experiment.settings import SpecsFile
from scythe_cli.spec_table.sources import CHUNK, ROWS, SpecSource, columns_of, first_line, from_batches
from scythe_cli.spec_table.spec_files import open_file

if TYPE_CHECKING:
    from scythe_cli.spec_table.sources import Chunk


def open_source(given: Any, base: Path, *, place: str | None = None) -> SpecSource:
    """Open specs, whatever they are.

    Args:
        given: a path or an address of a file, or a `SpecsFile`; a polars, pandas or arrow table; a list
            of models or dicts.
        base: what a relative path starts from.
        place: where the settings give the path, for messages; None where they do not.

    Raises:
        TableError: it does not exist, cannot be read, is empty, or is not what its name says.
        InputFileError: a remote file does not exist.
        StoreError: the server of a remote file is unavailable, fails or refuses.
    """
    if isinstance(given, str | Path):
        given = SpecsFile(file=str(given))
    if isinstance(given, SpecsFile):
        return open_file(given, base, f"{place}  specs: " if place else "")
    if hasattr(given, "__arrow_c_stream__"):
        return _from_table(given)
    if isinstance(given, list | tuple) and not given:
        raise TableError("specs is an empty list: there are no specs to run")
    if isinstance(given, Sequence) and all(isinstance(row, BaseModel) for row in given):
        return _from_models(given)
    if isinstance(given, Sequence) and all(isinstance(row, dict) for row in given):
        return _from_dicts(given)
    raise TableError(
        f"specs is {type(given).__name__}; give a path, a list of input models, or a polars, pandas or arrow table"
    )


def _from_table(table: Any) -> SpecSource:
    if hasattr(table, "to_frame"):
        raise TableError(f"specs is one column ({type(table).__name__}): give a table, such as series.to_frame()")
    if hasattr(table, "reset_index") and not table.columns.is_unique:  # pandas
        twice = table.columns[table.columns.duplicated()][0]
        raise TableError(f"specs  column {str(twice)!r} is there twice")
    if hasattr(table, "to_dicts") and "Object" in map(str, table.dtypes):  # polars, with a column of Python's objects
        return _from_dicts(table.to_dicts(), keeps_nulls=False)
    try:
        reader = pa.RecordBatchReader.from_stream(table)
        return from_batches("specs", reader.schema, lambda: reader, prefix="specs row ")
    except (pa.ArrowException, TypeError) as exc:
        if hasattr(table, "reset_index"):  # pandas, with a column of objects such as paths
            return _from_objects(table)
        raise TableError(f"the table given cannot be read: {first_line(exc)}") from exc


def _from_objects(frame: Any) -> SpecSource:
    """A pandas frame whose columns have Python's objects; its named index is columns, as in one without objects."""
    named = [name for name in frame.index.names if name is not None and name not in frame.columns]
    rows = (frame.reset_index(level=named) if named else frame).to_dict("records")
    plain = [{str(name): _no_nan(cell) for name, cell in row.items()} for row in rows]
    return _from_dicts(plain, keeps_nulls=False)


def _no_nan(cell: Any) -> Any:
    return None if isinstance(cell, float) and cell != cell else cell  # noqa: PLR0124 - only NaN is not itself


def _from_dicts(rows: Sequence[dict[str, Any]], *, keeps_nulls: bool = True) -> SpecSource:
    columns = dict.fromkeys(name for row in rows for name in row)
    if strange := [name for name in columns if not isinstance(name, str)]:
        row = next(at for at, cells in enumerate(rows) if strange[0] in cells)
        such = "" if isinstance(strange[0], tuple) else f", such as {str(strange[0])!r}"
        raise TableError(f"specs row {row}  has the key {strange[0]!r}: write the names of fields as text{such}")

    def chunks() -> Iterator[Chunk]:
        for at in range(0, len(rows), CHUNK):
            yield columns_of(rows[at : at + CHUNK], columns)

    def lacks(row: int, column: str) -> bool:
        return column not in rows[row]

    return SpecSource(
        "specs", ROWS, list(columns), chunks, lambda row: f"specs row {row}", lacks=lacks, keeps_nulls=keeps_nulls
    )


def _from_models(models: Sequence[BaseModel]) -> SpecSource:
    """Fields as they are, with scythe's own only where they were set."""
    kinds: set[type[BaseModel]] = {type(model) for model in models}
    names = dict.fromkeys(name for kind in sorted(kinds, key=str) for name in kind.model_fields)
    extra = dict.fromkeys(name for model in models for name in model.model_extra or {})
    columns = [name for name in [*names, *extra] if name != "sort_index" or _all_set(models)]

    def chunks() -> Iterator[Chunk]:
        for at in range(0, len(models), CHUNK):
            part = models[at : at + CHUNK]
            yield {name: [getattr(model, name, None) for model in part] for name in columns}

    return SpecSource("specs", ROWS, columns, chunks, lambda row: f"specs row {row}", none_is_explicit=True)


def _all_set(models: Sequence[BaseModel]) -> bool:
    n = sum("sort_index" in model.model_fields_set for model in models)
    if 0 < n < len(models):
        raise TableError(f"sort_index is set on {n:,} of {len(models):,} specs; set it on all or on none")
    return n > 0

"""Where specs come from: files, addresses, tables in memory, lists of models.

Input: what a user gives. Output: a `SpecSource`: names of columns, chunks of raw cells, and the place of each row as a
person finds it. Nothing here knows types of fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from scythe_cli.columns.checks import pc
from scythe_cli.errors import InputFileError, StoreError, TableError
from scythe_cli.spec_table.csv_reader import CsvFile
from scythe_cli.spec_table.ndjson_reader import JsonFile
from scythe_cli.storage import references
from scythe_cli.storage.address import RULE, Address, UnknownScheme

if TYPE_CHECKING:
    from scythe_cli.columns.checks import Column

CHUNK = 32_768
"""Rows that are looked at together; of python objects, so many at a time."""

Chunk = dict[str, "Column | list[Any]"]
"""Cells of some rows by column; a list where they are python objects."""

LINES = "rows are lines of the file, the header is line 1"
JSON_LINES = "rows are lines of the file, from 1"
ROWS = "rows are counted from 0"

_MAGIC = {
    b"PAR1": "a parquet file",
    b"ARROW1": "a feather file",
    b"PK\x03\x04": "an Excel or zip file",
    b"\x1f\x8b": "gzip",
}


@dataclass
class SpecSource:
    """Rows to be checked.

    Attributes:
        label: how messages call it.
        counting: how its rows are counted.
        columns: their names, as found.
        chunks: the rows, some at a time; to be read once.
        where: the place of a row.
        folder: what relative paths in it start from first, when it is a file.
        empty_is_null: whether text without a character is an empty cell.
        none_is_explicit: whether somebody wrote None, and it is a value.
        faults: once the chunks are read, places that are not rows, and why; among the first so many rows.
        heads: the place where a column first appears, by name, for sources without a header.
        lacks: whether a row does not have a column at all, where rows are mappings.
    """

    label: str
    counting: str
    columns: list[str]
    chunks: Callable[[], Iterator[Chunk]]
    where: Callable[[int], str]
    folder: Path | None = None
    empty_is_null: bool = False
    none_is_explicit: bool = False
    faults: Callable[[int], Iterable[tuple[str, str]]] = field(default=lambda _: ())
    heads: Mapping[str, str] = field(default_factory=dict)
    lacks: Callable[[int, str], bool] = field(default=lambda _row, _column: False)


def open_source(given: Any, base: Path, *, place: str | None = None) -> SpecSource:
    """Open specs, whatever they are.

    Args:
        given: a path or an address of a csv, parquet, feather or ndjson file; a polars, pandas or arrow table; a list
            of models or dicts.
        base: what a relative path starts from.
        place: where the settings give the path, for messages; None where they do not.

    Raises:
        TableError: it does not exist, cannot be read, is empty, or is not what its name says.
        InputFileError: a remote file does not exist.
        StoreError: the server of a remote file is unavailable, fails or refuses.
    """
    if isinstance(given, str | Path):
        return _open_file(str(given), base, f"{place}  specs: " if place else "")
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


def _open_file(address: str, base: Path, place: str) -> SpecSource:
    where = f"{place}{address}"
    try:
        parsed = Address.parse(address, base)
    except UnknownScheme:
        raise TableError(f"{where} cannot be read: it must be {RULE}") from None
    path = _fetched(address, place) if parsed.is_remote else parsed.path
    label = parsed.name
    opener = _KINDS.get(Path(label).suffix.lower())
    if path.is_dir():
        raise TableError(f"{where} is a folder ({path.absolute()}), not a file of specs")
    if opener is None:
        raise TableError(
            f"{where} is of a kind that scythe does not read: give .csv, .parquet (.pq), .feather (.arrow, .ipc) "
            "or .ndjson (.jsonl)"
        )
    if not path.exists():
        folder = "" if Path(address).is_absolute() else f" in {path.parent}"
        raise TableError(f"{where} does not exist{folder}.{references.nearest_file(path)}")
    try:
        _refuse_other_formats(path, where)
        source = opener(path, label)
    except OSError as exc:
        raise TableError(f"{where} cannot be read: {exc.strerror or exc}") from exc
    source.folder = None if parsed.is_remote else path.parent
    return source


def _fetched(address: str, place: str) -> Path:
    try:
        return references.fetch(address)
    except (InputFileError, StoreError) as exc:
        raise type(exc)(f"{place}{exc}") from exc


def _refuse_other_formats(path: Path, where: str) -> None:
    with path.open("rb") as file:
        head = file.read(8)
    if not head:
        raise TableError(f"{where} is empty")
    suffix = path.suffix.lower()
    for magic, what in _MAGIC.items():
        if head.startswith(magic) and _OWN_MAGIC.get(suffix) != magic:
            raise TableError(f"{where} is {what}, and its name says {suffix}")


def _open_csv(path: Path, label: str) -> SpecSource:
    file = CsvFile(path, label)
    names = file.header

    def chunks() -> Iterator[Chunk]:
        for batch in file.batches():
            for at in range(0, batch.num_rows, CHUNK):
                part = batch.slice(at, CHUNK)
                yield {name: part.column(place) for place, name in reversed(list(enumerate(names)))}

    def where(row: int) -> str:
        return f"{label}:{file.line(row)}"

    def faults(rows: int) -> Iterator[tuple[str, str]]:
        return ((f"{label}:{line}", why) for line, why in file.ragged(rows))

    return SpecSource(label, LINES, names, chunks, where, empty_is_null=True, faults=faults)


def _open_parquet(path: Path, label: str) -> SpecSource:
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowException as exc:
        with path.open("rb") as head:
            began = head.read(4) == b"PAR1"
        what = "is cut off or damaged" if began else "is not a parquet file, and its name says so"
        raise TableError(f"{label} {what} ({_first_line(exc)})") from exc
    return _from_batches(label, file.schema_arrow, lambda: file.iter_batches(CHUNK), prefix=f"{label} row ")


def _open_feather(path: Path, label: str) -> SpecSource:
    try:
        with path.open("rb") as head:
            stream = head.read(6) != b"ARROW1"
        opened = pa.memory_map(str(path))
        reader: Any = pa.ipc.open_stream(opened) if stream else pa.ipc.open_file(opened)
    except (pa.ArrowException, OSError) as exc:
        raise TableError(f"{label} is not a feather file, or is cut off ({_first_line(exc)})") from exc
    batches = (lambda: reader) if stream else lambda: map(reader.get_batch, range(reader.num_record_batches))
    return _from_batches(label, reader.schema, batches, prefix=f"{label} row ")


def _open_ndjson(path: Path, label: str) -> SpecSource:
    file = JsonFile(path)
    if file.empty:
        raise TableError(f"{label} is empty")

    def chunks() -> Iterator[Chunk]:
        return (_columns_of(rows, file.columns) for rows in file.rows(CHUNK))

    def faults(_: int) -> Iterator[tuple[str, str]]:
        return ((f"{label}:{line}", why) for line, why in file.faults)

    return SpecSource(
        label,
        JSON_LINES,
        list(file.columns),
        chunks,
        lambda row: f"{label}:{file.line(row)}",
        faults=faults,
        heads={key: f"{label}:{line}" for key, line in file.columns.items()},
        lacks=file.lacks,
    )


def _from_table(table: Any) -> SpecSource:
    try:
        reader = pa.RecordBatchReader.from_stream(table)
        return _from_batches("specs", reader.schema, lambda: reader, prefix="specs row ")
    except (pa.ArrowException, TypeError) as exc:
        if hasattr(table, "to_dict"):  # pandas, with a column of objects such as paths
            return _from_dicts(
                [{name: _no_nan(cell) for name, cell in row.items()} for row in table.to_dict("records")]
            )
        raise TableError(f"the table given cannot be read: {_first_line(exc)}") from exc


def _no_nan(cell: Any) -> Any:
    return None if isinstance(cell, float) and cell != cell else cell  # noqa: PLR0124 - only NaN is not itself


def _from_dicts(rows: Sequence[dict[str, Any]]) -> SpecSource:
    columns = dict.fromkeys(name for row in rows for name in row)

    def chunks() -> Iterator[Chunk]:
        for at in range(0, len(rows), CHUNK):
            yield _columns_of(rows[at : at + CHUNK], columns)

    def lacks(row: int, column: str) -> bool:
        return column not in rows[row]

    return SpecSource("specs", ROWS, list(columns), chunks, lambda row: f"specs row {row}", lacks=lacks)


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


def _from_batches(
    label: str, schema: pa.Schema, batches: Callable[[], Iterable[pa.RecordBatch]], *, prefix: str
) -> SpecSource:
    places = {name: place for place, name in reversed(list(enumerate(schema.names))) if not _is_pandas_index(name)}

    def chunks() -> Iterator[Chunk]:
        try:
            for batch in batches():
                for at in range(0, batch.num_rows, CHUNK):
                    part = batch.slice(at, CHUNK)
                    yield {name: _usual(part.column(place)) for name, place in places.items()}
        except (pa.ArrowException, OSError) as exc:
            raise TableError(f"{label} is cut off or damaged ({_first_line(exc)})") from exc

    names = [name for name in schema.names if not _is_pandas_index(name)]
    return SpecSource(label, ROWS, names, chunks, lambda row: f"{prefix}{row}")


def _is_pandas_index(name: str) -> bool:
    return name.startswith("__index_level_") and name.endswith("__")


def _columns_of(rows: Sequence[dict[str, Any]], names: Iterable[str]) -> Chunk:
    return {name: [row.get(name) for row in rows] for name in names}


def _usual(column: Column) -> Column:  # noqa: PLR0911 - one line for each pair of types
    """One of the types a column may have, in the form all other modules know."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _usual(column.dictionary).take(column.indices)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return column.cast(pa.binary())
    if pa.types.is_timestamp(kind) and kind.unit != "us":
        return pc.cast(column, pa.timestamp("us", kind.tz), safe=False)
    if pa.types.is_duration(kind) and kind.unit != "us":
        return pc.cast(column, pa.duration("us"), safe=False)
    if pa.types.is_date64(kind):
        return column.cast(pa.date32())
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        return column.cast(pa.float64())
    return column


def _first_line(exc: BaseException) -> str:
    return str(exc).strip().partition("\n")[0]


_KINDS: dict[str, Callable[[Path, str], SpecSource]] = {
    ".csv": _open_csv,
    ".parquet": _open_parquet,
    ".pq": _open_parquet,
    ".feather": _open_feather,
    ".arrow": _open_feather,
    ".ipc": _open_feather,
    ".ndjson": _open_ndjson,
    ".jsonl": _open_ndjson,
}
_OWN_MAGIC = {**dict.fromkeys([".parquet", ".pq"], b"PAR1"), **dict.fromkeys([".feather", ".arrow", ".ipc"], b"ARROW1")}

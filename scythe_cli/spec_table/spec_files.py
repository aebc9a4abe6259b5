"""Files of specs: csv, parquet, feather, ndjson, Excel; compressed ones, and a folder of parquet files.

Input: an address. Output: a `SpecSource`, or what is wrong with the file.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from scythe_cli.errors import InputFileError, StoreError, TableError
from scythe_cli.spec_table.readers.compressed import COMPRESSIONS, Unpacked
from scythe_cli.spec_table.readers.csv_reader import CsvFile
from scythe_cli.spec_table.readers.excel_reader import ExcelFile
from scythe_cli.spec_table.readers.ndjson_reader import JsonFile
from scythe_cli.spec_table.readers.pandas_index import indexed_batches, indexed_schema
from scythe_cli.spec_table.sources import CHUNK, SpecSource, columns_of, first_line, from_batches
from scythe_cli.storage import references
from scythe_cli.storage.address import RULE, Address, UnknownScheme, WindowsPath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scythe_cli.experiment.settings import SpecsFile
    from scythe_cli.spec_table.sources import Chunk

LINES = "rows are lines of the file, the header is line 1"
JSON_LINES = "rows are lines of the file, from 1"
SHEET_ROWS = "rows have the numbers that Excel shows"

_MAGIC = {
    b"PAR1": "a parquet file",
    b"ARROW1": "a feather file",
    b"PK\x03\x04": "an Excel or zip file",
    b"\x1f\x8b": "gzip",
}


def open_file(given: SpecsFile, base: Path, place: str) -> SpecSource:
    """Open a file, or a folder of parquet files.

    Args:
        given: the address, and how the file is written.
        base: what a relative path starts from.
        place: goes before messages.

    Raises:
        TableError: it does not exist, cannot be read, is empty, or is not what its name says.
        InputFileError: a remote file does not exist.
        StoreError: the server of a remote file is unavailable, fails or refuses.
    """
    address = given.file
    where = f"{place}{address}"
    try:
        parsed = Address.parse(address, base)
    except WindowsPath as exc:
        raise TableError(f"{where} {exc}") from None
    except UnknownScheme:
        raise TableError(f"{where} cannot be read: it must be {RULE}") from None
    path = _fetched(address, place) if parsed.is_remote else parsed.path
    try:
        source = _opened(path, parsed.name, given, where)
    except OSError as exc:
        raise TableError(f"{where} cannot be read: {exc.strerror or exc}") from exc
    source.folder = None if parsed.is_remote else path.parent
    return source


def _opened(path: Path, label: str, given: SpecsFile, where: str) -> SpecSource:
    if path.is_dir():
        return _open_folder(path, label, where)
    suffix = _suffix(label)
    opener = _OPENERS.get(suffix)
    if opener is None:
        raise TableError(f"{where} is of a kind that scythe does not read{_INSTEAD.get(suffix, READABLE)}")
    if not path.exists():
        folder = "" if Path(given.file).is_absolute() else f" in {path.parent}"
        raise TableError(f"{where} does not exist{folder}.{references.nearest_file(path)}")
    if _is_marked(given) and suffix != ".csv":
        raise TableError(f"{where}: separator and decimal are for .csv files, and this is {suffix}")
    if (packing := Path(label).suffix.lower()) in COMPRESSIONS:
        _refuse_other_formats(path, packing, where)
        unpacked = Unpacked(path, where)
        source = opener(unpacked.path, label, given)
        return replace(source, chunks=_keeping(unpacked, source.chunks))
    _refuse_other_formats(path, suffix, where)
    return opener(path, label, given)


def _suffix(name: str) -> str:
    """What says the kind of a file: ".csv", also of `a.csv.gz`."""
    path = Path(name)
    return (Path(path.stem) if path.suffix.lower() in COMPRESSIONS else path).suffix.lower()


def _is_marked(given: SpecsFile) -> bool:
    return (given.separator, given.decimal) != (",", ".")


def _keeping(unpacked: Unpacked, chunks: Callable[[], Iterator[Chunk]]) -> Callable[[], Iterator[Chunk]]:
    """The chunks of a file that exists as long as they do."""

    def kept() -> Iterator[Chunk]:
        assert unpacked.path  # noqa: S101 - held until the source is
        return chunks()

    return kept


def _fetched(address: str, place: str) -> Path:
    try:
        return references.fetch(address)
    except (InputFileError, StoreError) as exc:
        raise type(exc)(f"{place}{exc}") from exc


def _refuse_other_formats(path: Path, suffix: str, where: str) -> None:
    with path.open("rb") as file:
        head = file.read(8)
    if not head:
        raise TableError(f"{where} is empty")
    for magic, what in _MAGIC.items():
        if head.startswith(magic) and _OWN_MAGIC.get(suffix) != magic:
            raise TableError(f"{where} is {what}, and its name says {suffix}")


def _open_folder(path: Path, label: str, where: str) -> SpecSource:
    """A folder of parquet files of one schema, as Spark, dask or `frames.max_file` write it."""
    parts = sorted(part for part in path.iterdir() if part.suffix.lower() in {".parquet", ".pq"})
    if not parts:
        raise TableError(f"{where} is a folder ({path.absolute()}), not a file of specs, and has no parquet files")
    files = [_parquet_file(part, f"{label}/{part.name}") for part in parts]
    first = indexed_schema(files[0].schema_arrow)
    for part, file in zip(parts, files, strict=True):
        if indexed_schema(file.schema_arrow).names != first.names:
            raise TableError(f"{label}/{part.name} has other columns than {parts[0].name}: {_difference(file, first)}")
    batches = chain.from_iterable(
        indexed_batches(file.schema_arrow, file.iter_batches(CHUNK), f"{label}/{part.name}")
        for part, file in zip(parts, files, strict=True)
    )
    kinds = [{part.name: part.type for part in indexed_schema(file.schema_arrow)} for file in files]
    mixed = frozenset(name for name in first.names if len({kind[name] for kind in kinds}) > 1)
    return from_batches(label, first, lambda: batches, prefix=f"{label} row ", mixed=mixed)


def _difference(file: pq.ParquetFile, first: pa.Schema) -> str:
    names = indexed_schema(file.schema_arrow).names
    more = [name for name in names if name not in first.names]
    less = [name for name in first.names if name not in names]
    return "the order differs" if not more and not less else ", ".join([*more, *(f"no {name}" for name in less)][:5])


def _open_csv(path: Path, label: str, given: SpecsFile) -> SpecSource:
    file = CsvFile(path, label, given.separator)
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

    return SpecSource(label, LINES, names, chunks, where, empty_is_null=True, faults=faults, decimal=given.decimal)


def _open_parquet(path: Path, label: str, _given: SpecsFile) -> SpecSource:
    file = _parquet_file(path, label)
    return from_batches(label, file.schema_arrow, lambda: file.iter_batches(CHUNK), prefix=f"{label} row ")


def _parquet_file(path: Path, label: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except pa.ArrowException as exc:
        with path.open("rb") as head:
            began = head.read(4) == b"PAR1"
        what = "is cut off or damaged" if began else "is not a parquet file, and its name says so"
        raise TableError(f"{label} {what} ({first_line(exc)})") from exc


def _open_feather(path: Path, label: str, _given: SpecsFile) -> SpecSource:
    try:
        with path.open("rb") as head:
            stream = head.read(6) != b"ARROW1"
        opened = pa.memory_map(str(path))
        reader: Any = pa.ipc.open_stream(opened) if stream else pa.ipc.open_file(opened)
    except (pa.ArrowException, OSError) as exc:
        raise TableError(f"{label} is not a feather file, or is cut off ({first_line(exc)})") from exc
    batches = (lambda: reader) if stream else lambda: map(reader.get_batch, range(reader.num_record_batches))
    return from_batches(label, reader.schema, batches, prefix=f"{label} row ")


def _open_ndjson(path: Path, label: str, _given: SpecsFile) -> SpecSource:
    file = JsonFile(path)
    if file.empty:
        raise TableError(f"{label} is empty")

    def chunks() -> Iterator[Chunk]:
        return (columns_of(rows, file.columns) for rows in file.rows(CHUNK))

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
        keeps_nulls=True,
    )


def _open_excel(path: Path, label: str, _given: SpecsFile) -> SpecSource:
    file = ExcelFile(path, label)

    def chunks() -> Iterator[Chunk]:
        for rows in file.rows(CHUNK):
            columns = [list(column) for column in zip(*rows, strict=True)]
            yield dict(reversed(list(zip(file.header, columns, strict=True))))

    def faults(_: int) -> Iterator[tuple[str, str]]:
        return ((f"{label}:{number}", why) for number, why in file.faults)

    def where(row: int) -> str:
        return f"{label}:{file.line(row)}"

    return SpecSource(label, SHEET_ROWS, file.header, chunks, where, empty_is_null=True, faults=faults)


READABLE = (
    ": give .csv, .parquet (.pq), .feather (.arrow, .ipc), .ndjson (.jsonl) or .xlsx; .csv and .ndjson may end in "
    ".gz, .zst or .bz2"
)
_INSTEAD = {
    ".xls": ": open it in Excel and save it as .xlsx",
    ".ods": ": save it as .xlsx or as CSV",
    ".tsv": ': rename it to .csv and write `specs: {file: NAME.csv, separator: "\\t"}`',
    ".txt": ": if it is a table, rename it to .csv and write `specs: {file: NAME.csv, separator: ...}`",
    ".json": ": write one object a line, and name it .ndjson",
    ".zip": ": unpack it",
}
_OPENERS: dict[str, Callable[[Path, str, SpecsFile], SpecSource]] = {
    ".csv": _open_csv,
    **dict.fromkeys([".parquet", ".pq"], _open_parquet),
    **dict.fromkeys([".feather", ".arrow", ".ipc"], _open_feather),
    **dict.fromkeys([".ndjson", ".jsonl"], _open_ndjson),
    **dict.fromkeys([".xlsx", ".xlsm"], _open_excel),
}
_OWN_MAGIC = {
    **dict.fromkeys([".parquet", ".pq"], b"PAR1"),
    **dict.fromkeys([".feather", ".arrow", ".ipc"], b"ARROW1"),
    **dict.fromkeys([".xlsx", ".xlsm"], b"PK\x03\x04"),
    ".gz": b"\x1f\x8b",
}

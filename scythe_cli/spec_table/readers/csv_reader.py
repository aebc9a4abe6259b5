"""A CSV file as columns of text, with the line of each row.

Input: a path. Output: record batches of text (an empty cell is null, a quoted empty one is ""), and what is wrong with
the file's shape. Arrow reads the cells; Python's own reader, which agrees with it on quotes and blank lines, counts the
lines, and only when a message needs them.
"""

from __future__ import annotations

import csv
import re
import sys
from array import array
from contextlib import contextmanager
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.csv

from scythe_cli.errors import TableError
from scythe_cli.spec_table.readers.column_letters import spell_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = 4 << 20
_SNIFF = 64 << 10
_EXCEL_LINE = re.compile(rb"(?:\xef\xbb\xbf)?\"?sep=([;,\t|])\"?\r?\n", re.IGNORECASE)
_SEPARATORS = {
    ";": ("semicolons", '";"'),
    "\t": ("tabs", '"\\t"'),
    "|": ("bars", '"|"'),
    ",": ("commas", '","'),
}
"""The name of each usual separator, and how YAML has it."""


class CsvFile:
    """One CSV file in UTF-8.

    Args:
        path: the file.
        label: how messages call it.
        separator: the character between two cells.

    Raises:
        TableError: it is not such a file, or empty.
    """

    def __init__(self, path: Path, label: str, separator: str = ",") -> None:
        self._path = path
        self._label = label
        self._separator = separator
        self._ragged = False
        self._lines = array("q")
        self._scan: Iterator[tuple[int, int]] | None = None
        self.header, self._header_line = self._read_header()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in the file's order; columns are called by their place, "0", "1", ...; ragged rows are left out."""
        names = [str(place) for place in range(len(self.header))]
        self._refuse_open_quote()
        try:
            with pa.csv.open_csv(
                self._path,
                read_options=pa.csv.ReadOptions(
                    block_size=_BLOCK, column_names=names, skip_rows=self._header_line, use_threads=True
                ),
                parse_options=pa.csv.ParseOptions(
                    delimiter=self._separator, newlines_in_values=True, invalid_row_handler=self._leave_out
                ),
                convert_options=pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            ) as reader:
                yield from reader
        except pa.ArrowInvalid as exc:
            if "Empty CSV" in str(exc):
                return  # a header and nothing else
            self._refuse_other_encodings()
            raise TableError(f"{self._label} cannot be read as CSV: {exc}") from exc

    def line(self, row: int) -> int:
        """The line that row number `row` begins in; the header is line 1 unless blank lines come before it."""
        if self._scan is None:
            self._scan = ((line, cells) for line, cells, _ in self._records() if cells == len(self.header))
        missing = row + 1 - len(self._lines)
        self._lines.extend(line for line, _ in islice(self._scan, max(0, missing)))
        return self._lines[row]

    def ragged(self, rows: int) -> Iterator[tuple[int, str]]:
        """The lines among the first `rows` good ones that do not have as many cells as the header, and why."""
        if not self._ragged:
            return
        width = len(self.header)
        longer: list[int] = []
        widest = width
        for line, cells, empty in self._records():
            if cells > width and cells - empty <= width:
                longer.append(line)
                widest = max(widest, cells)
            elif cells != width:
                yield line, f"has {cells} cell{'s' * (cells != 1)}, and the header has {width}"
            elif (rows := rows - 1) == 0:
                break
        if longer:
            more = f" (and {len(longer) - 1:,} more lines)" if len(longer) > 1 else ""
            yield longer[0], f"ends in empty cells{more}: delete the empty {spell_columns(width + 1, widest)}"

    def _leave_out(self, _row: pa.csv.InvalidRow) -> Literal["skip"]:
        self._ragged = True
        return "skip"

    def _records(self) -> Iterator[tuple[int, int, int]]:
        """Of each record after the header: its line, the number of its cells, and how many are empty at its end."""
        with self._reader() as reader:
            before = 0
            for record in reader:
                if record and before >= self._header_line:
                    yield before + 1, len(record), sum(1 for _ in takewhile(lambda cell: not cell, reversed(record)))
                before = reader.line_num

    @contextmanager
    def _reader(self, *, strict: bool = False) -> Iterator[Any]:
        limit = csv.field_size_limit(sys.maxsize)
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                yield csv.reader(file, strict=strict, delimiter=self._separator)
        finally:
            csv.field_size_limit(limit)

    def _read_header(self) -> tuple[list[str], int]:
        with self._path.open("rb") as file:
            head = file.read(_SNIFF)
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise TableError(f"{self._label} is UTF-16 text; save it as UTF-8")
        if found := _EXCEL_LINE.match(head):
            mark = found[1].decode()
            written = _SEPARATORS.get(mark, ("", f'"{mark}"'))[1]
            instead = (
                "" if mark == self._separator else f", and write `specs: {{file: {self._label}, separator: {written}}}`"
            )
            raise TableError(f"{self._label} begins with `sep={mark}`, a line for Excel alone: delete it{instead}")
        if b"\0" in head:
            raise TableError(f"{self._label} is not a text file, and its name says CSV")
        try:
            with self._reader() as reader:
                for record in reader:
                    if record:
                        self._refuse_other_separators(record)
                        return record, reader.line_num
        except UnicodeDecodeError:
            self._refuse_other_encodings()
        except csv.Error as exc:
            raise TableError(f"{self._label} cannot be read as CSV: {exc}") from exc
        raise TableError(f"{self._label} is empty; its first line names the columns")

    def _refuse_other_separators(self, header: list[str]) -> None:
        for mark, (name, written) in _SEPARATORS.items():
            if len(header) == 1 and mark in header[0] and mark != self._separator:
                instead = f"write `specs: {{file: {self._label}, separator: {written}}}`"
                comma = ', with `decimal: ","` where its numbers have a comma' if mark == ";" else ""
                raise TableError(f"{self._label} is separated by {name}: {instead}{comma}")

    def _refuse_other_encodings(self) -> None:
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode()
                except UnicodeDecodeError as exc:
                    bad = line[exc.start : exc.start + 1]
                    raise TableError(
                        f"{self._label}:{number} is not UTF-8 text (byte {bad!r}); save the file as UTF-8"
                    ) from exc

    def _refuse_open_quote(self) -> None:
        """A file cut within quotes ends in one long cell; an odd number of quotes shows that early."""
        quotes = 0
        with self._path.open("rb") as file:
            while block := file.read(_BLOCK):
                quotes += block.count(b'"')
        if quotes % 2 == 0:
            return
        with self._reader(strict=True) as reader:
            before = 0
            while True:
                try:
                    if next(reader, None) is None:
                        return
                except csv.Error as exc:
                    if "end of data" in str(exc):
                        raise TableError(
                            f"{self._label}:{before + 1} opens a quote that is never closed; is the file cut off?"
                        ) from exc
                except UnicodeDecodeError:
                    self._refuse_other_encodings()
                before = reader.line_num

"""Footers of parquet files: the same row groups further on, and a row group made of chunks of columns.

A footer is a struct of thrift's compact protocol, and holds places as bytes from the start of the file. Everything but
the places and sums is copied as it is.

Sources: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift for the fields,
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md for how they are written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PLACE = "a place"
_CHUNK_PLACES: dict[int, Any] = {
    2: _PLACE,  # file_offset
    3: {9: _PLACE, 10: _PLACE, 11: _PLACE, 14: _PLACE},  # pages: data, index, dictionary; Bloom filter
}
_PLACES: dict[int, Any] = {
    4: {  # row_groups
        1: _CHUNK_PLACES,  # columns
        5: _PLACE,  # file_offset
    }
}
"""Which fields are places, by their numbers: those of structs in structs, also of structs in lists."""
_ROWS, _ROW_GROUPS = 3, 4
_COLUMNS = 1
_META = 3
_UNPACKED, _PACKED, _DATA, _DICTIONARY = 6, 7, 9, 11
_STOP = 0
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_LONG = 15
"""The length of a list that is written after its first byte."""


@dataclass(frozen=True)
class ColumnChunk:
    """The values of one column in a row group.

    Attributes:
        about: what the footer says of it.
        start: the place of its first page.
        packed: bytes of its pages.
        unpacked: the same, before they were packed.
    """

    about: bytes
    start: int
    packed: int
    unpacked: int

    def at(self, place: int) -> bytes:
        """What a footer says of it where its first page is at this place."""
        return _Moving(self.about, place - self.start).result(_CHUNK_PLACES)


def moved(footer: bytes, by: int) -> bytes:
    """A footer whose places are `by` bytes further on. It must know of no page index, whose own places would be wrong.

    Raises IndexError or ValueError where it is not a footer.
    """
    return _Moving(footer, by).result(_PLACES)


def chunks(footer: bytes) -> list[ColumnChunk]:
    """The chunks of a footer with one row group, in the order of its columns."""
    found: list[ColumnChunk] = []
    reader = _FooterReader(footer)
    for field, kind in reader.fields():
        if field != _ROW_GROUPS:
            reader.skip(kind)
            continue
        for _ in range(reader.length()[0]):
            found += _chunks_of_group(reader)
    return found


def _chunks_of_group(reader: _FooterReader) -> list[ColumnChunk]:
    found: list[ColumnChunk] = []
    for field, kind in reader.fields():
        if field == _COLUMNS:
            found += [_chunk(reader) for _ in range(reader.length()[0])]
        else:
            reader.skip(kind)
    return found


def _chunk(reader: _FooterReader) -> ColumnChunk:
    start, numbers = reader.place, dict[int, int]()
    for field, kind in reader.fields():
        if field != _META:
            reader.skip(kind)
            continue
        for of_meta, its_kind in reader.fields():
            if its_kind == _I64:
                numbers[of_meta] = _signed(reader.number())
            else:
                reader.skip(its_kind)
    first = min((numbers[field] for field in (_DATA, _DICTIONARY) if numbers.get(field)), default=0)
    return ColumnChunk(reader.data[start : reader.place], first, numbers[_PACKED], numbers[_UNPACKED])


def with_group(footer: bytes, columns: Sequence[ColumnChunk], *, rows: int, start: int) -> bytes:
    """The footer of a file without row groups, with one.

    Args:
        footer: of a file without rows.
        columns: their pages follow each other.
        rows: how many rows they have.
        start: the place of the first page.
    """
    abouts, place = [], start
    for one in columns:
        abouts.append(one.at(place))
        place += one.packed
    group = bytes([1 << 4 | _LIST]) + _structs(abouts)
    numbers = (1, sum(one.unpacked for one in columns)), (1, rows), (2, start), (1, place - start)
    for step, number in numbers:  # total_byte_size, num_rows, file_offset, total_compressed_size
        group += bytes([step << 4 | _I64]) + _number(number << 1)
    new, reader, copied = bytearray(), _FooterReader(footer), 0
    for field, kind in reader.fields():
        at = reader.place
        reader.skip(kind)
        if field in (_ROWS, _ROW_GROUPS):
            new += footer[copied:at] + (_number(rows << 1) if field == _ROWS else _structs([group + bytes([_STOP])]))
            copied = reader.place
    return bytes(new + footer[copied:])


def _structs(items: Sequence[bytes]) -> bytes:
    """A list of structs."""
    length = len(items)
    head = bytes([min(length, _LONG) << 4 | _STRUCT])
    return head + (_number(length) if length >= _LONG else b"") + b"".join(items)


class _FooterReader:
    """Reads a struct.

    Attributes:
        data: the bytes.
        place: of the next one.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """The number and the kind of each field of a struct; its value is next, and is to be read or skipped."""
        field = 0
        while (head := self.byte()) != _STOP:
            step, kind = head >> 4, head & 15
            field = field + step if step else _signed(self.number())
            yield field, kind

    def skip(self, kind: int, *, listed: bool = False) -> None:
        """Go past a value. Of a field that is true or false the kind is the value; in a list it is a byte."""
        if kind == _STRUCT:
            for _, of_field in self.fields():
                self.skip(of_field)
        elif kind in (_I16, _I32, _I64):
            self.number()
        elif kind == _BINARY:
            length = self.number()
            self.place += length
        elif kind in (_LIST, _SET):
            length, of_items = self.length()
            for _ in range(length):
                self.skip(of_items, listed=True)
        elif kind in (_TRUE, _FALSE):
            self.place += listed
        elif kind == _BYTE:
            self.place += 1
        elif kind == _DOUBLE:
            self.place += 8
        elif kind == _MAP:
            length = self.number()
            kinds = self.byte() if length else 0
            for _ in range(length):
                self.skip(kinds >> 4, listed=True)
                self.skip(kinds & 15, listed=True)
        else:
            raise ValueError(f"thrift has no kind {kind}")

    def length(self) -> tuple[int, int]:
        """How many items a list has, and of which kind."""
        head = self.byte()
        length = head >> 4
        return (self.number() if length == _LONG else length), head & 15

    def byte(self) -> int:
        """The next byte."""
        value = self.data[self.place]
        self.place += 1
        return value

    def number(self) -> int:
        """An unsigned number: seven bits in each byte, the lowest first; the last byte is below 128."""
        value = shift = 0
        while (byte := self.byte()) > 127:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift


class _Moving:
    """Copies a struct with other places."""

    def __init__(self, data: bytes, by: int) -> None:
        self._reader = _FooterReader(data)
        self._by = by
        self._new = bytearray()
        self._copied = 0

    def result(self, places: dict[int, Any]) -> bytes:
        """The copy."""
        self._struct(places)
        return bytes(self._new + self._reader.data[self._copied :])

    def _struct(self, places: dict[int, Any]) -> None:
        reader = self._reader
        for field, kind in reader.fields():
            where = places.get(field)
            if where is _PLACE and kind == _I64:
                self._move()
            elif where is None or where is _PLACE:
                reader.skip(kind)
            elif kind == _LIST:
                for _ in range(reader.length()[0]):
                    self._struct(where)
            else:
                self._struct(where)

    def _move(self) -> None:
        reader = self._reader
        self._new += reader.data[self._copied : reader.place]
        place = _signed(reader.number())
        self._copied = reader.place
        self._new += _number((place + self._by) << 1 if place else 0)  # 0: no place


def _signed(number: int) -> int:
    """Signs are in the lowest bit."""
    return number >> 1 ^ -(number & 1)


def _number(left: int) -> bytes:
    made = bytearray()
    while left > 127:
        made.append(left & 127 | 128)
        left >>= 7
    made.append(left)
    return bytes(made)

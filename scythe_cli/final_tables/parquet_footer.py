"""The footer of a parquet file, moved: the same row groups, so many bytes further on.

A footer is a struct of thrift's compact protocol, and holds places as bytes from the start of the file. Everything but
the places is copied as it is.

Sources: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift for the fields,
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md for how they are written.
"""

from __future__ import annotations

from typing import Any

_PLACE = "a place"
_PLACES: dict[int, Any] = {
    4: {  # row_groups
        1: {  # columns
            2: _PLACE,  # file_offset
            3: {9: _PLACE, 10: _PLACE, 11: _PLACE, 14: _PLACE},  # pages: data, index, dictionary; Bloom filter
        },
        5: _PLACE,  # file_offset
    }
}
"""Which fields are places, by their numbers: those of structs in structs, also of structs in lists."""
_STOP = 0
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_LONG = 15
"""The length of a list that is written after its first byte."""


def moved(footer: bytes, by: int) -> bytes:
    """A footer whose places are `by` bytes further on. It must know of no page index, whose own places would be wrong.

    Raises IndexError or ValueError where it is not a footer.
    """
    return _Moving(footer, by).result()


class _Moving:
    def __init__(self, footer: bytes, by: int) -> None:
        self._old = footer
        self._by = by
        self._new = bytearray()
        self._at = self._copied = 0

    def result(self) -> bytes:
        self._struct(_PLACES)
        return bytes(self._new + self._old[self._copied :])

    def _struct(self, places: dict[int, Any]) -> None:
        field = 0
        while (head := self._byte()) != _STOP:
            step, kind = head >> 4, head & 15
            field = field + step if step else _signed(self._number())
            where = places.get(field)
            if where is _PLACE and kind == _I64:
                self._move()
            elif kind not in (_TRUE, _FALSE):  # the value of a field of these is its kind
                self._value(kind, where or {})

    def _value(self, kind: int, places: dict[int, Any]) -> None:
        if kind == _STRUCT:
            self._struct(places)
        elif kind in (_I16, _I32, _I64):
            self._number()
        elif kind == _BINARY:
            length = self._number()
            self._at += length
        elif kind in (_LIST, _SET):
            head = self._byte()
            length = head >> 4
            for _ in range(self._number() if length == _LONG else length):
                self._value(head & 15, places)
        elif kind in (_TRUE, _FALSE, _BYTE):
            self._at += 1
        elif kind == _DOUBLE:
            self._at += 8
        elif kind == _MAP:
            self._map()
        else:
            raise ValueError(f"thrift has no kind {kind}")

    def _map(self) -> None:
        length = self._number()
        kinds = self._byte() if length else 0
        for _ in range(length):
            self._value(kinds >> 4, {})
            self._value(kinds & 15, {})

    def _move(self) -> None:
        self._new += self._old[self._copied : self._at]
        place = _signed(self._number())
        self._copied = self._at
        self._new += _number(place + self._by if place else 0)  # 0: no place

    def _byte(self) -> int:
        value = self._old[self._at]
        self._at += 1
        return value

    def _number(self) -> int:
        """An unsigned number: seven bits in each byte, the lowest first; the last byte is below 128."""
        value = shift = 0
        while (byte := self._byte()) > 127:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift


def _signed(number: int) -> int:
    """Signs are in the lowest bit."""
    return number >> 1 ^ -(number & 1)


def _number(place: int) -> bytes:
    left = place << 1
    made = bytearray()
    while left > 127:
        made.append(left & 127 | 128)
        left >>= 7
    made.append(left)
    return bytes(made)

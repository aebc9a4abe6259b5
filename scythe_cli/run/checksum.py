"""A checksum of all bytes of a parquet object, inside of it: parquet's own cover its pages and not its footer.

Takes an object that has room for the checksum in its footer's metadata; leaves it with the CRC-32 of the whole, taken
while the room was empty. Objects of older versions have no seal.
"""

from __future__ import annotations

import zlib

KEY = b"scythe.crc32"
ROOM = b"00000000"
"""What stands in the metadata until the object is sealed: eight digits, for a CRC-32 in hex."""

_BEFORE = KEY + b"\x18\x08"
"""Thrift's compact protocol: the second field of a key and its value is a string, of eight bytes."""


class BrokenSeal(ValueError):
    """The bytes are not those that were sealed."""


def seal(data: memoryview) -> bytes:
    """Put the checksum where its room is."""
    tail = bytes(data[-8 - int.from_bytes(data[-8:-4], "little") :])
    at = len(data) - len(tail) + tail.rindex(_BEFORE) + len(_BEFORE)
    return b"".join((data[:at], _digits(zlib.crc32(data)), data[at + len(ROOM) :]))


def check(data: bytes) -> bool:
    """Whether an object has a seal. Raises `BrokenSeal` when it is not this object's."""
    found = data.rfind(_BEFORE)
    if found < 0:
        return False
    view, at = memoryview(data), found + len(_BEFORE)
    crc = zlib.crc32(view[at + len(ROOM) :], zlib.crc32(ROOM, zlib.crc32(view[:at])))
    if _digits(crc) != view[at : at + len(ROOM)]:
        raise BrokenSeal("its checksum is another")
    return True


def _digits(crc: int) -> bytes:
    return b"%08x" % crc

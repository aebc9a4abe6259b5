"""A checksum of all bytes of a parquet object, written into its footer: parquet's own do not cover the footer.

Input: a parquet object with an empty checksum in its footer's metadata. Output: the same object with the CRC-32 of its
bytes as they were with the empty checksum. Objects of older versions have no checksum.
"""

from __future__ import annotations

import zlib

KEY = b"scythe.crc32"
EMPTY = b"00000000"
"""The empty checksum: eight digits, which the CRC-32 in hex replaces."""

_BEFORE = KEY + b"\x18\x08"
"""Thrift's compact protocol: the second field of a key and its value is a string, of eight bytes."""


class ChecksumMismatch(ValueError):
    """The bytes are not those that were written."""


def fill_in(data: memoryview) -> bytes:
    """Replace the empty checksum by the real one."""
    tail = bytes(data[-8 - int.from_bytes(data[-8:-4], "little") :])
    at = len(data) - len(tail) + tail.rindex(_BEFORE) + len(_BEFORE)
    return b"".join((data[:at], _digits(zlib.crc32(data)), data[at + len(EMPTY) :]))


def verify(data: bytes) -> bool:
    """Whether an object has a checksum. Raises `ChecksumMismatch` when it does not match."""
    found = data.rfind(_BEFORE)
    if found < 0:
        return False
    view, at = memoryview(data), found + len(_BEFORE)
    crc = zlib.crc32(view[at + len(EMPTY) :], zlib.crc32(EMPTY, zlib.crc32(view[:at])))
    if _digits(crc) != view[at : at + len(EMPTY)]:
        raise ChecksumMismatch("its checksum does not match")
    return True


def _digits(crc: int) -> bytes:
    return b"%08x" % crc

"""Messages between a supervisor and its lanes: a JSON header and any number of byte buffers, length-prefixed.

Never pickles. A reader that got half a message keeps it until the rest arrives, so a sender may die at any byte. User
code that writes to every descriptor it finds writes to this stream too: what no sender of ours sent is an error.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

_LENGTHS = struct.Struct("<4sIQI")
"""A mark, bytes of the header, bytes of all buffers together, checksum of header and buffers."""
_MARK = b"\xb7scy"

PIECE_BYTES = 1 << 20
HEADER_LIMIT = 1 << 30


class ProtocolError(ValueError):
    """What arrived is not a message."""


def pack(header: dict[str, Any], buffers: Sequence[bytes | memoryview] = ()) -> bytes:
    """The bytes of one message. The header gets a key `buffers`, the length of each."""
    head = json.dumps({**header, "buffers": [len(b) for b in buffers]}).encode()
    checksum = zlib.crc32(head)
    for buffer in buffers:
        checksum = zlib.crc32(buffer, checksum)
    return b"".join((_LENGTHS.pack(_MARK, len(head), sum(map(len, buffers)), checksum), head, *buffers))


def _unpack(lengths: bytes | bytearray) -> tuple[int, int, int]:
    mark, head, body, checksum = _LENGTHS.unpack_from(lengths)
    if mark != _MARK or head > HEADER_LIMIT:
        raise ProtocolError("a message does not begin like this")
    return head, body, checksum


def _message(held: memoryview, head: int, checksum: int) -> tuple[dict[str, Any], list[bytes]]:
    """The message whose header is so many bytes long."""
    if zlib.crc32(held) != checksum:
        raise ProtocolError("what arrived is not what was sent")
    header = json.loads(bytes(held[:head]))
    buffers, at = [], head
    for length in header["buffers"]:
        buffers.append(bytes(held[at : at + length]))
        at += length
    return header, buffers


class Inbox:
    """Reassembles messages from the pieces that a stream delivers."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, piece: bytes) -> Iterator[tuple[dict[str, Any], list[bytes]]]:
        """Take one piece; yield each message that is now whole. Raises `ProtocolError`."""
        self._held += piece
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> tuple[dict[str, Any], list[bytes]] | None:
        if len(self._held) < _LENGTHS.size:
            return None
        head, body, checksum = _unpack(self._held)
        end = _LENGTHS.size + head + body
        if len(self._held) < end:
            return None
        with memoryview(self._held) as whole, whole[_LENGTHS.size : end] as held:
            message = _message(held, head, checksum)
        del self._held[:end]
        return message


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[bytes]] | None:
    """Block for one message; None at the end of the stream. Raises `ProtocolError`."""
    lengths = _exactly(sock, _LENGTHS.size)
    if lengths is None:
        return None
    head, body, checksum = _unpack(lengths)
    held = _exactly(sock, head + body)
    return None if held is None else _message(memoryview(held), head, checksum)


def _exactly(sock: socket.socket, n: int) -> bytes | None:
    held = bytearray()
    while len(held) < n:
        piece = sock.recv(min(n - len(held), PIECE_BYTES))
        if not piece:
            return None
        held += piece
    return bytes(held)

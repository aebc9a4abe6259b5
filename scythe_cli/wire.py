"""Messages between a supervisor and its lanes: a JSON header and any number of byte buffers, length-prefixed.

Never pickles. A reader that got half a message keeps it until the rest arrives, so a sender may die at any byte.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

_LENGTHS = struct.Struct("<IQ")
"""Bytes of the header, bytes of all buffers together."""

CHUNK = 1 << 20


def pack(header: dict[str, Any], buffers: Sequence[bytes | memoryview] = ()) -> bytes:
    """The bytes of one message. The header gets a key `buffers`, the length of each."""
    head = json.dumps({**header, "buffers": [len(b) for b in buffers]}).encode()
    return b"".join((_LENGTHS.pack(len(head), sum(map(len, buffers))), head, *buffers))


class Inbox:
    """Reassembles messages from the pieces that a stream delivers."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, piece: bytes) -> Iterator[tuple[dict[str, Any], list[bytes]]]:
        """Take one piece; yield each message that is now whole."""
        self._held += piece
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> tuple[dict[str, Any], list[bytes]] | None:
        if len(self._held) < _LENGTHS.size:
            return None
        head, body = _LENGTHS.unpack_from(self._held)
        at = _LENGTHS.size + head
        if len(self._held) < at + body:
            return None
        header = json.loads(self._held[_LENGTHS.size : at])
        buffers = []
        for length in header["buffers"]:
            buffers.append(bytes(self._held[at : at + length]))
            at += length
        del self._held[:at]
        return header, buffers


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[bytes]] | None:
    """Block for one message; None at the end of the stream."""
    lengths = _exactly(sock, _LENGTHS.size)
    if lengths is None:
        return None
    head, body = _LENGTHS.unpack(lengths)
    text, data = _exactly(sock, head), _exactly(sock, body)
    if text is None or data is None:
        return None
    header = json.loads(text)
    buffers, at = [], 0
    for length in header["buffers"]:
        buffers.append(data[at : at + length])
        at += length
    return header, buffers


def _exactly(sock: socket.socket, n: int) -> bytes | None:
    held = bytearray()
    while len(held) < n:
        piece = sock.recv(min(n - len(held), CHUNK))
        if not piece:
            return None
        held += piece
    return bytes(held)

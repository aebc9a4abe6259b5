"""What the core asks of a store: bytes under keys, whole or not at all."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeAlias

from scythe_cli.errors import BrokenRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import polars as pl


@dataclass(frozen=True)
class Entry:
    """One object of a listing.

    Attributes:
        key: relative to the store's root.
        size: bytes.
        etag: changes when the content does; of no other meaning.
        modified: when it was written, in seconds since 1970 by the store's clock; 0 where that is not known.
    """

    key: str
    size: int
    etag: str
    modified: float = field(default=0.0, compare=False)


Ticker: TypeAlias = "Callable[[int], None]"
"""Called with the number of bytes that just moved."""


MANIFEST_LIMIT = 4 << 20
"""Bytes of a manifest, a frozen experiment file or a mark: many thousand columns, and seconds to parse."""
PLAN_LIMIT = 64 << 20
"""Bytes of a mark that lists rows, each of which may be a range of its own."""

PARTIAL = ".partial-"
"""How the names of half-written files begin. No key may hold such a segment, no listing shows one."""


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_key(key: str) -> str:
    """Return `key`, one or more segments joined by "/", none of which can leave the root or hide.

    Raises:
        ValueError: a segment is empty, "." or "..", holds a control character, or begins as half-written
            files do.
    """
    for segment in key.split("/"):
        if segment in {"", ".", ".."} or segment.startswith(PARTIAL) or _CONTROL.search(segment):
            raise ValueError(f"{key!r} is not a valid key: the segment {segment!r} is not allowed")
    return key


def check_prefix(prefix: str) -> str:
    """Return the folder `prefix` with a slash after it; "" stays "", the root."""
    return check_key(prefix.rstrip("/")) + "/" if prefix else ""


def check_size(address: str, size: int, limit: int | None) -> None:
    """Raise `BrokenRun` for an object that is larger than what is ever written under its name."""
    if limit is not None and size > limit:
        message = f"{address} has {size:,} bytes, more than the {limit:,} that such an object may have"
        raise BrokenRun(message, hint="restore it from a copy, or move it away")


class Store(Protocol):
    """A folder or a bucket's prefix. Safe to use from several threads.

    Every method raises `StoreError` when the store refuses or does not answer, and refuses with `ValueError` a key that
    would leave the root. Other people may write to the same place: links that lead out of the root are not followed
    (`BrokenRun`), nothing but regular files is listed or read, and what is parsed is read with a `limit`.
    """

    @property
    def address(self) -> str:
        """The root: `s3://bucket/prefix` or an absolute path, without a trailing slash."""

    def locate(self, key: str) -> str:
        """The full address of `key`; "" gives the root."""

    def within(self, prefix: str) -> Store:
        """The same store, rooted deeper. Touches nothing."""

    def read(self, key: str, *, limit: int | None = None) -> bytes:
        """The whole object. Raises `KeyMissing`, and `BrokenRun` for one of more than `limit` bytes, unread."""

    def open_file(self, key: str) -> BinaryIO | None:
        """The object's own file, open to be read; None where it has none on this machine. Raises `KeyMissing`."""

    def stat(self, key: str) -> Entry:
        """Size and etag of an object. Raises `KeyMissing`."""

    def write(self, key: str, data: bytes, *, new: bool = False) -> None:
        """Put the whole object, durably. With `new`, raises `KeyExists` where the key is taken: one racer wins."""

    def delete(self, key: str) -> None:
        """Remove an object. One that is not there is no error."""

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """All objects whose key starts with the folder `prefix`, at any depth, in no particular order."""

    def children(self, prefix: str = "") -> Sequence[str]:
        """The names of the folders directly below the folder `prefix`, sorted. Each real folder has one name."""

    def upload(self, key: str, path: Path, *, on_bytes: Ticker | None = None, consume: bool = False) -> None:
        """Put a file, streamed. With `consume` the caller gives the file up and the store may move it instead.

        Raises `errors.InputFileError` when `path` itself cannot be read.
        """

    def download(self, key: str, path: Path, *, on_bytes: Ticker | None = None) -> None:
        """Get an object into `path`, streamed and atomic: the file is never there in part. Raises `KeyMissing`."""

    def copy_from(self, source: Store, source_key: str, key: str) -> bool:
        """Copy an object of a store of the same kind and place, without its bytes passing through this process.

        The copy is an object of its own. Returns False, and does nothing, where the other store is elsewhere. Raises
        `KeyMissing`.
        """

    def scan(self, keys: Sequence[str]) -> pl.LazyFrame:
        """Parquet files of one schema as one frame, which is read when it is collected, as far as it is needed."""

"""What the core asks of a store: bytes under keys, whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """One object of a listing.

    Attributes:
        key: relative to the store's root.
        size: bytes.
        etag: changes when the content does; of no other meaning.
    """

    key: str
    size: int
    etag: str


Ticker = Callable[[int], None] if TYPE_CHECKING else object
"""Called with the number of bytes that just moved."""


class Store(Protocol):
    """A folder or a bucket's prefix. Safe to use from several threads.

    Every method raises `StoreError` when the store refuses or does not answer, and refuses with `ValueError` a key that
    would leave the root.
    """

    @property
    def address(self) -> str:
        """The root: `s3://bucket/prefix` or an absolute path, without a trailing slash."""

    def locate(self, key: str) -> str:
        """The full address of `key`; "" gives the root."""

    def within(self, prefix: str) -> Store:
        """The same store, rooted deeper. Touches nothing."""

    def read(self, key: str) -> bytes:
        """The whole object. Raises `KeyMissing`."""

    def write(self, key: str, data: bytes, *, new: bool = False) -> None:
        """Put the whole object, durably. With `new`, raises `KeyExists` where the key is taken; one of many racers wins."""

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """All objects whose key starts with the folder `prefix`, at any depth, in no particular order."""

    def children(self, prefix: str = "") -> list[str]:
        """The names of the folders directly below the folder `prefix`, sorted."""

    def upload(self, key: str, path: Path, *, on_bytes: Ticker | None = None, consume: bool = False) -> None:
        """Put a file, streamed. With `consume` the caller gives the file up and the store may move it instead."""

    def download(self, key: str, path: Path, *, on_bytes: Ticker | None = None) -> None:
        """Get an object into `path`, streamed and atomic: no half file ever stands there. Raises `KeyMissing`."""

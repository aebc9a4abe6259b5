"""Runs in a folder. Input: bytes and files. Output: whole, fsynced files, written aside, then linked or renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from scythe_cli.errors import KeyExists, KeyMissing
from scythe_cli.storage.atomic_files import as_store_error, move, place, source_file, write_aside
from scythe_cli.storage.base import PARTIAL, Entry, check_key, check_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scythe_cli.storage.base import Ticker

CHUNK = 1 << 20


class LocalStore:
    """A folder as a `Store`. The folder is made by the first write.

    A write costs one fsync of the file and one of its folder.
    """

    def __init__(self, root: str | Path) -> None:
        self._root = Path(os.path.normpath(Path(root).expanduser().absolute()))

    @property
    def address(self) -> str:
        return str(self._root)

    def locate(self, key: str) -> str:
        return str(self._path(key)) if key else self.address

    def within(self, prefix: str) -> LocalStore:
        return LocalStore(self._root / check_prefix(prefix))

    def read(self, key: str) -> bytes:
        with self._found(key) as path:
            return path.read_bytes()

    def stat(self, key: str) -> Entry:
        with self._found(key) as path:
            found = path.stat()
            if stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            return Entry(key, found.st_size, _etag(found))

    def write(self, key: str, data: bytes, *, new: bool = False) -> None:
        path = self._path(key)
        with as_store_error("write", path):
            if new and path.exists():
                raise KeyExists(f"{path} exists already")
            partial = write_aside(path, lambda file: file.write(data))
            place(partial, path, new=new)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with as_store_error("delete", path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()

    def list(self, prefix: str = "") -> Iterator[Entry]:
        head = check_prefix(prefix)
        top = self._root / head
        with as_store_error("list", top):
            self._check_root()
            yield from _walk(str(top), head)

    def children(self, prefix: str = "") -> Sequence[str]:
        top = self._root / check_prefix(prefix)
        with as_store_error("list", top):
            self._check_root()
            return sorted(entry.name for entry in _scan(top) if entry.is_dir())

    def upload(self, key: str, path: Path, *, on_bytes: Ticker | None = None, consume: bool = False) -> None:
        target = self._path(key)
        with source_file(path) as source, as_store_error("write", target):
            if consume and move(path, source, target):
                if on_bytes:
                    on_bytes(os.fstat(source.fileno()).st_size)
                return
            place(write_aside(target, lambda file: _copy(source, file, on_bytes)), target, new=False)
            if consume:
                path.unlink(missing_ok=True)

    def download(self, key: str, path: Path, *, on_bytes: Ticker | None = None) -> None:
        with self._found(key) as found, found.open("rb") as source, as_store_error("write", path):
            place(write_aside(path, lambda file: _copy(source, file, on_bytes)), path, new=False)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    @contextlib.contextmanager
    def _found(self, key: str) -> Iterator[Path]:
        """No object, a folder, or a path through a file: on every store these say that the key is missing."""
        path = self._path(key)
        with as_store_error("read", path):
            try:
                yield path
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as exc:
                self._check_root()
                raise KeyMissing(f"{path} does not exist") from exc

    def _check_root(self) -> None:
        if self._root.exists() and not self._root.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self._root))


def _copy(source: BinaryIO, file: BinaryIO, on_bytes: Ticker | None) -> None:
    while chunk := source.read(CHUNK):
        file.write(chunk)
        if on_bytes:
            on_bytes(len(chunk))


def _walk(folder: str, head: str) -> Iterator[Entry]:
    """All files below, skipping what vanishes meanwhile. Links to folders are followed unless they lead back up."""
    pending = [(folder, head)]
    while pending:
        folder, head = pending.pop()
        for entry in _scan(folder):
            if entry.is_dir():
                if not (entry.is_symlink() and _leads_up(entry.path)):
                    pending.append((entry.path, f"{head}{entry.name}/"))
                continue
            with contextlib.suppress(FileNotFoundError):
                found = entry.stat()
                yield Entry(f"{head}{entry.name}", found.st_size, _etag(found))


def _scan(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(PARTIAL)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _leads_up(path: str) -> bool:
    return Path(path).parent.resolve().is_relative_to(Path(path).resolve())


def _etag(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"

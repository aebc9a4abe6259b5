"""Runs in a folder. Input: bytes and files. Output: whole, fsynced files, written aside, then linked or renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from scythe_cli.errors import BrokenRun, KeyExists, KeyMissing
from scythe_cli.storage.atomic_files import as_store_error, move, place, source_file, write_aside
from scythe_cli.storage.base import PARTIAL, Entry, check_key, check_prefix, check_size
from scythe_cli.storage.empty_folders import clear_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

    from scythe_cli.storage.base import Store, Ticker

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

    def read(self, key: str, *, limit: int | None = None) -> bytes:
        with self._opened(key) as file:
            check_size(self.locate(key), os.fstat(file.fileno()).st_size, limit)
            return file.read()

    def open_file(self, key: str) -> BinaryIO | None:
        with self._opened(key) as file:
            return os.fdopen(os.dup(file.fileno()), "rb")

    def stat(self, key: str) -> Entry:
        with self._found(key) as path:
            found = path.stat()
            if stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            _check_regular(path, found)
            return Entry(key, found.st_size, _etag(found), found.st_mtime)

    def write(self, key: str, data: bytes, *, new: bool = False) -> None:
        path = self._target(key)
        with as_store_error("write", path):
            clear_folder(path)
            if new and path.exists():
                raise KeyExists(f"{path} exists already")
            partial = write_aside(path, lambda file: file.write(data))
            place(partial, path, new=new)

    def delete(self, key: str) -> None:
        path = self._target(key)
        with as_store_error("delete", path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()

    def list(self, prefix: str = "") -> Iterator[Entry]:
        head = check_prefix(prefix)
        top = self._root / head
        with as_store_error("list", top):
            self._check_root()
            yield from _walk(str(self._inside(top)), head, os.path.realpath(self._root))

    def children(self, prefix: str = "") -> Sequence[str]:
        top = self._root / check_prefix(prefix)
        with as_store_error("list", top):
            self._check_root()
            return sorted(_folders(top, os.path.realpath(self._root)))

    def upload(self, key: str, path: Path, *, on_bytes: Ticker | None = None, consume: bool = False) -> None:
        target = self._target(key)
        with source_file(path) as source, as_store_error("write", target):
            clear_folder(target)
            if consume and move(path, source, target):
                if on_bytes:
                    on_bytes(os.fstat(source.fileno()).st_size)
                return
            place(write_aside(target, lambda file: _copy(source, file, on_bytes)), target, new=False)
            if consume:
                path.unlink(missing_ok=True)

    def download(self, key: str, path: Path, *, on_bytes: Ticker | None = None) -> None:
        with self._opened(key) as source, as_store_error("write", path):
            place(write_aside(path, lambda file: _copy(source, file, on_bytes)), path, new=False)

    def copy_from(self, source: Store, source_key: str, key: str) -> bool:
        if not isinstance(source, LocalStore):
            return False
        target = self._target(key)
        with source._opened(source_key) as file, as_store_error("write", target):
            place(write_aside(target, lambda aside: _clone(file, aside)), target, new=False)
        return True

    def scan(self, keys: Sequence[str]) -> pl.LazyFrame:
        import polars as pl

        return pl.scan_parquet([self._path(key) for key in keys], glob=False)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _target(self, key: str) -> Path:
        """A path to write or delete. A link there is replaced or deleted itself."""
        path = self._path(key)
        self._inside(path.parent)
        return path

    def _inside(self, path: Path) -> Path:
        """The same path. Raises `BrokenRun` where a link below the root leads out of it."""
        if _has_links(str(path), str(self._root)) and not _is_below(str(path), os.path.realpath(self._root)):
            raise BrokenRun(
                f"{path} leads out of {self._root} through a link, and links out of a run are not followed",
                hint="replace the link with the folder or file itself",
            )
        return path

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[BinaryIO]:
        """A regular file, open to be read. Without O_NONBLOCK, opening a pipe would wait for a writer."""
        with self._found(key) as path:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                _check_regular(path, os.fstat(descriptor))
                with open(descriptor, "rb", closefd=False) as file:
                    yield file
            finally:
                os.close(descriptor)

    @contextlib.contextmanager
    def _found(self, key: str) -> Iterator[Path]:
        """No object, a folder, or a path through a file: in every store these mean that the key is missing."""
        path = self._inside(self._path(key))
        with as_store_error("read", path):
            try:
                yield path
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as exc:
                self._check_root()
                raise KeyMissing(f"{path} does not exist") from exc

    def _check_root(self) -> None:
        if self._root.exists() and not self._root.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self._root))


def _clone(source: BinaryIO, target: BinaryIO) -> None:
    """Copy inside the kernel: some file systems share the blocks until one of the two is written to."""
    left = os.fstat(source.fileno()).st_size
    while left > 0 and hasattr(os, "copy_file_range"):
        try:
            moved = os.copy_file_range(source.fileno(), target.fileno(), left)
        except OSError:  # between two file systems, or one that cannot
            break
        if not moved:  # the end, or a file system that says nothing more of what it cannot
            break
        left -= moved
    if left > 0:
        _copy(source, target, None)


def _copy(source: BinaryIO, file: BinaryIO, on_bytes: Ticker | None) -> None:
    while chunk := source.read(CHUNK):
        file.write(chunk)
        if on_bytes:
            on_bytes(len(chunk))


def _walk(folder: str, head: str, root: str) -> Iterator[Entry]:
    """All regular files below, skipping what vanishes meanwhile.

    A link is followed when it stays below `root`; each folder is listed once, by its own name where it has one here.
    """
    seen: set[tuple[int, int]] = set()
    pending, linked = [(folder, head)], list[tuple[str, str]]()
    while pending or linked:
        folder, head = pending.pop() if pending else linked.pop()
        if not _first_visit(folder, seen):
            continue
        for entry in _scan(folder):
            is_link = entry.is_symlink()
            if is_link and not (_is_below(entry.path, root) and not _leads_up(entry.path)):
                continue
            if _is_folder(entry):
                (linked if is_link else pending).append((entry.path, f"{head}{entry.name}/"))
                continue
            with contextlib.suppress(OSError):
                found = entry.stat()
                if stat.S_ISREG(found.st_mode):
                    yield Entry(f"{head}{entry.name}", found.st_size, _etag(found), found.st_mtime)


def _first_visit(folder: str, seen: set[tuple[int, int]]) -> bool:
    try:
        found = os.stat(folder)  # noqa: PTH116 - a listing asks for every folder
    except OSError:
        return False
    known = len(seen)
    seen.add((found.st_dev, found.st_ino))
    return len(seen) > known


def _scan(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(PARTIAL)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False


def _has_links(path: str, root: str) -> bool:
    """Whether a part of a path below the root is a link; a tenth of the cost of `realpath`."""
    at = len(root)
    while at >= 0:
        at = path.find("/", at + 1)
        try:
            if stat.S_ISLNK(os.lstat(path if at < 0 else path[:at]).st_mode):
                return True
        except OSError:  # nothing is there, or below a file
            return False
    return False


def _is_below(path: str, root: str) -> bool:
    real = os.path.realpath(path)
    return real == root or real.startswith(f"{root.rstrip('/')}/")


def _folders(top: Path, root: str) -> Iterator[str]:
    """The names of the folders in one, links that lead out of `root` too. Each real folder has one name."""
    links: dict[str, str] = {}
    for entry in sorted(_scan(top), key=lambda entry: entry.name):
        if not _is_folder(entry):
            continue
        if not entry.is_symlink():
            yield entry.name
        elif not _is_below(entry.path, root):  # what is below the root has a name of its own there
            links.setdefault(os.path.realpath(entry.path), entry.name)
    yield from links.values()


def _leads_up(path: str) -> bool:
    return _is_below(os.path.dirname(path), os.path.realpath(path))  # noqa: PTH120 - a listing asks for every link


def _check_regular(path: Path, found: os.stat_result) -> None:
    """Raise unless it is a file with an end: not a pipe, a device or a socket."""
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise BrokenRun(f"{path} is not a regular file but a pipe, a device or a socket", hint="move it away")


def _etag(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"

"""Runs in a folder. Takes bytes and files, leaves whole, fsynced files: written aside, then linked or renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from scythe_cli.errors import KeyExists, KeyMissing, ReferenceError, StoreError  # noqa: A004 - the tree's name for it
from scythe_cli.stores.base import PARTIAL, Entry, check_key, check_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scythe_cli.stores.base import Ticker

CHUNK = 1 << 20
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}
_ADVICE = {
    errno.EACCES: "check the permissions",
    errno.EPERM: "check the permissions",
    errno.EROFS: "the disk is mounted read-only; choose another folder",
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some of your quota or choose another folder",
    errno.ENOTDIR: "a part of the path is a file; choose another folder",
    errno.EISDIR: "a folder stands where a file should",
    errno.EEXIST: "a part of the path is a file; choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name or folder",
    errno.EMFILE: "too many open files; raise `ulimit -n`",
}


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

    def write(self, key: str, data: bytes, *, new: bool = False) -> None:
        path = self._path(key)
        with _told("write", path):
            if new and path.exists():
                raise KeyExists(f"{path} exists already")
            partial = _write_aside(path, lambda file: file.write(data))
            _place(partial, path, new=new)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        head = check_prefix(prefix)
        top = self._root / head
        with _told("list", top):
            self._check_root()
            yield from _walk(str(top), head)

    def children(self, prefix: str = "") -> Sequence[str]:
        top = self._root / check_prefix(prefix)
        with _told("list", top):
            self._check_root()
            return sorted(entry.name for entry in _scan(top) if entry.is_dir())

    def upload(self, key: str, path: Path, *, on_bytes: Ticker | None = None, consume: bool = False) -> None:
        target = self._path(key)
        with _source(path) as source, _told("write", target):
            if consume and _move(path, source, target):
                if on_bytes:
                    on_bytes(os.fstat(source.fileno()).st_size)
                return
            _place(_write_aside(target, lambda file: _copy(source, file, on_bytes)), target, new=False)
            if consume:
                path.unlink(missing_ok=True)

    def download(self, key: str, path: Path, *, on_bytes: Ticker | None = None) -> None:
        with self._found(key) as found, found.open("rb") as source, _told("write", path):
            partial = _write_aside(path, lambda file: _copy(source, file, on_bytes))
            partial.replace(path)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    @contextlib.contextmanager
    def _found(self, key: str) -> Iterator[Path]:
        """No object, a folder, or a path through a file: on every store these say that the key is missing."""
        path = self._path(key)
        with _told("read", path):
            try:
                yield path
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as exc:
                self._check_root()
                raise KeyMissing(f"{path} does not exist") from exc

    def _check_root(self) -> None:
        if self._root.exists() and not self._root.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self._root))


@contextlib.contextmanager
def _told(operation: str, path: Path) -> Iterator[None]:
    """The edge where the system's errors become ours."""
    try:
        yield
    except OSError as exc:
        advice = _ADVICE.get(exc.errno or 0, "check the disk")
        raise StoreError(f"cannot {operation} {path}: {exc.strerror or exc} ({advice})") from exc


@contextlib.contextmanager
def _source(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as exc:
        raise ReferenceError(f"cannot read {path}: {exc.strerror or exc}") from exc
    with file:
        yield file


def _write_aside(path: Path, fill: Callable[[BinaryIO], object]) -> Path:
    """Write and fsync a hidden file beside `path`; return its path."""
    partial = _partial(path)
    descriptor = _open_new(partial)
    try:
        with os.fdopen(descriptor, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        _forget(partial)
        raise
    return partial


def _open_new(partial: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(partial, flags, 0o666)
    except FileNotFoundError:
        _make_folder(partial.parent)
        return os.open(partial, flags, 0o666)


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents; a new name is durable when the folder that holds it is fsynced."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _place(partial: Path, path: Path, *, new: bool) -> None:
    """Give the hidden file its name, or remove it."""
    try:
        if new:
            _link(partial, path)
        else:
            partial.replace(path)
    except BaseException:
        _forget(partial)
        raise
    _sync_folder(path.parent)


def _link(partial: Path, path: Path) -> None:
    """Name the file only if the name is free: of many racers one wins."""
    try:
        path.hardlink_to(partial)
    except FileExistsError as exc:
        if partial.stat().st_nlink < 2:  # NFS may answer so to the winner, whose file has two names then
            raise KeyExists(f"{path} exists already") from exc
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        _create(partial, path)
    _forget(partial)


def _create(partial: Path, path: Path) -> None:
    """For disks without hard links: still one winner, but a power cut may leave the file short."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError as exc:
        raise KeyExists(f"{path} exists already") from exc
    with os.fdopen(descriptor, "wb") as file:
        file.write(partial.read_bytes())
        file.flush()
        os.fsync(file.fileno())


def _move(path: Path, source: BinaryIO, target: Path) -> bool:
    """Move a file to `target`; False when it must be copied: another disk, a link, or a file with other names."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        return False
    os.fsync(source.fileno())
    _make_folder(target.parent)
    try:
        path.replace(target)
    except OSError as exc:
        if exc.errno in {errno.EXDEV, errno.EACCES, errno.EPERM}:
            return False
        raise
    _sync_folder(target.parent)
    return True


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


def _partial(path: Path) -> Path:
    return path.parent / f"{PARTIAL}{os.urandom(8).hex()}"


def _forget(partial: Path) -> None:
    with contextlib.suppress(OSError):
        partial.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in {errno.EINVAL, errno.ENOTSUP}:  # some network disks cannot, and say so
            raise
    finally:
        os.close(descriptor)

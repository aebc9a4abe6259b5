"""Files on disk, written whole or not at all: written aside, fsynced, then linked or renamed.

Input: bytes and a path. Output: the file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from scythe_cli.errors import InputFileError, KeyExists, StoreError
from scythe_cli.storage.base import PARTIAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}
_ADVICE = {
    errno.EACCES: "check the permissions",
    errno.EPERM: "check the permissions",
    errno.EROFS: "the disk is mounted read-only; choose another folder",
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some of your quota or choose another folder",
    errno.ENOTDIR: "a part of the path is a file; choose another folder",
    errno.EISDIR: "there is a folder where the file should be",
    errno.EEXIST: "a part of the path is a file; choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name or folder",
    errno.EMFILE: "too many open files; raise `ulimit -n`",
}


@contextlib.contextmanager
def as_store_error(operation: str, path: Path) -> Iterator[None]:
    """Turn the system's errors into a `StoreError` that names the path and what to check."""
    try:
        yield
    except OSError as exc:
        advice = _ADVICE.get(exc.errno or 0, "check the disk")
        raise StoreError(f"cannot {operation} {path}: {exc.strerror or exc} ({advice})") from exc


@contextlib.contextmanager
def source_file(path: Path) -> Iterator[BinaryIO]:
    """A file of the user's, open to be read. A pipe or a device, which may have no end, is refused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise InputFileError(f"cannot read {path}: {exc.strerror or exc}") from exc
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputFileError(f"cannot read {path}: it is a folder, a pipe, a device or a socket, not a file")
    with os.fdopen(descriptor, "rb") as file:
        try:
            yield file
        except OSError as exc:
            if exc.filename is not None:
                raise
            raise InputFileError(f"cannot read {path}: {exc.strerror or exc}") from exc


def write_aside(path: Path, fill: Callable[[BinaryIO], object]) -> Path:
    """Write and fsync a hidden file next to `path`; return its path."""
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


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file next to `path` that takes its name at the end of the block, and is removed where the block fails.

    Not fsynced: for what can be made again.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        yield aside
        aside.replace(path)
    except BaseException:
        _forget(aside)
        raise


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


def place(partial: Path, path: Path, *, new: bool) -> None:
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


def move(path: Path, source: BinaryIO, target: Path) -> bool:
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


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in {errno.EINVAL, errno.ENOTSUP}:  # some network disks cannot, and say so
            raise
    finally:
        os.close(descriptor)


def _partial(path: Path) -> Path:
    return path.parent / f"{PARTIAL}{os.urandom(8).hex()}"


def _forget(partial: Path) -> None:
    with contextlib.suppress(OSError):
        partial.unlink()

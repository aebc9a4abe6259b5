"""The machine's cache of remote files. Takes an address and a way to get it, leaves a read-only file that many share.

    <root>/index/<address hash>.json      which content an address had when it was last asked; its mtime says when
    <root>/objects/<content hash>/<name>  the file, under the name the function shall see
    <root>/locks/<address hash>.lock      held by the one process that looks and fetches

A file that a process was given is in use until the process ends or calls `release`: it is held by a shared flock on the
file itself, which the eviction would need alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import threading
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from filelock import BaseFileLock

DIRECTORY = "SCYTHE_CACHE_DIR"
SIZE = "SCYTHE_CACHE_SIZE"
DEFAULT_SIZE = "20GB"
VALID = 300.0
"""Seconds for which an address is not asked again whether its content is still the same."""
STALE_PARTIAL = 3600.0
_TOUCH = 60.0
_PARTIAL = ".partial"


@dataclass(frozen=True)
class Remote:
    """What a server says about a file.

    Attributes:
        size: bytes, or None where the server does not say.
        etag: the content's version, "" where the server does not say.
    """

    size: int | None
    etag: str


@dataclass(frozen=True)
class _Indexed:
    address: str
    file: str
    size: int


class Cache:
    """A bounded folder of remote files, shared by the processes of a machine.

    Args:
        root: the folder; made when needed.
        max_bytes: the least recently used files go when more than this is kept. Files in use stay.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._held: dict[Path, int] = {}
        self._guard = threading.Lock()
        self._added = max_bytes  # unknown until the first look at the folder

    def get(
        self,
        address: str,
        *,
        name: Callable[[Path], str],
        look: Callable[[], Remote] | None,
        download: Callable[[Path], None],
    ) -> Path:
        """The file at `address`, fetched at most once, whoever asks at the same time.

        Args:
            address: what identifies the file.
            name: how the file shall be called; asked once, with the path of the fetched file.
            look: asks for its size and ETag; None when the content under the address never changes.
            download: writes it to a path; whatever it raises comes through, and nothing is kept.
        """
        tag = _digest(address)
        index = self._root / "index" / f"{tag}.json"
        if path := self._fresh(index, forever=look is None):
            return path
        with self._lock(tag):
            if path := self._fresh(index, forever=look is None):
                return path
            remote = look() if look else Remote(None, "")
            version = remote.etag or (time.time_ns() if look else "")
            folder = Path("objects") / _digest(f"{address}\0{version}\0{remote.size}")
            known = _read(index)
            if remote.etag and known and Path(known.file).parent == folder and self._hold(known):
                _write(index, known)
                return self._root / known.file
            fetched = self._fetch(address, folder, name, download)
            _write(index, fetched)
            self._make_room(fetched.size)
            return self._root / fetched.file

    def release(self) -> None:
        """Give up every file this process was given: from now on they may be evicted."""
        with self._guard:
            held, self._held = self._held, {}
        for descriptor in held.values():
            os.close(descriptor)

    def _fresh(self, index: Path, *, forever: bool) -> Path | None:
        known = _read(index)
        if known is None or not (forever or time.time() - _asked(index) < VALID):
            return None
        return self._root / known.file if self._hold(known) else None

    def _hold(self, known: _Indexed) -> bool:
        """Take a shared lock on a file if it is there and whole."""
        path = self._root / known.file
        with self._guard:
            if (held := self._held.get(path)) is not None:
                if _is(path, held):
                    return True
                os.close(self._held.pop(path))
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            found = os.fstat(descriptor)
            if found.st_nlink == 0 or found.st_size != known.size:
                os.close(descriptor)
                return False
            self._held[path] = descriptor
        if time.time() - found.st_atime > _TOUCH:
            with contextlib.suppress(PermissionError, FileNotFoundError):
                os.utime(path, (time.time(), found.st_mtime))
        return True

    def _fetch(
        self, address: str, folder: Path, name: Callable[[Path], str], download: Callable[[Path], None]
    ) -> _Indexed:
        partial = self._root / folder / f"{_PARTIAL}-{os.getpid()}"
        partial.parent.mkdir(parents=True, exist_ok=True)
        for left in partial.parent.glob(f"{_PARTIAL}-*"):  # of a killed process: we hold the lock
            left.unlink(missing_ok=True)
        try:
            download(partial)
            fetched = _Indexed(address, str(folder / name(partial)), partial.stat().st_size)
            partial.chmod(0o444)
            partial.replace(self._root / fetched.file)
        finally:
            partial.unlink(missing_ok=True)
        self._hold(fetched)
        return fetched

    def _lock(self, name: str) -> BaseFileLock:
        from filelock import FileLock

        folder = self._root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{name}.lock")

    def _make_room(self, added: int) -> None:
        """Evict down to nine tenths, looking at the folder again whenever a hundredth was added."""
        from filelock import Timeout

        self._added += added
        if self._added < self._max_bytes / 100:
            return
        with contextlib.suppress(Timeout), self._lock("evict").acquire(timeout=0):
            kept = sorted(self._objects())
            total = sum(size for _, size, _ in kept)
            for _, size, path in kept if total > self._max_bytes else ():
                if total <= self._max_bytes * 0.9:
                    break
                total -= size if _evict(path) else 0
            self._added = 0

    def _objects(self) -> Iterator[tuple[float, int, Path]]:
        """Last use, size and path of every object; what killed processes left half-written goes on the way."""
        for path in (self._root / "objects").glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                if not path.name.startswith(f"{_PARTIAL}-"):
                    yield found.st_atime, found.st_size, path
                elif time.time() - found.st_mtime > STALE_PARTIAL:
                    path.unlink()


def of_machine() -> Cache:
    """The cache that SCYTHE_CACHE_DIR and SCYTHE_CACHE_SIZE name, in this process.

    Raises:
        ConfigError: SCYTHE_CACHE_SIZE is no size.
    """
    return _open(os.environ.get(DIRECTORY), os.environ.get(SIZE) or DEFAULT_SIZE)


@lru_cache(maxsize=1)
def _open(folder: str | None, size: str) -> Cache:
    from platformdirs import user_cache_path
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        max_bytes = int(TypeAdapter(ByteSize).validate_python(size))
    except ValidationError:
        raise ConfigError(f"{SIZE}: {size!r} is not a size in bytes; write it like 20GB or 500MiB") from None
    return Cache(Path(folder).expanduser().absolute() if folder else user_cache_path("scythe") / "files", max_bytes)


def _evict(path: Path) -> bool:
    """Remove a file unless somebody uses it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()
    except (BlockingIOError, PermissionError):
        return False
    finally:
        os.close(descriptor)
    return True


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _read(index: Path) -> _Indexed | None:
    try:
        return _Indexed(**json.loads(index.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):  # missing, or cut short by a power cut
        return None


def _asked(index: Path) -> float:
    try:
        return index.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _write(index: Path, indexed: _Indexed) -> None:
    index.parent.mkdir(parents=True, exist_ok=True)
    aside = index.with_suffix(f".{os.getpid()}")
    aside.write_text(json.dumps(asdict(indexed)))
    aside.replace(index)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]

"""The machine's cache of remote files. Input: an address and a way to get it. Output: a read-only file that many share.

    <root>/index/<address hash>.json      which content an address had when its server was last asked, and when that was
    <root>/objects/<content hash>/<name>  the file, under the name that the function sees
    <root>/locks/<address hash>.lock      held by the one process that looks and fetches
    <root>/use/<process>                  the files a living process was given and has not released, one a line

A file is in use until the process that was given it ends or calls `release`. A process holds a lock on its list, so a
list without a lock belongs to a process that has ended. No list grows while files are evicted.

An answer of a server is used for `VALID` seconds, unless it is older than `revalidate_before` allows: a command that
reads or checks files asks again, and so does the first lane of a machine that needs a file in a run. The other lanes
use its answer.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import threading
import time
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from scythe_cli.core.clock import Clock
from scythe_cli.core.printable import mask_secrets
from scythe_cli.core.units import parse_size
from scythe_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from filelock import BaseFileLock

DIRECTORY = "SCYTHE_CACHE_DIR"
SIZE = "SCYTHE_CACHE_SIZE"
SHARED = "SCYTHE_CACHE_SHARED"
DEFAULT_SIZE = "20GB"
VALID = 300.0
"""Seconds for which an address is not asked again whether its content is still the same, within a run."""
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
    asked: float


class _Revalidation:
    """A process's own setting.

    Attributes:
        before: an answer of a server that is older than this is not used, in seconds on this machine's clock.
    """

    before: ClassVar[float] = 0.0


def revalidate_before(moment: float) -> None:
    """In this process, ask a server again about each address that was last asked about before `moment`."""
    _Revalidation.before = moment


class Cache:
    """A bounded folder of remote files, shared by the processes of a machine.

    Args:
        root: the folder; made when needed.
        max_bytes: the least recently used files go when more than this is kept. Files in use stay.
        shared: other users of the machine may use it too; otherwise nobody else can read or change it.
    """

    def __init__(self, root: Path, max_bytes: int, *, shared: bool = False) -> None:
        self.root = root
        self._shared = shared
        self._max_bytes = max_bytes
        self._used: set[str] = set()
        self._list: int | None = None
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
        """The file at `address`, fetched once, also if several ask at the same time.

        Args:
            address: what identifies the file.
            name: gives the name of the file; called once, with the path of the fetched file.
            look: asks for its size and ETag; None when the content under the address never changes.
            download: writes it to a path; whatever it raises comes through, and nothing is kept.
        """
        tag = _digest(address)
        index = self.root / "index" / f"{tag}.json"
        if path := self._valid_entry(index, forever=look is None):
            return path
        with self._lock(tag):
            if path := self._valid_entry(index, forever=look is None):
                return path
            asked = Clock.time()
            remote = look() if look else Remote(None, "")
            version = remote.etag or (time.time_ns() if look else "")
            folder = Path("objects") / _digest(f"{address}\0{version}\0{remote.size}")
            known = _read(index)
            if remote.etag and known and Path(known.file).parent == folder and self._pin(known):
                self._write(index, replace(known, asked=asked))
                return self.root / known.file
            file, size = self._fetch(folder, name, download)
            self._write(index, _Indexed(mask_secrets(address), file, size, asked))
            self._make_room(size)
            return self.root / file

    def release(self) -> None:
        """Release every file that this process was given: from now on they may be evicted."""
        with self._guard:
            self._used.clear()
            if self._list is not None:
                os.ftruncate(self._list, 0)

    def _valid_entry(self, index: Path, *, forever: bool) -> Path | None:
        known = _read(index)
        now = Clock.time()
        if known is None or not (forever or max(_Revalidation.before, now - VALID) < known.asked <= now):
            return None
        return self.root / known.file if self._pin(known) else None

    def _pin(self, known: _Indexed) -> bool:
        """Record that this process uses a file, if it exists and is whole."""
        path = self.root / known.file
        with self._guard, self._eviction_lock(fcntl.LOCK_SH):
            try:
                found = path.stat()
            except FileNotFoundError:
                return False
            if found.st_size != known.size:
                return False
            if known.file not in self._used:
                self._record_use(known.file)
        if time.time() - found.st_atime > _TOUCH:
            with contextlib.suppress(PermissionError, FileNotFoundError):
                os.utime(path, (time.time(), found.st_mtime))
        return True

    def _record_use(self, file: str) -> None:
        if self._list is None:
            path = self._folder("use") / f"{os.getpid()}-{os.urandom(4).hex()}"
            self._list = self._open(path, os.O_WRONLY | os.O_APPEND)
            fcntl.flock(self._list, fcntl.LOCK_EX)
        os.write(self._list, json.dumps(file).encode() + b"\n")
        self._used.add(file)

    def _in_use(self) -> set[str]:
        """The files that living processes use. Removes the lists of processes that have ended."""
        used: set[str] = set()
        for path in self._folder("use").iterdir():
            with path.open("rb") as listed:
                try:
                    fcntl.flock(listed, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    used.update(json.loads(line) for line in listed)
                else:
                    path.unlink()
        return used

    @contextlib.contextmanager
    def _eviction_lock(self, how: int) -> Iterator[None]:
        """Held shared by processes that record the use of a file, and exclusively by the one that evicts."""
        descriptor = self._open(self._folder("locks") / "evict.lock", os.O_RDWR)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        if not folder.is_dir():
            self._make(folder)
        return folder

    def _make(self, folder: Path) -> None:
        """Make a folder and those above it; from the root down they are the user's alone, or shared as the root is."""
        self.root.parent.mkdir(parents=True, exist_ok=True)
        for below in (self.root, *reversed([one for one in folder.parents if self.root in one.parents]), folder):
            if not below.is_dir():
                below.mkdir(mode=self._mode(0o777), exist_ok=True)
                if self._shared:
                    shared = stat.S_IMODE(below.stat().st_mode) | 0o2070 if below == self.root else self._mode(0o2777)
                    with contextlib.suppress(PermissionError):  # another user was quicker, who does this
                        below.chmod(shared)

    def _open(self, path: Path, flags: int) -> int:
        """The descriptor of a file of the cache, made where it does not exist."""
        descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, self._mode(0o666))
        if self._shared:  # whatever the umask is
            with contextlib.suppress(PermissionError):  # it is another user's, who does this
                os.fchmod(descriptor, self._mode(0o666))
        return descriptor

    def _mode(self, mode: int) -> int:
        """A mode without what the cache does not grant: to anybody else, or to those who may not use its root."""
        if not self._shared:
            return mode & 0o700
        return mode & stat.S_IMODE(self.root.stat().st_mode) if self.root.is_dir() else mode

    def _fetch(self, folder: Path, name: Callable[[Path], str], download: Callable[[Path], None]) -> tuple[str, int]:
        partial = self.root / folder / f"{_PARTIAL}-{os.getpid()}"
        with self._eviction_lock(fcntl.LOCK_SH):
            for left in self._folder(str(folder)).glob(f"{_PARTIAL}-*"):  # of a killed process: we hold the lock
                left.unlink(missing_ok=True)
            partial.touch(mode=self._mode(0o666))
        try:
            download(partial)
            file, size = str(folder / name(partial)), partial.stat().st_size
            partial.chmod(self._mode(0o444))
            with self._guard, self._eviction_lock(fcntl.LOCK_SH):
                self._record_use(file)
                partial.replace(self.root / file)
        finally:
            partial.unlink(missing_ok=True)
        return file, size

    def _write(self, index: Path, indexed: _Indexed) -> None:
        aside = self._folder("index") / f"{index.stem}.{os.getpid()}"
        aside.unlink(missing_ok=True)
        descriptor = self._open(aside, os.O_WRONLY | os.O_EXCL)
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(asdict(indexed)))
        aside.replace(index)

    def _lock(self, name: str) -> BaseFileLock:
        from filelock import FileLock

        return FileLock(self._folder("locks") / f"{name}.lock", mode=self._mode(0o666))

    def _make_room(self, added: int) -> None:
        """Evict down to nine tenths, looking at the folder again whenever a hundredth was added."""
        self._added += added
        if self._added < self._max_bytes / 100:
            return
        self._added = 0
        with self._guard, self._eviction_lock(fcntl.LOCK_EX):
            kept = sorted(self._objects())
            total = sum(size for _, size, _ in kept)
            used = self._in_use() if total > self._max_bytes else set()
            for _, size, path in kept if total > self._max_bytes else ():
                if total <= self._max_bytes * 0.9:
                    break
                if str(path.relative_to(self.root)) not in used:
                    path.unlink(missing_ok=True)
                    with contextlib.suppress(OSError):
                        path.parent.rmdir()
                    total -= size

    def _objects(self) -> Iterator[tuple[float, int, Path]]:
        """Last use, size and path of every object. Removes files that killed processes left half-written."""
        for path in (self.root / "objects").glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                if not path.name.startswith(f"{_PARTIAL}-"):
                    yield found.st_atime, found.st_size, path
                elif time.time() - found.st_mtime > STALE_PARTIAL:
                    path.unlink()


def of_machine() -> Cache:
    """The cache that SCYTHE_CACHE_DIR and SCYTHE_CACHE_SIZE name, in this process.

    Raises:
        ConfigError: SCYTHE_CACHE_SIZE is not a size.
    """
    shared = os.environ.get(SHARED, "").strip().lower() in {"1", "true", "yes"}
    return _open(os.environ.get(DIRECTORY), os.environ.get(SIZE) or DEFAULT_SIZE, shared, os.getpid())


@lru_cache(maxsize=1)
def _open(folder: str | None, size: str, shared: bool, process: int) -> Cache:  # noqa: ARG001 - a fork is a process of its own
    from platformdirs import user_cache_path

    try:
        max_bytes = int(size) if size.isdecimal() else parse_size(size)
    except ValueError as exc:
        raise ConfigError(f"{SIZE} = {size!r} {exc}") from None
    root = Path(folder).expanduser().absolute() if folder else user_cache_path("scythe") / "files"
    if not shared:
        _make_private(root)
    return Cache(root, max_bytes, shared=shared)


def _make_private(root: Path) -> None:
    """Close a folder that exists to other users: they could read the files, or put others in their place.

    Raises:
        ConfigError: it belongs to another user.
    """
    try:
        found = root.stat()
    except OSError:
        return
    if found.st_uid != os.getuid():
        message = f"the cache {root} belongs to another user, who could change the files in it"
        raise ConfigError(message, hint=f"set {DIRECTORY} to a folder of your own, or {SHARED}=1 where that is wanted")
    if stat.S_IMODE(found.st_mode) & 0o077:
        root.chmod(0o700)


def _read(index: Path) -> _Indexed | None:
    try:
        return _Indexed(**json.loads(index.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):  # missing, or cut short by a power cut
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]

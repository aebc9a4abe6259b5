"""Input files, wherever they are.

Input: addresses as users write them. Output: `probe` says whether each file exists; `fetch` returns a local path, for a
remote file through the machine's cache.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.core.printable import mask_secrets
from scythe_cli.errors import ConfigError, InputFileError, KeyMissing, StoreError, nearest
from scythe_cli.storage import http
from scythe_cli.storage.address import Address, Scheme, UnknownScheme
from scythe_cli.storage.base import check_key
from scythe_cli.storage.cache import Remote, of_machine
from scythe_cli.storage.file_names import local_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scythe_cli.storage.base import Store
    from scythe_cli.storage.cache import Cache

REQUESTS = 32
"""How many requests go out at a time."""
LOOKED_AT = 10_000
"""At most this many names of a folder are compared with the name of a file that does not exist."""

_STATUS = re.compile(r"[1-5]\d\d\b")
_NOT_THERE = re.compile(r": 404\b")
_REFUSING = {401, 403, 407, 408, 425, 429}
"""Of the web's 4xx, those that say nothing about the file."""


@dataclass(frozen=True)
class FileProblem:
    """Why a file cannot be had.

    Attributes:
        message: what the disk or the server said.
        status: the HTTP status, where there is one.
        refused: it is unknown whether it exists: its server is unavailable, fails, or wants other credentials.
    """

    message: str
    status: int | None = None
    refused: bool = False


def nearest_file(path: Path) -> str:
    """ " Did you mean 'a.epw'?" for a file that does not exist, or ""."""
    try:
        if path.exists():
            return ""
        with os.scandir(path.parent) as entries:
            names = [Path(entry.name) for entry in islice(entries, LOOKED_AT)]
    except OSError:
        return ""
    names.sort(key=lambda name: name.suffix == path.suffix)
    stems = {name.stem: name.name for name in names}  # a suffix that all have in common makes no two names alike
    near = nearest(path.stem, stems)
    return f" Did you mean {stems[near]!r}?" if near else ""


def probe(addresses: Iterable[str]) -> dict[str, FileProblem | Remote]:
    """Find out whether files exist: local, `s3://` and `https://`, each address once, some at a time.

    Nothing is fetched. What comes back for an address is its size and version, or what is wrong.
    """
    distinct = list(dict.fromkeys(addresses))
    silent: dict[str, FileProblem] = {}

    def look(text: str) -> FileProblem | Remote:
        address = Address.parse(text)
        if (typo := _not_an_object(address)) is not None:
            return typo
        found = silent.get(address.server) or _probe(address)
        if address.is_remote and isinstance(found, FileProblem) and found.status is None:
            silent[address.server] = found  # do not wait for a silent server again for each of its files
        return found

    with ThreadPoolExecutor(REQUESTS) as pool:
        return dict(zip(distinct, pool.map(look, distinct), strict=True))


def fetch_all(addresses: Iterable[str]) -> dict[str, Path]:
    """The local paths of many files, each fetched once, some at a time. Raises what `fetch` does."""
    distinct = list(dict.fromkeys(addresses))
    with ThreadPoolExecutor(REQUESTS) as pool:
        try:
            return dict(zip(distinct, pool.map(fetch, distinct), strict=True))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def fetch(text: str, *, cache: Cache | None = None) -> Path:
    """The local path of any file: one on disk as it is, a remote one through the machine's cache. Do not change it.

    Raises:
        InputFileError: it does not exist or cannot be read.
        StoreError: its server is unavailable, fails or refuses; or the cache cannot keep it.
    """
    try:
        address = Address.parse(text)
    except UnknownScheme as exc:
        raise InputFileError(f"{mask_secrets(text)}: {exc}") from exc
    if not address.is_remote:
        if isinstance(found := _probe_local(address.path), FileProblem):
            raise InputFileError(f"{text}: {found.message}")
        return address.path
    if (typo := _not_an_object(address)) is not None:
        raise InputFileError(f"{text}: {typo.message}")
    return fetch_through_cache(
        cache,
        text,
        name=lambda _: local_name(address.name),
        look=lambda: _head(address),
        download=lambda path: _download(address, path),
    )


def fetch_through_cache(
    cache: Cache | None,
    address: str,
    *,
    name: Callable[[Path], str],
    look: Callable[[], Remote] | None,
    download: Callable[[Path], None],
) -> Path:
    """What `Cache.get` returns, with the errors of this module."""
    cache = cache or of_machine()
    try:
        return cache.get(address, name=name, look=look, download=download)
    except (KeyMissing, StoreError, http.WebError) as exc:
        kind = StoreError if _problem(address, exc).refused else InputFileError
        raise kind(mask_secrets(str(exc) if address in str(exc) else f"{address}: {exc}")) from exc
    except OSError as exc:
        where = mask_secrets(address)
        raise StoreError(f"{where}: cannot keep it in the cache, {exc} (see SCYTHE_CACHE_DIR)") from exc


def release(cache: Cache | None = None) -> None:
    """Say that the files fetched so far are no longer used by this process, so that the cache may evict them."""
    (cache or of_machine()).release()


def copy_to(path: Path, folder: Path) -> Path:
    """Give the function its own, writable copy of a fetched file, in `folder`, under the same name."""
    target = folder / path.name
    for number in range(1, 1 << 16):
        if not target.exists():
            break
        target = folder / str(number) / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    return target


def _probe(address: Address) -> FileProblem | Remote:
    if not address.is_remote:
        return _probe_local(address.path)
    try:
        return _head(address, patient=False)
    except ConfigError as exc:
        return FileProblem(str(exc))
    except (KeyMissing, StoreError, http.WebError) as exc:
        return _problem(str(address), exc)


def _not_an_object(address: Address) -> FileProblem | None:
    """Why no object of a bucket can be at an address: `s3://bucket/folder/`, `s3://bucket/a//b`. Nothing is asked."""
    if address.scheme is Scheme.S3 and address.host:
        try:
            check_key(address.key)
        except ValueError as exc:
            return FileProblem(str(exc))
    return None


def _problem(address: str, exc: KeyMissing | StoreError | http.WebError) -> FileProblem:
    """What a server's answer, or its silence, says about a file."""
    if isinstance(exc, KeyMissing):
        return FileProblem("404 Not Found, there is no such object", 404)
    if isinstance(exc, http.WebError):
        about_the_file = exc.status is not None and 400 <= exc.status < 500 and exc.status not in _REFUSING
        return FileProblem(str(exc), exc.status, refused=not about_the_file)
    said = str(exc).partition(f"{address}: ")[2] or str(exc)
    status = _STATUS.match(said)
    # of a bucket all but a 404 is refusal: an expired token is a 400, another region a 301
    return FileProblem(said, int(status[0]) if status else None, refused=not _NOT_THERE.search(f": {said}"))


def _probe_local(path: Path) -> FileProblem | Remote:
    try:
        found = path.stat()
    except OSError as exc:
        return FileProblem("does not exist" if isinstance(exc, FileNotFoundError) else exc.strerror or str(exc))
    if path.is_dir():
        return FileProblem("is a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        return FileProblem("is a pipe, a device or a socket, not a file")
    if not os.access(path, os.R_OK):
        return FileProblem("cannot be read; check the permissions")
    return Remote(found.st_size, f"{found.st_mtime_ns:x}-{found.st_size:x}")


def _head(address: Address, *, patient: bool = True) -> Remote:
    if address.is_web:
        return http.head(str(address))
    entry = _open_bucket(address.server, patient, os.getpid()).stat(address.key)
    return Remote(entry.size, entry.etag)


def _download(address: Address, path: Path) -> None:
    if address.is_web:
        http.download(str(address), path)
    else:
        _open_bucket(address.server, True, os.getpid()).download(address.key, path)


@cache
def _open_bucket(address: str, patient: bool, process: int) -> Store:  # noqa: ARG001 - a fork must not share connections
    from scythe_cli.storage.open_store import open_store

    return open_store(address, patient=patient)

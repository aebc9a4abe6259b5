"""File references. Takes addresses as users write them, leaves local files for the function and objects in the run.

Before a run: `probe` finds out whether each file exists, `plan_uploads` gives each its place in the run, `send` puts
them there. In a lane: `fetch` and `fetch_artifact` give the function a local path, through the machine's cache.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from scythe_cli.core import layout
from scythe_cli.errors import ConfigError, InputFileError, KeyMissing, StoreError
from scythe_cli.storage import http as web
from scythe_cli.storage.cache import Remote, of_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from scythe_cli.storage.base import Store, Ticker
    from scythe_cli.storage.cache import Cache

REQUESTS = 32
"""How many requests go out at a time."""
LOOKED_AT = 10_000
"""Names of a folder that one which is not there is compared with."""
MAX_NAME = 200
"""Bytes of a file's name; longer ones are shortened. Stores and disks allow 255."""

_WEB = ("https://", "http://")
_HASHED = re.compile(r"(?P<stem>.*)-(?P<hash>[0-9a-f]{8})(?P<suffixes>(\.[^.]*)*)", re.DOTALL)
_STATUS = re.compile(r"[1-5]\d\d\b")
_NOT_THERE = re.compile(r": 404\b")
_REFUSING = {401, 403, 407, 408, 425, 429}
"""Of the web's 4xx, those that say nothing about the file."""
_UNSAFE = re.compile(r"[\x00-\x1f\x7f%\udc80-\udcff]|^\.(?=partial-)")


@dataclass(frozen=True)
class Problem:
    """Why a file cannot be had.

    Attributes:
        message: what the disk or the server said.
        status: the HTTP status, where there is one.
        refused: nobody could tell whether it is there: its server is away, fails, or wants other credentials.
    """

    message: str
    status: int | None = None
    refused: bool = False


@dataclass(frozen=True)
class Upload:
    """One input file and its place in the run.

    Attributes:
        key: relative to the run.
        sha256: of the content, in hex.
        size: bytes.
    """

    field: str
    source: Path
    key: str
    sha256: str
    size: int


@dataclass(frozen=True)
class UploadPlan:
    """What to send, and where each file that the table names will be found.

    Attributes:
        uploads: one for each different (field, name, content).
        keys: the key of each (field, path) that was asked for.
    """

    uploads: Sequence[Upload]
    keys: Mapping[tuple[str, Path], str]


def is_remote(address: str) -> bool:
    """Whether an address needs a network: `s3://`, `https://`, `http://`."""
    return address.startswith(("s3://", *_WEB))


def nearest(path: Path) -> str:
    """ " Did you mean 'a.epw'?" for a file that is not there, or ""."""
    try:
        if path.exists():
            return ""
        with os.scandir(path.parent) as entries:
            names = [Path(entry.name) for entry in islice(entries, LOOKED_AT)]
    except OSError:
        return ""
    names.sort(key=lambda name: name.suffix == path.suffix)
    stems = {name.stem.casefold(): name.name for name in names}  # a suffix that all share makes nothing alike
    near = get_close_matches(path.stem.casefold(), stems, n=1)
    return f" Did you mean {stems[near[0]]!r}?" if near else ""


def probe(addresses: Iterable[str]) -> dict[str, Problem | Remote]:
    """Find out whether files exist: local, `s3://` and `https://`, each address once, some at a time.

    Nothing is fetched. What comes back for an address is its size and version, or what is wrong.
    """
    distinct = list(dict.fromkeys(addresses))
    silent: dict[str, Problem] = {}

    def look(address: str) -> Problem | Remote:
        found = silent.get(host := _host(address)) or _probe(address)
        if host and isinstance(found, Problem) and found.status is None:
            silent[host] = found  # thousands of files of a server that does not answer are not waited for one by one
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


def fetch(address: str, *, cache: Cache | None = None) -> Path:
    """The local path of any file: one on disk as it is, a remote one through the machine's cache. Do not change it.

    Raises:
        InputFileError: it does not exist or cannot be read.
        StoreError: its server is away, fails or refuses; or the cache cannot keep it.
    """
    if not is_remote(address):
        path = Path(address).expanduser()
        if isinstance(found := _probe_local(path), Problem):
            raise InputFileError(f"{address}: {found.message}")
        return path
    return _through(
        cache,
        address,
        name=lambda _: _local_name(unquote(urlsplit(address).path) if address.startswith(_WEB) else address),
        look=lambda: _head(address),
        download=lambda path: _download(address, path),
    )


def fetch_artifact(run: Store, key: str, *, cache: Cache | None = None) -> Path:
    """The local path of an input file that the run holds, under its original name, through the machine's cache.

    What a run holds never changes, so a cached file is not asked for again.

    Raises:
        InputFileError: it does not exist or cannot be read.
        StoreError: its server is away, fails or refuses; or the cache cannot keep it.
    """
    address = run.locate(key)
    name = key.rpartition("/")[2]
    if not is_remote(address) and not _HASHED.fullmatch(name) and "%" not in name:
        return fetch(address)
    return _through(
        cache,
        address,
        name=lambda path: _local_name(original_name(name, path)),
        look=None,
        download=lambda path: run.download(key, path),
    )


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


def artifact_key(address: str, experiment_id: str) -> str | None:
    """The key of an address that lies among the artifacts of a run, wherever the run was when it was written."""
    inside = f"/{experiment_id}/"
    _, found, key = address.rpartition(inside)
    return key if found and key.startswith(f"{layout.ARTIFACTS}/") else None


def plan_uploads(paths: Mapping[str, Iterable[Path]]) -> UploadPlan:
    """Give each local file its place in the run: one object for each different (field, name, content).

    Args:
        paths: by field, the files its column names; repetitions cost nothing.

    Raises:
        InputFileError: a file cannot be read.
    """
    by_field = {field: list(dict.fromkeys(files)) for field, files in paths.items()}
    distinct = list(dict.fromkeys(path for files in by_field.values() for path in files))
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        hashed = dict(zip(distinct, pool.map(_hash, distinct), strict=True))
    uploads: dict[str, Upload] = {}
    keys: dict[tuple[str, Path], str] = {}
    for field, files in by_field.items():
        taken: dict[str, str] = {}
        for path in files:
            sha256, size = hashed[path]
            key = layout.artifact(field, _artifact_name(path.name, sha256, taken))
            keys[field, path] = key
            uploads.setdefault(key, Upload(field, path, key, sha256, size))
    return UploadPlan(list(uploads.values()), keys)


def send(run: Store, uploads: Iterable[Upload], *, on_bytes: Ticker | None = None, workers: int = REQUESTS) -> None:
    """Upload the files of a plan, several at a time. The first failure stops the rest.

    Raises:
        StoreError: the store refused.
        InputFileError: a file cannot be read any more.
    """
    with ThreadPoolExecutor(workers) as pool:
        try:
            for _ in pool.map(lambda upload: run.upload(upload.key, upload.source, on_bytes=on_bytes), uploads):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def original_name(name: str, content: Path) -> str:
    """The name that a file had before it became an artifact called `name`.

    A hash in the name was put there by us only if it is that of the content: a file that brings its own hash gets
    another one behind it.
    """
    found = _HASHED.fullmatch(name)
    if found and _hash(content)[0].startswith(found["hash"]):
        name = found["stem"] + found["suffixes"]
    return unquote(name, errors="surrogateescape")


def _artifact_name(name: str, sha256: str, taken: dict[str, str]) -> str:
    """A name no other content of the field has, also on disks that ignore case or compose accents."""
    safe = _shorten(_UNSAFE.sub(_quote, name))
    same = unicodedata.normalize("NFC", safe).casefold()
    found = _HASHED.fullmatch(safe)
    lent = found is not None and sha256.startswith(found["hash"])
    if not lent and taken.setdefault(same, f"{safe}\0{sha256}") == f"{safe}\0{sha256}":
        return safe
    stem, suffixes = _split(safe)
    return f"{stem}-{sha256[:8]}{suffixes}"


def _quote(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogateescape"))


def _split(name: str) -> tuple[str, str]:
    """Stem and all suffixes: "a.csv.gz" is "a" and ".csv.gz"; a leading dot belongs to the stem."""
    dot = name.find(".", 1)
    return (name, "") if dot < 0 else (name[:dot], name[dot:])


def _shorten(name: str) -> str:
    if len(name.encode()) <= MAX_NAME:
        return name
    suffix = PurePosixPath(name).suffix if len(PurePosixPath(name).suffix.encode()) < 20 else ""
    stem = name[: -len(suffix)] if suffix else name
    return stem.encode()[: MAX_NAME - len(suffix.encode())].decode("utf-8", "ignore") + suffix


def _hash(path: Path) -> tuple[str, int]:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size
    except OSError as exc:
        raise InputFileError(f"cannot read {path}: {exc.strerror or exc}") from exc


def _probe(address: str) -> Problem | Remote:
    if not is_remote(address):
        return _probe_local(Path(address).expanduser())
    try:
        return _head(address, patient=False)
    except ConfigError as exc:
        return Problem(str(exc))
    except (KeyMissing, StoreError, web.WebError) as exc:
        return _problem(address, exc)


def _problem(address: str, exc: KeyMissing | StoreError | web.WebError) -> Problem:
    """What a server's answer, or its silence, says about a file."""
    if isinstance(exc, KeyMissing):
        return Problem("404 Not Found, there is no such object", 404)
    if isinstance(exc, web.WebError):
        about_the_file = exc.status is not None and 400 <= exc.status < 500 and exc.status not in _REFUSING
        return Problem(str(exc), exc.status, refused=not about_the_file)
    said = str(exc).partition(f"{address}: ")[2] or str(exc)
    status = _STATUS.match(said)
    # of a bucket all but a 404 is refusal: an expired token is a 400, another region a 301
    return Problem(said, int(status[0]) if status else None, refused=not _NOT_THERE.search(f": {said}"))


def _host(address: str) -> str:
    """Who answers for an address: a web server or a bucket; "" for a file on disk."""
    return "/".join(address.split("/", 3)[:3]) if is_remote(address) else ""


def _probe_local(path: Path) -> Problem | Remote:
    try:
        found = path.stat()
    except OSError as exc:
        return Problem("does not exist" if isinstance(exc, FileNotFoundError) else exc.strerror or str(exc))
    if path.is_dir():
        return Problem("is a folder, not a file")
    if not os.access(path, os.R_OK):
        return Problem("cannot be read; check the permissions")
    return Remote(found.st_size, f"{found.st_mtime_ns:x}-{found.st_size:x}")


def _head(address: str, *, patient: bool = True) -> Remote:
    if address.startswith(_WEB):
        return web.head(address)
    store, key = _bucket(address, patient=patient)
    entry = store.stat(key)
    return Remote(entry.size, entry.etag)


def _download(address: str, path: Path) -> None:
    if address.startswith(_WEB):
        web.download(address, path)
        return
    store, key = _bucket(address, patient=True)
    store.download(key, path)


def _bucket(address: str, *, patient: bool) -> tuple[Store, str]:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return _open_bucket(bucket, patient, os.getpid()), key


@cache
def _open_bucket(bucket: str, patient: bool, process: int) -> Store:  # noqa: ARG001 - a fork must not share connections
    from scythe_cli.storage.open_store import (
        open_store,  # a reference may lie in any bucket: only the address says which
    )

    return open_store(f"s3://{bucket}", patient=patient)


def _through(
    cache: Cache | None,
    address: str,
    *,
    name: Callable[[Path], str],
    look: Callable[[], Remote] | None,
    download: Callable[[Path], None],
) -> Path:
    cache = cache or of_machine()
    try:
        return cache.get(address, name=name, look=look, download=download)
    except (KeyMissing, StoreError, web.WebError) as exc:
        kind = StoreError if _problem(address, exc).refused else InputFileError
        raise kind(str(exc) if address in str(exc) else f"{address}: {exc}") from exc
    except OSError as exc:
        raise StoreError(f"{address}: cannot keep it in the cache, {exc} (see SCYTHE_CACHE_DIR)") from exc


def _local_name(address: str) -> str:
    name = _shorten(address.rpartition("/")[2].replace("\0", ""))
    return name if name not in {"", ".", ".."} else "file"

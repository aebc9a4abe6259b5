"""The input files that a run keeps: its artifacts.

Input: local files by field. Output: a place in the run for each (`plan_uploads`), objects there (`send`), and in a
worker a local path for each (`fetch_artifact`).
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from scythe_cli.core import layout
from scythe_cli.errors import BrokenRun, InputFileError, KeyMissing
from scythe_cli.storage import file_names
from scythe_cli.storage.address import Address
from scythe_cli.storage.atomic_files import source_file
from scythe_cli.storage.references import REQUESTS, fetch, fetch_through_cache

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scythe_cli.storage.base import Store, Ticker
    from scythe_cli.storage.cache import Cache


Seen: TypeAlias = tuple[int, int, int, int]
"""What shows whether a file has changed: its number, size, and times of change."""


@dataclass(frozen=True)
class Upload:
    """One input file and its place in the run.

    Attributes:
        key: relative to the run.
        sha256: of the content, in hex.
        size: bytes.
        seen: the file as it was when it was hashed.
    """

    field: str
    source: Path
    key: str
    sha256: str
    size: int
    seen: Seen


@dataclass(frozen=True)
class UploadPlan:
    """What to send, and where each file that the table names will be found.

    Attributes:
        uploads: one for each different (field, name, content).
        keys: the key of each (field, path) that was asked for.
    """

    uploads: Sequence[Upload]
    keys: Mapping[tuple[str, Path], str]


def fetch_artifact(run: Store, key: str, *, cache: Cache | None = None) -> Path:
    """The local path of an input file that the run holds, under its original name, through the machine's cache.

    What a run holds never changes, so a cached file is not asked for again.

    Raises:
        InputFileError: it does not exist or cannot be read.
        StoreError: its server is unavailable, fails or refuses; or the cache cannot keep it.
    """
    try:
        address = run.locate(key)
    except ValueError as exc:
        raise InputFileError(str(exc)) from exc
    name = key.rpartition("/")[2]
    if not Address.parse(address).is_remote and not file_names.is_encoded(name):
        try:
            run.stat(key)  # which refuses links that lead out of the run
        except (BrokenRun, KeyMissing) as exc:
            raise InputFileError(exc.message) from exc
        return fetch(address)
    return fetch_through_cache(
        cache,
        address,
        name=lambda path: file_names.local_name(original_name(name, path)),
        look=None,
        download=lambda path: run.download(key, path),
    )


def artifact_key(address: str, experiment_id: str) -> str | None:
    """The key of an address that lies among the artifacts of a run, wherever the run was when it was written."""
    return key_in_run(address, experiment_id, layout.ARTIFACTS)


def key_in_run(address: str, experiment_id: str, *folders: str) -> str | None:
    """The key of an address that lies in one of these folders of a run, wherever the run was when it was written."""
    _, found, key = address.rpartition(f"/{experiment_id}/")
    return key if found and key.startswith(tuple(f"{folder}/" for folder in folders)) else None


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
        hashed = dict(zip(distinct, pool.map(_hash_and_look, distinct), strict=True))
    uploads: dict[str, Upload] = {}
    keys: dict[tuple[str, Path], str] = {}
    for field, files in by_field.items():
        taken: dict[str, str] = {}
        for path in files:
            sha256, seen = hashed[path]
            key = layout.artifact(field, file_names.encode(path.name, sha256, taken))
            keys[field, path] = key
            uploads.setdefault(key, Upload(field, path, key, sha256, seen[1], seen))
    return UploadPlan(list(uploads.values()), keys)


def send(run: Store, uploads: Iterable[Upload], *, on_bytes: Ticker | None = None, workers: int = REQUESTS) -> None:
    """Upload the files of a plan, several at a time. The first failure stops the rest.

    Raises:
        StoreError: the store refused.
        InputFileError: a file cannot be read any more, or has changed since it was hashed.
    """
    with ThreadPoolExecutor(workers) as pool:
        try:
            for _ in pool.map(lambda upload: _send(run, upload, on_bytes), uploads):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _send(run: Store, upload: Upload, on_bytes: Ticker | None) -> None:
    run.upload(upload.key, upload.source, on_bytes=on_bytes)
    try:
        now = _look(upload.source.stat())
    except OSError:
        now = None
    if now != upload.seen:
        message = f"{upload.source} changed while it was being uploaded"
        raise InputFileError(message, hint="allocate again when nothing writes to it")


def original_name(name: str, content: Path) -> str:
    """The name that a file had before it became an artifact called `name`."""
    return file_names.decode(name, hash_file(content)[0])


def hash_file(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a file. Raises `InputFileError`."""
    sha256, seen = _hash_and_look(path)
    return sha256, seen[1]


def _hash_and_look(path: Path) -> tuple[str, Seen]:
    with source_file(path) as file:
        seen, digest = _look(os.fstat(file.fileno())), hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        return digest.hexdigest(), seen


def _look(found: os.stat_result) -> Seen:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

"""Brings a run's tables and files to disk. Input: the run's store and a folder. Output: the tree of the run in it.

A file is only fetched when it is missing or differs: a record next to the files says which version of which object each
of them is. What arrives is compared with the size the store announced.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.core.events import DownloadAdvanced, DownloadStarted, ignore
from scythe_cli.errors import KeyMissing, NotFinishedError, NotFoundError, StoreError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from scythe_cli.core.events import Listener
    from scythe_cli.storage.base import Entry, Store

WORKERS = 16


@dataclass(frozen=True)
class DownloadReport:
    """What a download copied.

    Attributes:
        folder: the folder, absolute.
        tables: the path of each final table by name.
        n_files: number of files in the folder now.
        n_bytes: their bytes.
        fetched_files: how many of them were copied now; the others were there already.
        fetched_bytes: their bytes.
    """

    folder: Path
    tables: dict[str, Path]
    n_files: int
    n_bytes: int
    fetched_files: int
    fetched_bytes: int


@dataclass(frozen=True)
class _Arrived:
    """A file as it was when it had arrived."""

    key: str
    size: int
    etag: str
    mtime_ns: int


def download(
    run: Store,
    dest: Path,
    *,
    files: bool = False,
    only_field: str | None = None,
    fields: Iterable[str] = (),
    listener: Listener = ignore,
) -> DownloadReport:
    """Fetch the final tables, and with `files` the result files, that are missing in `dest` or differ.

    Args:
        run: the store, rooted at the run.
        dest: made when needed; gets `final/` and `results/`.
        files: fetch `results/` too.
        only_field: fetch the files of this output field only; means `files`.
        fields: the file fields of the run's output, as its manifest has them; one may be without any file.
        listener: gets the progress in bytes.

    Raises:
        NotFinishedError: the run has no final tables yet.
        NotFoundError: no output field of files has this name.
        StoreError: the store does not answer, or `dest` cannot be written.
    """
    tables = [entry for entry in run.list(layout.FINAL) if _is_table(entry.key)]
    if not tables:
        raise NotFinishedError(f"{run.address} has no final tables yet", hint=_how_to_build(run))
    entries = tables + (list(_results(run, only_field, fields)) if files or only_field else [])
    dest = dest.expanduser().absolute()
    record = _Record(dest)
    missing = [entry for entry in entries if not record.holds(entry)]
    listener(DownloadStarted(len(missing), sum(entry.size for entry in missing)))
    record.remove_others({entry.key for entry in tables})
    if missing:
        _fetch_all(run, missing, record, listener)
    names = {layout.final_name(entry.key): None for entry in sorted(tables, key=_scalars_first)}
    return DownloadReport(
        folder=dest,
        tables={name: dest / layout.final(name) for name in names if name},
        n_files=len(entries),
        n_bytes=sum(entry.size for entry in entries),
        fetched_files=len(missing),
        fetched_bytes=sum(entry.size for entry in missing),
    )


def _how_to_build(run: Store) -> str | None:
    """The command that builds the tables; a run of scythe-engine has no frozen file, and only it can build its own."""
    try:
        run.stat(layout.EXPERIMENT_FILE)
    except KeyMissing:
        return None
    return f"scythe gather {run.address}"


def _results(run: Store, only_field: str | None, fields: Iterable[str]) -> Iterator[Entry]:
    if only_field is None:
        return run.list(layout.RESULTS)
    known = sorted({*fields, *run.children(layout.RESULTS)})
    if only_field not in known:
        raise NotFoundError(
            f"no output field {only_field!r} has files in {run.address}.{did_you_mean(only_field, known)}"
            f" Fields of files: {', '.join(known) or 'none'}."
        )
    return run.list(f"{layout.RESULTS}/{only_field}")


def _is_table(key: str) -> bool:
    """A table or a part of one. A key that leads elsewhere is one too: it is refused before it is written."""
    return layout.final_name(key) is not None or key.endswith(layout.TABLE_SUFFIX)


def _scalars_first(entry: Entry) -> tuple[bool, str]:
    return entry.key != layout.final(layout.SCALARS), entry.key


def _fetch_all(run: Store, entries: list[Entry], record: _Record, listener: Listener) -> None:
    """Several files at a time. The first failure stops the rest; what has arrived stays."""

    def fetch(entry: Entry) -> None:
        path = record.path(entry.key)
        run.download(entry.key, path, on_bytes=lambda n_bytes: listener(DownloadAdvanced(n_bytes)))
        size = path.stat().st_size
        if size != entry.size:
            path.unlink()
            raise StoreError(
                f"{run.locate(entry.key)} has {size} bytes instead of {entry.size}: it is being changed; "
                "repeat the download"
            )
        record.add(entry)

    with record, ThreadPoolExecutor(WORKERS) as pool:
        try:
            for _ in pool.map(fetch, entries):
                pass
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


class _Record:
    """Which version of which object each downloaded file is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._file: TextIO | None = None
        self._arrived = {arrived.key: arrived for arrived in _lines(folder / layout.DOWNLOAD_RECORD)}

    def path(self, key: str) -> Path:
        """Where an object goes. Listings may hold anything: no key leads out of the folder."""
        path = Path(os.path.normpath(self._folder / key))
        if not path.is_relative_to(self._folder) or path == self._folder:
            raise StoreError(f"the object {key!r} would be written outside of {self._folder}")
        return path

    def remove_others(self, keys: set[str]) -> None:
        """Remove files of final tables that the run does not have any more: tables, parts, a table's other form."""
        names = {layout.final_name(key) for key in keys}
        try:
            for path in sorted((self._folder / layout.FINAL).rglob("*")):
                key = path.relative_to(self._folder).as_posix()
                name = layout.final_name(key)
                if name and key not in keys and path.is_file() and (name in names or key in self._arrived):
                    path.unlink()
                    with contextlib.suppress(OSError):  # it has other files
                        path.parent.rmdir()
        except OSError as exc:
            raise StoreError(f"cannot remove {exc.filename}: {exc.strerror or exc}") from exc

    def holds(self, entry: Entry) -> bool:
        """Whether the file is there, as it arrived, and the object is still the same."""
        path = self.path(entry.key)
        arrived = self._arrived.get(entry.key)
        if arrived is None or (arrived.size, arrived.etag) != (entry.size, entry.etag):
            return False
        try:
            found = path.stat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (arrived.size, arrived.mtime_ns)

    def add(self, entry: Entry) -> None:
        """Note that a file has arrived."""
        arrived = _Arrived(entry.key, entry.size, entry.etag, self.path(entry.key).stat().st_mtime_ns)
        with self._guard:
            self._arrived[entry.key] = arrived
            if self._file:
                self._file.write(json.dumps(asdict(arrived)) + "\n")
                self._file.flush()

    def __enter__(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            aside = self._folder / f"{layout.DOWNLOAD_RECORD}.{os.getpid()}"
            aside.write_text("".join(json.dumps(asdict(arrived)) + "\n" for arrived in self._arrived.values()))
            aside.replace(self._folder / layout.DOWNLOAD_RECORD)
            self._file = (self._folder / layout.DOWNLOAD_RECORD).open("a")
        except OSError as exc:
            raise StoreError(f"cannot write {self._folder}: {exc.strerror or exc} (choose another folder)") from exc

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()


def _lines(path: Path) -> Iterator[_Arrived]:
    """The record so far; a line cut short counts for nothing, its file is fetched again."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield _Arrived(**json.loads(line))
        except (ValueError, TypeError):
            continue

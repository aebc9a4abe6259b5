"""Which version of which object each file of a download is.

Input: a folder, and the objects of a run. Output: `.scythe-download.jsonl` in the folder, a line for each file in the
order in which they arrived, and an answer to what is missing.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.errors import StoreError
from scythe_cli.storage.atomic_files import replacing
from scythe_cli.storage.base import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO


@dataclass(frozen=True)
class Arrived:
    """A file as it was when it had arrived, or was made.

    Attributes:
        key: of the object, or of the file in the folder where it was made here.
        size: bytes of the object.
        etag: of the object; of a file that was made here, of what it was made from.
        mtime_ns: of the file.
        written: bytes of the file, where it is not a copy of the object.
    """

    key: str
    size: int
    etag: str
    mtime_ns: int
    written: int | None = None

    @property
    def on_disk(self) -> int:
        """Bytes of the file."""
        return self.size if self.written is None else self.written


class DownloadRecord:
    """The record of one folder. Use it as a context while files arrive."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._guard = threading.Lock()
        self._file: TextIO | None = None
        self._arrived = {arrived.key: arrived for arrived in _lines(folder / layout.DOWNLOAD_RECORD)}

    def path(self, key: str) -> Path:
        """Where an object goes. Listings may hold anything: no key leads out of the folder."""
        path = Path(os.path.normpath(self.folder / key))
        if not path.is_relative_to(self.folder) or path == self.folder:
            raise StoreError(f"the object {key!r} would be written outside of {self.folder}")
        return path

    def knows(self, key: str) -> bool:
        """Whether a download has written a file of this name, whatever became of it."""
        return key in self._arrived

    def remove_others(self, keys: set[str]) -> None:
        """Remove files of final tables that the run does not have any more: tables, parts, a table's other form."""
        names = {layout.final_name(key) for key in keys}
        try:
            for path in sorted((self.folder / layout.FINAL).rglob("*")):
                key = path.relative_to(self.folder).as_posix()
                name = layout.final_name(key)
                if name and key not in keys and path.is_file() and (name in names or key in self._arrived):
                    path.unlink()
                    with contextlib.suppress(OSError):  # it has other files
                        path.parent.rmdir()
        except OSError as exc:
            raise StoreError(f"cannot remove {exc.filename}: {exc.strerror or exc}") from exc

    def keys_below(self, folder: str) -> set[str]:
        """The keys below a folder that downloads have written."""
        return {key for key in self._arrived if key.startswith(f"{folder}/")}

    def remove_stale(self, keys: set[str]) -> None:
        """Remove files that came from another run, as they came: a folder may get one run after the other."""
        for key in keys:
            if self._is_unchanged(self._arrived[key]):
                with contextlib.suppress(OSError):
                    self.path(key).unlink()

    def remove_outdated(self, made: dict[str, str]) -> list[str]:
        """Remove files that were made here from tables that have changed or do not exist any more.

        Args:
            made: the files that may be here -> what they would be made from now.

        Returns:
            The keys of those that were removed.
        """
        removed: list[str] = []
        for arrived in list(self._arrived.values()):
            if arrived.written is None or not arrived.etag.startswith(MADE) or arrived.etag == made.get(arrived.key):
                continue
            if self._is_unchanged(arrived):
                with contextlib.suppress(OSError):
                    self.path(arrived.key).unlink()
                    removed.append(arrived.key)
        return removed

    def holds(self, entry: Entry, *, rewritten: bool = False) -> bool:
        """Whether the file is there, as it arrived, and the object is still the same.

        Args:
            entry: the object.
            rewritten: the file has another content than the object.
        """
        self.path(entry.key)
        arrived = self._arrived.get(entry.key)
        if arrived is None or (arrived.size, arrived.etag) != (entry.size, entry.etag):
            return False
        return self._is_unchanged(arrived) and (not rewritten or arrived.written is not None)

    def _is_unchanged(self, arrived: Arrived) -> bool:
        try:
            found = self.path(arrived.key).stat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (arrived.on_disk, arrived.mtime_ns)

    def add(self, entry: Entry, *, rewritten: bool = False) -> None:
        """Note that a file has arrived, or was made."""
        found = self.path(entry.key).stat()
        written = found.st_size if rewritten else None
        arrived = Arrived(entry.key, entry.size, entry.etag, found.st_mtime_ns, written)
        with self._guard:
            self._arrived[entry.key] = arrived
            if self._file:
                self._file.write(json.dumps(asdict(arrived)) + "\n")
                self._file.flush()

    def __enter__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            record = self.folder / layout.DOWNLOAD_RECORD
            with replacing(record) as aside:
                aside.write_text("".join(json.dumps(asdict(arrived)) + "\n" for arrived in self._arrived.values()))
            self._file = record.open("a")
        except OSError as exc:
            raise StoreError(f"cannot write {self.folder}: {exc.strerror or exc} (choose another folder)") from exc

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()
            self._file = None


MADE = "made from "
"""How the etags of files begin that were made here."""


def _lines(path: Path) -> Iterator[Arrived]:
    """The record so far; a line cut short counts for nothing, its file is fetched again."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield Arrived(**json.loads(line))
        except (ValueError, TypeError):
            continue

"""What failed specs left in their temporary folders, with `run.keep_failed`.

Input: folders of specs, given up by their lanes. Output: their files in the run, under `failed/<sort_index>`, within a
limit for a spec and one for the run. A note lists what has no room, and files whose names no store takes.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.core.clock import Clock
from scythe_cli.errors import InputFileError
from scythe_cli.storage.base import check_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scythe_cli.storage.base import Store

MIB = 1 << 20
SPEC_LIMIT = 64 * MIB
RUN_LIMIT = 2048 * MIB
MOST_FILES = 1000
"""Of a spec: each is an object of the store."""
NOTE = "LEFT_OUT.txt"
NAMED = 100
"""Files that a note names."""
LOOK_SECONDS, LOOK_SHARE = 1.0, 10
"""Other workers keep folders too: the sum is read again when it is so old, in at most a tenth of the time."""


@dataclass(frozen=True)
class LeftFile:
    """A file in the folder of a failed spec: its path there, and its bytes."""

    name: str
    size: int


def take_aside(lane_folder: Path, outbox: Path) -> Path | None:
    """Move the temporary folder of the spec at work out of the folder of a lane that died; None where it is empty."""
    place = outbox / f"{lane_folder.name}-{layout.FAILED}-{Clock.monotonic_ns()}"
    for folder in sorted(lane_folder.glob("spec-*"), key=_changed, reverse=True):
        try:
            if any(folder.iterdir()):
                folder.rename(place)
                return place
        except OSError:  # the spec has closed it to everybody
            continue
    return None


def _changed(folder: Path) -> int:
    try:
        return folder.lstat().st_mtime_ns
    except OSError:
        return 0


def choose(folder: Path, limit: int) -> tuple[list[LeftFile], list[LeftFile]]:
    """The regular files below a folder that are kept, the smallest first, and those that have no room.

    Links are not followed: they may lead to anything that the user may read.
    """
    found = [LeftFile(name, size) for name, size in _regular_files(folder) if _is_key(name)]
    found.sort(key=lambda file: (file.size, file.name))
    room, kept = limit, 0
    for file in found[:MOST_FILES]:
        if file.size > room:
            break
        room -= file.size
        kept += 1
    return found[:kept], found[kept:]


def without_key(folder: Path) -> list[str]:
    """The regular files below a folder whose names no store takes, written so that people can read them."""
    return sorted(name.encode("unicode_escape").decode() for name, _ in _regular_files(folder) if not _is_key(name))


def _regular_files(folder: Path) -> Iterator[tuple[str, int]]:
    """Their paths below the folder, and their bytes."""
    for top, _, names in os.walk(folder):
        for name in names:
            path = Path(top, name)
            try:
                seen = path.lstat()
            except OSError:  # it vanished
                continue
            if stat.S_ISREG(seen.st_mode):
                yield path.relative_to(folder).as_posix(), seen.st_size


def _is_key(name: str) -> bool:
    try:
        return bool(check_key(name).encode())
    except ValueError:
        return False


class FailedFolders:
    """Keeps the folders of one run's failed specs. Safe to use from several threads.

    Args:
        store: rooted at the run.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._guard = threading.Lock()
        self._used = 0
        self._uploading: dict[str, int] = {}
        self._due = float("-inf")

    def keep(self, folder: Path, key: str) -> None:
        """Upload what fits of a folder, in place of what an earlier generation of the spec left; then remove it.

        Args:
            folder: of a failed spec.
            key: `failed/<sort_index>`, see `layout.failed`.

        Raises:
            StoreError: the store refuses or does not answer.
        """
        with self._guard:
            room = self._room()
            kept, left_out = choose(folder, min(room, SPEC_LIMIT))
            self._uploading[key] = sum(file.size for file in kept)
            self._used += self._uploading[key]
        try:
            self._keep(folder, key, kept, _note(left_out, room, without_key(folder)))
        finally:
            with self._guard:
                del self._uploading[key]
        shutil.rmtree(folder, ignore_errors=True)

    def _keep(self, folder: Path, key: str, kept: list[LeftFile], note: str | None) -> None:
        before = {entry.key for entry in self._store.list(key)}
        names = {f"{key}/{file.name}" for file in kept}
        for file in kept:
            self._upload(folder / file.name, f"{key}/{file.name}")
        if note is not None:
            names.add(f"{key}/{NOTE}")
            self._store.write(f"{key}/{NOTE}", note.encode(errors="replace"))
        for other in before - names:
            self._store.delete(other)

    def _upload(self, path: Path, key: str) -> None:
        try:
            self._store.upload(key, path)
        except InputFileError:  # something that the spec started removed it, or it cannot be read
            return

    def _room(self) -> int:
        """Bytes that the run's folders may still take."""
        began = Clock.monotonic()
        if began >= self._due:
            seen = sum(entry.size for entry in self._store.list(layout.FAILED))
            self._used = seen + sum(self._uploading.values())
            now = Clock.monotonic()
            self._due = now + max(LOOK_SECONDS, LOOK_SHARE * (now - began))
        return max(0, RUN_LIMIT - self._used)


def _note(left_out: list[LeftFile], room: int, unnamed: list[str]) -> str | None:
    """What was not kept of a folder, and why; None where all was."""
    said = [_about_room(left_out, room)] if left_out else []
    if unnamed:
        names = "\n".join([f"  {name}" for name in unnamed[:NAMED]] + _more(unnamed))
        said.append(f"Not kept, because no storage takes such names:\n{names}\n")
    return "\n".join(said) or None


def _more(of: Sequence[object]) -> list[str]:
    return [f"and {len(of) - NAMED:,} more"] if len(of) > NAMED else []


def _about_room(left_out: list[LeftFile], room: int) -> str:
    why = (
        f"a spec may leave {SPEC_LIMIT // MIB} MiB and {MOST_FILES} files"
        if room >= SPEC_LIMIT
        else f"the failed specs of a run may leave {RUN_LIMIT // MIB} MiB in all"
    )
    lines = [f"{file.size:>14,}  {file.name}" for file in left_out[:NAMED]]
    return "\n".join([f"Not kept, because {why}; bytes and names:", *lines, *_more(left_out)]) + "\n"

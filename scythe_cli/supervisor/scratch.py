"""The supervisor's folder for temporary files, and the folders that killed supervisors left.

Input: the machine's temporary folder. Output: a private folder, removed at the end. A supervisor that was killed cannot
clean up: the next one that starts on the machine removes its folder and kills what its specs had detached.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.core import processes
from scythe_cli.lane.job import RUN_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(r"(\d+)-(\d+)-(.*)")
MARK = ".scythe-supervisor"
"""A file in each folder of a supervisor: what has none is not ours to remove. Versions that measured the start of a
process otherwise, and would take ours for ended, look for another one."""


def _home() -> Path:
    """A private folder for the supervisors of this user: the shared one, or a new one where that is not ours alone.

    Everybody may write to the temporary folder, so another user may have made the name first, as a folder or a link.
    """
    home = Path(tempfile.gettempdir()) / f"scythe-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        home.mkdir(mode=0o700)
    if _is_private(home):
        return home
    return Path(tempfile.mkdtemp(prefix=f"scythe-{os.getuid()}-"))


def _is_private(folder: Path) -> bool:
    """Whether it is a real folder that this user owns and nobody else may read or write."""
    try:
        found = folder.lstat()
    except FileNotFoundError:  # another supervisor has just ended and removed it
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder of this process's own, named after it. First removes the folders of supervisors that have ended."""
    home = _home()
    sweep(home)
    folder = _make(home)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()


def _make(home: Path) -> Path:
    started = round((processes.start_time(os.getpid()) or 0.0) * 100)
    prefix = f"{os.getpid()}-{started}-"
    try:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=home))
    except FileNotFoundError:  # the last other supervisor has just ended and removed the shared folder
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=tempfile.mkdtemp(prefix=f"{home.name}-")))
    (folder / MARK).touch()
    return folder


def unnamed_file(folder: str, *, append: bool = False) -> int:
    """The descriptor of a new file in a folder, which goes with its last descriptor."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    fd, path = tempfile.mkstemp(dir=folder)
    if append:
        os.close(fd)
        fd = os.open(path, os.O_RDWR | os.O_APPEND)
    os.unlink(path)  # noqa: PTH108 - the descriptor is all there is
    return fd


def sweep(home: Path) -> None:
    """Remove the folders of supervisors that have ended, after whatever their specs left running.

    Only a real folder with our name and our mark is removed.
    """
    try:
        folders = list(home.iterdir())
    except FileNotFoundError:  # the last other supervisor has just ended and removed it
        return
    for folder in folders:
        found = _NAME.fullmatch(folder.name)
        if found is None or folder.is_symlink() or not (folder / MARK).is_file():
            continue
        if processes.is_alive(int(found[1]), int(found[2]) / 100):
            continue
        processes.kill_tagged(f"{RUN_TAG}={folder}")
        shutil.rmtree(folder, ignore_errors=True)

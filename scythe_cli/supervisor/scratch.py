"""The supervisor's folder for temporary files, and what dead supervisors left behind.

Output: a folder that is removed afterwards. A supervisor that was killed cannot clean up: the next one that starts on
the machine removes its folder and kills what its specs had detached.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.core import processes
from scythe_cli.lane.fork_server import RUN_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(r"(\d+)-(\d+)-(.*)")


def _home() -> Path:
    home = Path(tempfile.gettempdir()) / f"scythe-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    if home.stat().st_uid != os.getuid():
        raise PermissionError(f"{home} belongs to another user")
    return home


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder of this process's own, named after it; what dead ones left is removed first."""
    home = _home()
    sweep(home)
    started = round((processes.start_time(os.getpid()) or 0.0) * 100)
    folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-{started}-", dir=home))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            home.rmdir()


def unnamed_file(folder: str, *, append: bool = False) -> int:
    """The descriptor of a new file in a folder, which is gone with its last descriptor."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    fd, path = tempfile.mkstemp(dir=folder)
    if append:
        os.close(fd)
        fd = os.open(path, os.O_RDWR | os.O_APPEND)
    os.unlink(path)  # noqa: PTH108 - the descriptor is all there is
    return fd


def sweep(home: Path) -> None:
    """Remove the folders of supervisors that have ended, after whatever their specs left running."""
    for folder in home.iterdir():
        found = _NAME.fullmatch(folder.name)
        if found is None or processes.is_alive(int(found[1]), int(found[2]) / 100):
            continue
        processes.kill_tagged(f"{RUN_TAG}={folder}")
        shutil.rmtree(folder, ignore_errors=True)

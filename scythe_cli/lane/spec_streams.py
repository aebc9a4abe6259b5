"""A spec's standard streams and its temporary folder.

Input: the file that takes what is printed, and a folder. Output: what each spec printed; both as new for the next spec.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from scythe_cli.lane.python_state import Marks
from scythe_cli.run.outcomes import LOG_LIMIT, cut_bytes

RESTING = (1 << 31) - 1
"""Position of the captured output's file that descriptors 1 and 2 share while nothing is printed: far past any output.
What is written goes to the file's end and takes the position along."""


_SETTINGS: dict[str, Any] = {"errors": "backslashreplace", "line_buffering": False, "write_through": True}


class _Stream(io.TextIOWrapper):
    """A stream that marks the process when its settings change."""

    has_settings: ClassVar[bool] = False

    def reconfigure(self, **settings: Any) -> None:
        Marks.changed = _Stream.has_settings = True
        super().reconfigure(**settings)


class Capture:
    """Standard output and error of user code, kept in a file between two specs."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._null = os.open(os.devnull, os.O_RDONLY)
        self._flush = partial(ctypes.CDLL(None).fflush, None)  # all that C code printed through its own buffers
        self._point()
        self._open()

    def _point(self) -> None:
        """Have descriptors 0, 1 and 2 where they belong, and nothing printed yet."""
        os.dup2(self._null, 0)
        os.dup2(self.fd, 1)
        os.dup2(self.fd, 2)
        os.lseek(self.fd, RESTING, os.SEEK_SET)

    def _open(self) -> None:
        self.stdin = sys.stdin = open(0, closefd=False)  # noqa: SIM115 - a descriptor, for the lane's life
        self.stdout = sys.stdout = self._text(1)
        self._encoding = self.stdout.encoding
        self.stderr = sys.stderr = self._text(2)

    @staticmethod
    def _text(fd: int) -> io.TextIOWrapper:
        """Without a buffer: a process that dies has written everything, and nothing needs a flush between two specs."""
        return _Stream(io.FileIO(fd, "w", closefd=False), **_SETTINGS)

    def restore(self) -> None:
        """Undo what a spec did to Python's streams; cheap when it did nothing."""
        try:
            untouched = (
                sys.stdout is self.stdout
                and sys.stderr is self.stderr
                and sys.stdin is self.stdin
                and not (self.stdout.closed or self.stderr.closed)
            )
        except ValueError:  # detached from its buffer
            untouched = False
        if not untouched:
            self._open()

    def restore_input(self) -> None:
        """Undo what a spec did to that which there is nothing to read from, and what it set in streams."""
        if _Stream.has_settings:
            try:
                for stream in (self.stdout, self.stderr):
                    stream.reconfigure(encoding=self._encoding, newline=None, **_SETTINGS)
            except (ValueError, OSError):  # closed, detached, or with text that nobody takes
                self._open()
            _Stream.has_settings = False
        os.dup2(self._null, 0)
        try:
            closed = self.stdin.closed
        except ValueError:  # detached from its buffer
            closed = True
        if closed:
            self._open()

    def take(self) -> str:
        """What was printed since the last call, head and tail of it, and forget it.

        Afterwards descriptors 1 and 2 are what they were, too.
        """
        self._flush()
        if Marks.changed:
            self._flush_streams()
        try:
            if os.lseek(1, 0, os.SEEK_CUR) == RESTING == os.lseek(2, 0, os.SEEK_CUR):
                return ""
        except OSError:  # closed, or a pipe
            pass
        text = self._read(os.fstat(self.fd).st_size)
        self._point()
        return text

    def _flush_streams(self) -> None:
        """What is left in Python's buffers, which a spec may have given to these streams."""
        for stream in (self.stdout, self.stderr):
            with contextlib.suppress(ValueError, OSError):  # closed or detached
                stream.flush()

    def _read(self, size: int) -> str:
        half = LOG_LIMIT // 2
        if size <= LOG_LIMIT:
            text = os.pread(self.fd, size, 0).decode(errors="replace")
        else:
            text = cut_bytes(os.pread(self.fd, half, 0), os.pread(self.fd, half, size - half), size, LOG_LIMIT)
        os.ftruncate(self.fd, 0)
        return text


class TempDir:
    """One temporary folder a lane, emptied only after a spec that touched it."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self.path = self._new()

    def _new(self) -> Path:
        self._parent.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix="spec-", dir=self._parent))
        self._made = path.stat().st_ctime_ns
        self._text = str(path)
        return path

    def move_to(self, place: Path) -> bool:
        """Give up what the last spec left, unless that is nothing; `restore` makes the next folder."""
        try:
            if not any(self.path.iterdir()):
                return False
            self.path.rename(place)
        except OSError:  # the spec has removed the folder, or closed it to everybody
            return False
        return True

    def restore(self) -> None:
        """Give the next spec an empty folder."""
        try:
            untouched = os.stat(self._text).st_ctime_ns == self._made  # noqa: PTH116 - a third of Path.stat's cost
        except OSError:
            untouched = False
        if not untouched:
            shutil.rmtree(self.path, ignore_errors=True)
            self.path = self._new()

"""Every error scythe raises on purpose, with its exit code and the next step. Nothing here imports anything heavy.

ScytheError                      70
├── InputError                    2   what the user gave is wrong; nothing was written
│   ├── ConfigError                   experiment.yml, a flag or an environment variable
│   ├── EntryPointError               the experiment's module, function or annotations
│   ├── TableError                    the specs table, one report for all of its errors
│   ├── InputFileError                a file that a spec refers to
│   └── MissingExtra                  a package that is not installed, with the pip line
├── NotFoundError                 3   no such run, version, file
│   └── KeyMissing                    a store has no object under this key
├── UnreachableError              4   a store or an engine that does not answer or refuses
│   ├── StoreError
│   │   └── BrokenRun                 an object of a run is not what was written
│   └── EngineError
├── KeyExists                     4   a conditional create lost
├── NotFinishedError              5   cancelled, stopped, incomplete, or held by another process
│   └── WaitTimeout                   still running when a wait with a timeout ended
└── Interrupted                 130   Ctrl-C, SIGTERM or SIGHUP
"""

from __future__ import annotations

import html
from difflib import get_close_matches
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


_CONTROL = dict.fromkeys([*range(ord("\n")), *range(ord("\n") + 1, ord(" ")), *range(0x7F, 0xA0)])
"""Characters that act on a terminal, and are left out: all but the line break."""


class ExitCode(IntEnum):
    """What a command's exit status means; part of the public interface."""

    DONE = 0
    FAILED_SPECS = 1
    BAD_INPUT = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    NOT_FINISHED = 5
    BUG = 70
    INTERRUPTED = 130


class ScytheError(Exception):
    """The root of the tree.

    Args:
        message: what is wrong: place, value, rule.
        hint: what to do next, a sentence or a command; shown on a line of its own.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.BUG

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # for tracebacks; the commands show message and hint themselves

    def __str__(self) -> str:
        return self.message

    def _repr_html_(self) -> str:
        """How a notebook shows an error that a cell has caught."""
        return "<br>".join(html.escape(line) for line in self._render_traceback_())

    def _render_traceback_(self) -> list[str]:
        """What IPython and notebooks print of it: message and hint, without our own frames."""
        lines = [f"{type(self).__name__}: {self.message}", *([f"hint: {self.hint}"] if self.hint else [])]
        return [line.translate(_CONTROL) for line in lines]


class InputError(ScytheError):
    """What the user gave is wrong. Nothing was written."""

    exit_code = ExitCode.BAD_INPUT


class ConfigError(InputError):
    """A setting, in a file, a flag or the environment."""


class EntryPointError(InputError):
    """The experiment's module, function or annotations."""


class TableError(InputError):
    """The specs table: one report of all its errors."""


class InputFileError(InputError):
    """A file that a spec refers to does not exist or cannot be read."""


class MissingExtra(InputError):
    """A package that comes with an extra is not installed.

    Args:
        what: what needs it.
        extra: the name of the extra.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: pip install 'scythe-runner[{extra}]'")


class NotFoundError(ScytheError):
    """Nothing matches what was asked for."""

    exit_code = ExitCode.NOT_FOUND


class KeyMissing(NotFoundError):
    """A store has no object under this key."""


class UnreachableError(ScytheError):
    """A store or an engine does not answer, or refuses."""

    exit_code = ExitCode.UNREACHABLE


class StoreError(UnreachableError):
    """A store refused or failed: permissions, credentials, a full disk, an endpoint that does not answer."""


class BrokenRun(StoreError):
    """An object that says what a run is, or how far, is empty, cut or changed."""


class EngineError(UnreachableError):
    """An engine refused or failed."""


class KeyExists(ScytheError):
    """A conditional create lost: the key is already there."""

    exit_code = ExitCode.UNREACHABLE


class NotFinishedError(ScytheError):
    """The run is not complete: cancelled, stopped, incomplete, or held by another process."""

    exit_code = ExitCode.NOT_FINISHED


class WaitTimeout(NotFinishedError, TimeoutError):
    """A wait with a timeout ended before the run did; the run continues."""


class Interrupted(ScytheError):
    """The user or the system asked the process to stop."""

    exit_code = ExitCode.INTERRUPTED


class InsecureEndpoint(UserWarning):
    """Credentials and data go to a server of another machine without encryption."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known word, or an empty string."""
    near = nearest(word, known)
    return f" Did you mean {near!r}?" if near else ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like `word`, in any case of letters; None where none is alike."""
    folded = {one.casefold(): one for one in known}
    near = get_close_matches(word.casefold(), folded, n=1)
    return folded[near[0]] if near else None

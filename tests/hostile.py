"""A storage with good runs, to which somebody hostile may also write, and the installed command."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from fixture_runs import copy_runs

from scythe_cli.cli import app
from scythe_cli.errors import ExitCode

SCYTHE = str(Path(sys.executable).with_name("scythe"))
RUN = "complete/v1.0.0/2026-11-29_10-20-23"
HALF = "half/v1.0.0/2026-11-29_10-20-38"


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and both streams."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Storage:
    """A copy of runs that exist, with the experiment beside it.

    Attributes:
        folder: where the user stands: the experiment, and `storage` in it.
    """

    folder: Path

    @property
    def root(self) -> Path:
        """The storage."""
        return self.folder / "storage"

    @property
    def run(self) -> Path:
        """A run that is complete and gathered."""
        return self.root / RUN

    @property
    def half(self) -> Path:
        """A run of which some specs are missing."""
        return self.root / HALF

    def scythe(self, *arguments: str, here: Path | None = None) -> Done:
        """Run a command in this process, in the user's folder; it must never end as a bug of ours."""
        out, err = io.StringIO(), io.StringIO()
        before = Path.cwd()
        os.chdir(here or self.folder)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = app.run(arguments)
        finally:
            os.chdir(before)
        done = Done(code, out.getvalue(), err.getvalue())
        assert done.code != ExitCode.BUG, done.err
        return done

    def change(self, key: str, old: str, new: str) -> None:
        """Change the text of an object of the complete run."""
        path = self.run / key
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


def copy(folder: Path) -> Storage:
    """A copy of the runs to spoil."""
    return Storage(copy_runs(folder))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Runs that the test may spoil."""
    return copy(tmp_path / "project")

"""A user's folder beside a Hatchet engine: an experiment file, and the `scythe` command as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from fleet import FIELD, Fleet

from scythe_cli.cli import app

SCYTHE = str(Path(sys.executable).with_name("scythe"))
LIMIT = 120.0


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float


@dataclass
class Desk:
    """The folder, the fleet whose engine and storage its experiment uses, and what its runs are called."""

    folder: Path
    fleet: Fleet
    name: str = "grow"

    def write(self, n: int, *, storage: str | None = None, **common: object) -> Path:
        """The experiment file of `n` specs; returns its path."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "field.py").write_text((FIELD / "field.py").read_text())
        columns = {"seconds": 0.0, "diary": "", "does": "", **common}
        rows = [",".join(["seed", *columns])] + [",".join(map(str, [at, *columns.values()])) for at in range(n)]
        (self.folder / "specs.csv").write_text("\n".join(rows) + "\n")
        file = self.folder / "experiment.yml"
        settings = {"experiment": "field:grow", "name": self.name, "engine": "hatchet", "specs": "specs.csv"}
        settings["storage"] = storage or str(self.fleet.storage)
        run = {"flush": 0.3, "grace": 1, "retries": 0}
        file.write_text(json.dumps({**settings, "run": run}))  # JSON is YAML
        return file

    def start(self, *arguments: str, env: dict[str, str | None] | None = None) -> subprocess.Popen[str]:
        """A command that runs."""
        environ: dict[str, str | None] = {**os.environ, **self.fleet.env, **(env or {})}
        return subprocess.Popen(
            [SCYTHE, *arguments],
            cwd=self.folder,
            env={key: value for key, value in environ.items() if value is not None},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def scythe(self, *arguments: str) -> Done:
        """A command, to its end, in this process: the SDK's import takes seconds, and would be the most of a test."""
        began, out, err = time.monotonic(), StringIO(), StringIO()
        with chdir(self.folder), redirect_stdout(out), redirect_stderr(err):
            code = app.run(arguments)
        return Done(code, out.getvalue(), err.getvalue(), time.monotonic() - began)

    def json(self, *arguments: str) -> Any:
        """The document that a command prints."""
        done = self.scythe(*arguments, "--json")
        return json.loads(done.out)


def ended(process: subprocess.Popen[str], limit: float = LIMIT) -> Done:
    """Wait for a command, and say how it ended."""
    began = time.monotonic()
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"still running after {limit:g} s\n{out}\n{err}") from None
    return Done(process.returncode, out, err, time.monotonic() - began)

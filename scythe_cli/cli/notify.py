"""`--notify`: a command of the user's that runs when a run has ended, or nobody waits for it any more.

Input: a shell command and a run. Output: the process of that command, with the document of `allocate --json` on its
stdin. What it prints goes to stderr, because stdout is for results. If it fails, scythe's own exit code stays.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from scythe_cli.cli.formatting import duration
from scythe_cli.core.printable import printable
from scythe_cli.core.signals import describe_status
from scythe_cli.errors import ConfigError, ScytheError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.cli.progress import Terminal
    from scythe_cli.operations.allocate import Allocation
    from scythe_cli.run.run import Run

NOTIFY_SECONDS = 300.0
"""A command that takes longer is ended: a server that does not answer must not keep the run's command alive."""


@dataclass
class Notifier:
    """Runs the command of `--notify` once.

    Attributes:
        command: for the shell; None without the option.
        done: how the run ended, once that is known.
    """

    command: str | None = None
    done: Allocation | None = None

    @classmethod
    def of(cls, command: str | None, *, no_run: bool) -> Notifier:
        """The notifier of an allocate. Raises `ConfigError` where it makes no run that could end."""
        if command is not None and no_run:
            raise ConfigError("--notify belongs to a run: leave it out with --dry-run and --inline")
        return cls(command)

    def check_waits(self, engine: str, *, wait: bool | None) -> None:
        """Refuse the option where this command does not follow the run to its end. Raises `ConfigError`."""
        if self.command is not None and engine != "local" and not wait:
            raise ConfigError(
                f"--notify needs --wait: with engine {engine}, allocate ends before the run does", hint="add --wait"
            )

    @contextmanager
    def at_end(self, run: Run, terminal: Terminal) -> Iterator[None]:
        """Run the command after the block, however the block ends."""
        try:
            yield
        finally:
            if self.command is not None:
                command, self.command = self.command, None
                problem = _run(command, _document(run, self.done))
                if problem is not None:
                    terminal.say(printable(f"--notify: the command {problem}"), "yellow")


def _document(run: Run, done: Allocation | None) -> bytes:
    """The run's JSON; that of an error where the storage cannot be read."""
    from pydantic import TypeAdapter

    from scythe_cli.cli.documents import AllocateDocument, ErrorDocument
    from scythe_cli.operations.allocate import Allocation
    from scythe_cli.operations.gather import gathered
    from scythe_cli.operations.status import status

    try:
        document = AllocateDocument.of(done or Allocation(run, None, gathered(run)), status(run))
    except ScytheError as exc:
        error = ErrorDocument.of(f"{run.id}: {exc.message}", exc.hint, exc.exit_code)
        return json.dumps(asdict(error)).encode()
    return TypeAdapter(AllocateDocument).dump_json(document, indent=2)


def _run(command: str, document: bytes) -> str | None:
    """Run a shell command with a document on its stdin. Returns what went wrong, or None."""
    try:
        process = subprocess.Popen(  # noqa: S602 - it is the user's own command line
            command,
            shell=True,
            stdin=subprocess.PIPE,
            stdout=sys.stderr.fileno(),
            start_new_session=True,  # so that a closed terminal does not end it, and all that it started can be ended
        )
    except OSError as exc:
        return f"cannot be started: {exc}"
    try:
        process.communicate(document, timeout=NOTIFY_SECONDS)
    except subprocess.TimeoutExpired:
        problem = f"did not end within {duration(NOTIFY_SECONDS)} and was ended"
    except KeyboardInterrupt:
        problem = "was interrupted"
    else:
        return None if process.returncode == 0 else f"ended with {describe_status(process.returncode)}"
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return problem

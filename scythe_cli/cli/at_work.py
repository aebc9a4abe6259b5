"""Whether anybody works on a run, and the command that continues it: one truth for all commands.

Input: a run and its status as its directory has it. Output: the status with what its engine knows; a command.
"""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scythe_cli.cli.run_argument import command_for
from scythe_cli.errors import NotFinishedError
from scythe_cli.run.run import DownloadedRun, OriginalRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.operations.status import RunStatus, State
    from scythe_cli.run.run import Run


def with_engine(run: Run, now: RunStatus) -> RunStatus:
    """Add what the engine queues and runs, where the run was handed to one."""
    from scythe_cli.engines.engine_activity import activity, is_claimed, is_elsewhere

    if now.state != "running" or not is_elsewhere(run):
        return now
    active = activity(run)
    if active.abandoned:
        state: State = "pending" if is_claimed(run) and not now.done and not active.running else "incomplete"
        return dataclasses.replace(
            now, state=state, detail=active.why or "", rate=None, eta=None, elapsed=None, active=None
        )
    known = active.queued is not None
    eta = None if known and not any(worker.serves for worker in active.workers) else now.eta
    return dataclasses.replace(now, active=active, eta=eta)


def with_claims(run: Run, now: RunStatus) -> RunStatus:
    """The same where workers claim rows in the directory; a server that may not answer is not asked."""
    from scythe_cli.engines.engine_activity import is_claimed

    return with_engine(run, now) if now.state == "running" and is_claimed(run) else now


def continue_command(run: Run) -> str:
    """The command that goes on with a run on which nobody works."""
    from scythe_cli.engines.engine_activity import needs_workers

    return command_for("worker --run" if needs_workers(run) else "allocate --resume", run)


@contextmanager
def hint_if_at_work(run: Run, otherwise: str | None = None) -> Iterator[None]:
    """Name the command that works in the hint of a run that is not finished.

    Args:
        run: the run.
        otherwise: what may be done besides, where it may.
    """
    from scythe_cli.engines.engine_activity import needs_workers
    from scythe_cli.operations.status import status

    try:
        yield
    except NotFinishedError as exc:
        hint = exc.hint or ""
        if ("--resume" in hint or "gather" in hint) and not isinstance(run, OriginalRun | DownloadedRun):
            besides = f"   or, {otherwise}" if otherwise else ""
            now = with_engine(run, status(run))
            if now.state == "running":
                exc.hint = f"{command_for('wait', run)}{besides}"
            elif now.missing and needs_workers(run):
                exc.hint = f"{continue_command(run)}{besides}"
        raise

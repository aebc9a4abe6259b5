"""`scythe cancel`: stop a run from anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from scythe_cli.cli.formatting import are, counted
from scythe_cli.cli.shared import Json, RunName, Storage, again, find_run, put_json, put_next

if TYPE_CHECKING:
    from scythe_cli.run.run import Run


def cancel(run: RunName = None, *, storage: Storage = None, as_json: Json = False) -> None:
    """Stop a run. What is done is kept and can be gathered or resumed."""
    from scythe_cli.operations.cancel import cancel as mark

    found = find_run(run, storage)
    done = mark(found)
    if done.done < done.total:
        _take_back(found)
    if as_json:
        put_json(done)
        return
    if done.done == done.total:
        typer.echo(f"{done.run} is complete; there is nothing to cancel")
        return
    when = f"was cancelled by {done.by} at {done.at}" if done.already else "is cancelled; its specs stop within seconds"
    typer.echo(f"{done.run} {when}; {done.done:,} of {counted(done.total, 'spec')} {are(done.total)} done")
    put_next(again("gather", found, "--partial"), again("allocate --resume", found))


def _take_back(found: Run) -> None:
    """Empty the engine's queue too; where it is away, the mark in the directory is what counts."""
    from scythe_cli.engines.remote import is_elsewhere, take_back
    from scythe_cli.errors import EngineError

    if found.is_copy or not is_elsewhere(found):  # the engine knows the original by the same id
        return
    try:
        take_back(found)
    except EngineError as exc:
        typer.echo(f"{exc.message}; what is queued there ends as soon as a worker takes it", err=True)

"""`scythe status`: what became of a run so far."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from scythe_cli.cli.options import Json, RunName, Storage, again, failure_line, find_run, put_json

if TYPE_CHECKING:
    from scythe_cli.status import FailureGroup, RunStatus

LATEST = 10
WATCH_SECONDS = 2.0
OVER = frozenset({"gathered", "complete", "cancelled", "stopped"})


def status(
    run: RunName = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until the run is over.")] = False,
    errors: Annotated[bool, typer.Option("--errors", help="Group the failures by kind, type and place.")] = False,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Counts, rate, ETA and failures, from the store alone. Without RUN, a table of the latest runs."""
    if run is None and not errors and not watch:
        _latest(storage, as_json=as_json)
        return
    from scythe_cli.status import status as read_status

    found = find_run(run, storage)
    now = read_status(found, errors=errors)
    if watch:
        now = _watched(found, now, errors=errors)
    if as_json:
        put_json(now)
        return
    _show(now)
    if errors:
        for group in now.failures:
            _show_group(group)
    _next(now, storage, errors=errors)


def _watched(run: object, now: RunStatus, *, errors: bool) -> RunStatus:
    """Draw the bar until the run is over or nobody works on it."""
    from scythe_cli.cli.ui import Terminal
    from scythe_cli.events import Progress
    from scythe_cli.status import status as read_status

    with Terminal() as terminal:
        terminal.follow(now.total)
        while now.state == "running" or (now.state == "pending" and now.engine == "hatchet"):
            terminal(Progress(now.done, now.failed, now.total))
            time.sleep(WATCH_SECONDS)
            now = read_status(run, errors=errors)  # type: ignore[arg-type]  # find_run gives a Run
    return now


def _latest(storage: str | None, *, as_json: bool) -> None:
    from pathlib import Path

    from scythe_cli.backends import open_store
    from scythe_cli.config import DEFAULT_FILE, find_storage
    from scythe_cli.documents import RunsDocument
    from scythe_cli.run import latest
    from scythe_cli.status import status as read_status

    store = open_store(find_storage(storage))
    runs = [read_status(run) for run in latest(store, LATEST)]
    if as_json:
        put_json(RunsDocument(store.locate(""), runs))
        return
    if not runs:
        typer.echo(f"{store.locate('')} holds no run")
        typer.echo("next: scythe allocate" if Path(DEFAULT_FILE).exists() else "next: scythe init DIR", err=True)
        return
    width = max(len(one.run) for one in runs)
    typer.echo(f"{'run':<{width}}  {'state':<10}  {'done':>11}  {'of':>11}  {'failed':>9}")
    for one in runs:
        typer.echo(f"{one.run:<{width}}  {one.state:<10}  {one.done:>11,}  {one.total:>11,}  {one.failed:>9,}")
    typer.echo(f"next: {again('status', runs[0].run, storage)}", err=True)


def _show(now: RunStatus) -> None:
    from scythe_cli.cli.ui import counted, duration, rate

    detail = f" ({now.detail})" if now.detail else ""
    typer.echo(f"{now.run}   {now.state}{detail}")
    pace = f"   {rate(now.rate)}" if now.rate else ""
    eta = f"   ETA {duration(now.eta)}" if now.eta else ""
    typer.echo(f"  {now.done:,} of {counted(now.total, 'spec')} done, {now.failed:,} failed{pace}{eta}")
    for name, address in now.final.items():
        typer.echo(f"  {name:<17} {address}")


def _show_group(group: FailureGroup) -> None:
    typer.echo("")
    typer.echo(failure_line(group))
    typer.echo(f"  kind      {group.kind}, {group.attempts} attempt{'s' * (group.attempts != 1)}")
    shown = ", ".join(f"{name}={value!r}" for name, value in group.inputs.items())
    typer.echo(f"  inputs    {shown}")
    for at, line in enumerate(group.log.rstrip().splitlines()[-8:]):
        typer.echo(f"  {'log' if at == 0 else '':<9} {line}")
    typer.echo(f"  alone     scythe allocate --only {group.sort_index} --inline")


def _next(now: RunStatus, storage: str | None, *, errors: bool) -> None:
    if now.state == "complete":
        command = again("gather", now.run, storage)
    elif now.state in {"cancelled", "stopped", "incomplete", "pending"}:
        command = again("allocate --resume", now.run, storage)
    elif now.failed and not errors:
        command = again("status", now.run, storage, "--errors")
    elif now.state == "gathered":
        command = again("download", now.run, storage)
    else:
        command = again("status", now.run, storage, "--watch")
    typer.echo(f"next: {command}", err=True)

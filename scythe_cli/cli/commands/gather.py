"""`scythe gather`: final tables from what the run's directory holds."""

from __future__ import annotations

from typing import Annotated

import typer

from scythe_cli.cli.shared import (
    Json,
    RunName,
    Storage,
    again,
    find_run,
    hints_from_here,
    put_json,
    put_next,
    put_tables,
)


def gather(
    run: RunName = None,
    *,
    partial: Annotated[bool, typer.Option("--partial", help="Although specs are missing.")] = False,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Build the final tables. Needs the store and nothing else."""
    from scythe_cli.cli.progress import Terminal
    from scythe_cli.operations.gather import gather as build

    found = find_run(run, storage)
    with Terminal() as terminal, hints_from_here(found):
        report = build(found, partial=partial, listener=terminal)
    if as_json:
        put_json(report)
        return
    missing = f", {report.missing:,} missing: the tables are partial" if report.missing else ""
    typer.echo(f"{found.id}   {report.succeeded:,} succeeded, {report.failed:,} failed{missing}")
    put_tables(report.tables, report.rows)
    put_next(again("allocate --resume", found) if report.missing else again("download", found))

"""`scythe gather`: final tables from what the run's directory holds."""

from __future__ import annotations

from scythe_cli.cli import options
from scythe_cli.cli.output import print_json, print_next, print_outputs, print_tables, put
from scythe_cli.cli.run_argument import command_for, find_run, hints_from_here
from scythe_cli.core.printable import printable


def gather(
    run: options.RunArgument = None,
    *,
    partial: options.Partial = False,
    storage: options.Storage = None,
    as_json: options.Json = False,
) -> None:
    """Build the result tables of a run. Needs only the storage, no engine."""
    from scythe_cli.cli.progress import Terminal
    from scythe_cli.operations.gather import gather as build

    found = find_run(run, storage)
    with Terminal() as terminal, hints_from_here(found):
        report = build(found, partial=partial, listener=terminal)
    if as_json:
        print_json(report)
        return
    missing = f", {report.missing:,} missing: the tables are partial" if report.missing else ""
    put(printable(f"{found.id}   {report.succeeded:,} succeeded, {report.failed:,} failed{missing}"))
    print_tables(report.tables, report.rows)
    print_outputs(report.outputs, report.succeeded)
    print_next(command_for("allocate --resume", found) if report.missing else command_for("download", found))

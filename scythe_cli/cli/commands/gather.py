"""`scythe gather`: final tables from what the run's directory holds."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from scythe_cli.cli import options
from scythe_cli.cli.at_work import continue_command, hint_if_at_work
from scythe_cli.cli.output import print_json, print_next, print_outputs, print_tables, put
from scythe_cli.cli.run_argument import command_for, find_run, hints_from_here
from scythe_cli.core.printable import printable
from scythe_cli.run.run import OriginalRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.run.run import Run


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
    without = f"to build the tables without them:   {command_for('gather', found, '--partial')}"
    with Terminal() as terminal, hint_if_at_work(found, without), hints_from_here(found), _held(found, partial=partial):
        report = build(found, partial=partial, listener=terminal)
    if as_json:
        print_json(report)
        return
    missing = f", {report.missing:,} missing: the tables are partial" if report.missing else ""
    put(printable(f"{found.id}   {report.succeeded:,} succeeded, {report.failed:,} failed{missing}"))
    print_tables(report.tables, report.rows)
    print_outputs(report.outputs, report.succeeded)
    print_next(continue_command(found) if report.missing else command_for("download", found))


@contextmanager
def _held(found: Run, *, partial: bool) -> Iterator[None]:
    """Hold the run while its tables are built, where any worker may build them too."""
    from scythe_cli.engines.engine_activity import is_claimed
    from scythe_cli.run import lease

    if partial or isinstance(found, OriginalRun) or not is_claimed(found):
        yield
        return
    with lease.hold(found.store):
        yield

"""How `scythe allocate` ends: the summary on stdout, the next command on stderr, and the exit code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from scythe_cli.cli.formatting import are, counted, duration
from scythe_cli.cli.notify import Notifier
from scythe_cli.cli.output import MOST_FAILURES, failure_line, print_json, print_next, print_outputs, print_tables, put
from scythe_cli.cli.run_argument import command_for, is_default_file, python_name
from scythe_cli.cli.views.failures import after_limits
from scythe_cli.core.printable import printable
from scythe_cli.errors import ExitCode, Interrupted, NotFinishedError
from scythe_cli.run.engine import EndReason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scythe_cli.cli.progress import Terminal
    from scythe_cli.operations.allocate import Allocation
    from scythe_cli.operations.failure_groups import FailureGroup
    from scythe_cli.operations.gather import FinalReport
    from scythe_cli.run.run import Run


@dataclass(frozen=True)
class Call:
    """How the command was called.

    Attributes:
        terminal: draws events, and measures the time.
        file: FILE; the experiment's code is in its folder.
        wait: whether `--wait` or `--no-wait` is given, None for neither.
        as_json: print one JSON document.
        notifier: runs the command of `--notify`.
    """

    terminal: Terminal
    file: Path
    wait: bool | None
    as_json: bool
    notifier: Notifier = field(default_factory=Notifier)


def resume_command(run: Run, file: Path) -> str:
    """The command that resumes a run whose code is in the folder of FILE."""
    return command_for(["allocate", *([] if is_default_file(file) else [str(file)]), "--resume"], run)


def print_outcome(done: Allocation, call: Call, *, first: Sequence[str] = ()) -> None:
    """Print the summary and the next command; raise what gives the exit code.

    Args:
        done: how the allocate ended.
        call: how the command was called.
        first: commands to name before that which shows the progress.
    """
    call.terminal.close()
    call.notifier.done = done
    if call.as_json:
        print_document(done)
    if done.ended is not None:
        raise _early_end(done, call)
    if done.final is None:
        print_next(*first, command_for("status", done.run))
        return
    failures = [] if call.as_json else _print_summary(done.run, done.final, call.terminal.seconds)
    put(printable(f"report: {command_for('report', done.run, latest=True)}"), err=True)
    if done.final.failed:
        print_next(command_for("status", done.run, "--errors", latest=True), *after_limits(done.run, failures))
        raise typer.Exit(ExitCode.FAILED_SPECS)
    print_next(command_for("download", done.run, latest=True))


def print_document(done: Allocation) -> None:
    """Print the JSON document of one allocation."""
    from scythe_cli.cli.documents import AllocateDocument
    from scythe_cli.operations.status import status

    print_json(AllocateDocument.of(done, status(done.run)))


def _print_summary(run: Run, final: FinalReport, seconds: float) -> Sequence[FailureGroup]:
    """Print it. Returns the failures by kind, most frequent first."""
    put(printable(f"{final.succeeded:,} succeeded, {final.failed:,} failed in {duration(seconds)}"))
    print_tables(final.tables, final.rows)
    if final.succeeded:
        put(printable(f"  in Python  scythe_cli.open_run({python_name(run)!r}).scalars(tidy=True)"))
    print_outputs(final.outputs, final.succeeded)
    if not final.failed:
        return []
    from scythe_cli.operations.status import status

    failures = status(run, errors=True).failures
    _print_failures(failures)
    return failures


def _print_failures(failures: list[FailureGroup]) -> None:
    for group in failures[:MOST_FAILURES]:
        put(printable(failure_line(group)))
    if len(failures) > MOST_FAILURES:
        put(printable(f"and {counted(len(failures) - MOST_FAILURES, 'more kind')} of failure"))


def _early_end(done: Allocation, call: Call) -> Exception:
    """The error of a run that stopped before its end; its failures are printed where they are the reason."""
    from scythe_cli.operations.status import status

    assert done.ended is not None  # noqa: S101 - the caller holds it
    broken = done.ended.reason in {EndReason.CANARY, EndReason.MAX_FAILURES}
    now = status(done.run, errors=broken and not call.as_json)
    _print_failures(now.failures)
    kept = f"{now.done:,} of {counted(now.total, 'spec')} {are(now.total)} done and kept"
    resume = resume_command(done.run, call.file)
    if done.ended.reason == EndReason.INTERRUPTED:
        return Interrupted(f"interrupted; {kept}", hint=resume)
    errors = command_for("status", done.run, "--errors")
    hint = f"{errors}   then, after you fixed it:   {resume} --allow-changed-code" if broken else resume
    return NotFinishedError(f"{done.ended.detail}; {kept}", hint=hint)


def print_nothing_to_run(run: Run, call: Call) -> None:
    """A resume that finds nothing to do: print the run as it is, with its tables; the exit code says the same."""
    from scythe_cli.operations.allocate import Allocation
    from scythe_cli.operations.gather import gather, gathered
    from scythe_cli.operations.status import status

    now = status(run)
    finished = f"all {now.total:,} specs are finished" if now.total > 1 else "the spec is finished"
    if now.missing:
        finished = f"{now.done:,} of {counted(now.total, 'spec')} {are(now.total)} finished"
    call.terminal.say(printable(f"{run.id}: nothing to run; {finished}"))
    final = gathered(run) if not now.missing else None
    if not now.missing and (final is None or set(final.tables) - set(now.final)):
        final = gather(run, listener=call.terminal)
    if now.missing:  # only failed specs were asked for, and none has failed
        if call.as_json:
            print_document(Allocation(run, None, None))
        left = f"{now.missing:,} of {counted(now.total, 'spec')} {are(now.missing, 'has', 'have')} no outcome yet"
        raise NotFinishedError(f"{run.id}: {left}", hint=resume_command(run, call.file))
    print_outcome(Allocation(run, None, final), call)

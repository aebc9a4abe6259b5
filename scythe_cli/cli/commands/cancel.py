"""`scythe cancel`: stop a run from anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.cli import options
from scythe_cli.cli.formatting import are, counted
from scythe_cli.cli.output import print_json, print_next, put
from scythe_cli.cli.run_argument import command_for, find_run
from scythe_cli.core.printable import printable

if TYPE_CHECKING:
    from scythe_cli.run.run import Run


def cancel(run: options.RunArgument = None, *, storage: options.Storage = None, as_json: options.Json = False) -> None:
    """Stop a run. Finished specs are kept; the run can be gathered or resumed."""
    from scythe_cli.operations.cancel import cancel as mark
    from scythe_cli.run.run import DownloadedRun, OriginalRun
    from scythe_cli.timing.live import read_counts

    found = find_run(run, storage)
    live = None if isinstance(found, OriginalRun | DownloadedRun) else read_counts(found)
    done = mark(found)
    if done.done < done.total:
        _empty_queue(found)
    if as_json:
        print_json(done)
        return
    if done.done == done.total:
        put(printable(f"{done.run} is complete; there is nothing to cancel"))
        return
    when = f"was cancelled by {done.by} at {done.at}" if done.already else "is cancelled; its specs stop within seconds"
    put(printable(f"{done.run} {when}; {done.done:,} of {counted(done.total, 'spec')} {are(done.total)} done"))
    if live is not None and live.done > done.done and not done.already:
        more = live.done - done.done
        put(printable(f"  {more:,} more {are(more)} done and {are(more)} stored before its process ends"))
    print_next(command_for("gather", found, "--partial"), command_for("allocate --resume", found))


def _empty_queue(found: Run) -> None:
    """Remove the run's tasks from the engine's queue too. Without an answer, the mark in the directory is enough."""
    from scythe_cli.engines.engine_activity import cancel_tasks, is_elsewhere
    from scythe_cli.errors import EngineError

    if found.is_copy or not is_elsewhere(found):  # the engine knows the original by the same id
        return
    try:
        cancel_tasks(found)
    except EngineError as exc:
        put(printable(f"{exc.message}; tasks that are queued there end as soon as a worker takes them"), err=True)

"""The part of `scythe allocate` in which specs run: hand the work to the engine, wait, build the tables."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from scythe_cli.cli.allocation.summary import print_outcome, resume_command
from scythe_cli.cli.run_argument import command_for, hints_from_here, is_default_file
from scythe_cli.core import signals
from scythe_cli.core.printable import printable
from scythe_cli.errors import EngineError, Interrupted, StoreError
from scythe_cli.run.engine import Ended, EndReason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.cli.allocation.summary import Call
    from scythe_cli.operations.gather import FinalReport
    from scythe_cli.run.engine import Engine, Work
    from scythe_cli.run.run import Run

FOLLOW_WINDOW = 150.0
"""Seconds over which the rate is taken: outcomes reach the store in bunches, every `run.flush` seconds."""


def follow(call: Call, work: Work, *, engine: Engine | None = None) -> None:
    """Hand the work to the engine, wait if asked to, print how it ended."""
    call.notifier.check_waits(work.file.engine, wait=call.wait)
    with call.notifier.at_end(work.run, call.terminal):
        _follow(call, work, engine)


def _follow(call: Call, work: Work, engine: Engine | None) -> None:
    from scythe_cli.engines.open_engine import open_engine
    from scythe_cli.operations.allocate import Allocation, start

    local = work.file.engine == "local"
    with resumable(call, work.run):
        ticket = start(work, engine or open_engine(work.file, call.file), call.terminal)
        if local and call.wait is False:
            call.terminal.say(printable("--no-wait has no effect: a local run ends with this command"))
        if not local and not call.wait:
            call.terminal.close()
            print_outcome(Allocation(work.run, None, None), call, first=_start_workers(call, work))
            return
        with closing(ticket):
            with signals.calling_on_stop(ticket.stop):
                ended = ticket.wait(call.terminal)
            final = _final(call, work) if ended is None else None
    if ended is not None and ended.reason is EndReason.INTERRUPTED and not local:
        raise _detached(work.run, "with its workers")
    print_outcome(Allocation(work.run, ended, final), call)


def _start_workers(call: Call, work: Work) -> list[str]:
    """The command that starts a worker of a run whose engine starts none."""
    if work.file.engine != "shared":
        return []
    file = [] if is_default_file(call.file) else [str(call.file)]
    return [command_for(["worker", *file, "--run"], work.run)]


def follow_run(call: Call, run: Run, *, timeout: float | None = None) -> None:
    """Follow a run that is at work elsewhere, and end as the command that began it does."""
    with call.notifier.at_end(run, call.terminal):
        _follow_run(call, run, timeout)


def _follow_run(call: Call, run: Run, timeout: float | None) -> None:
    from scythe_cli.engines.open_follower import open_follower
    from scythe_cli.operations.allocate import Allocation
    from scythe_cli.operations.gather import gathered
    from scythe_cli.run import lease

    with hints_from_here(run):
        try:
            found = open_follower(run, timeout=timeout)
        except KeyboardInterrupt:  # while the engine is asked whether it answers
            raise _detached(run, "as before") from None
        call.terminal.follow(run.total, window=FOLLOW_WINDOW)
        with signals.calling_on_stop(found.stop):
            ended = found.wait(call.terminal)
    if ended is not None and ended.reason is EndReason.INTERRUPTED:
        if not found.stopped:
            ended = Ended(EndReason.STOPPED, f"{run.id} was interrupted in its own process")
        else:
            holder = lease.seen_holder(run.store)
            raise _detached(run, f"in process {holder['pid']} on {holder['host']}" if holder else "with its workers")
    print_outcome(Allocation(run, ended, gathered(run) if ended is None else None), call)


def _detached(run: Run, where: str) -> Interrupted:
    """Whoever waited has stopped waiting; the run has not stopped."""
    watch, again = command_for("status", run, "--watch"), command_for("wait", run)
    return Interrupted(f"no longer waiting; {run.id} continues {where}", hint=f"{watch}   or, to wait again: {again}")


@contextmanager
def resumable(call: Call, run: Run) -> Iterator[None]:
    """The run exists: on Ctrl-C while no spec runs, or when a store fails, the hint is how to resume it."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("interrupted", hint=resume_command(run, call.file)) from None
    except StoreError as exc:
        exc.hint = exc.hint or f"what is done is kept; then: {resume_command(run, call.file)}"
        raise
    except EngineError as exc:
        if "--resume" in (exc.hint or ""):  # from here, with the folder of the experiment
            plain = f"scythe allocate --resume {run.id}"
            exc.hint = (exc.hint or "").replace(plain, resume_command(run, call.file))
        raise


def _final(call: Call, work: Work) -> FinalReport:
    from scythe_cli.operations.allocate import final_tables

    try:
        return final_tables(work, call.terminal)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; all specs are finished", hint=command_for("gather", work.run)) from None
    except StoreError as exc:
        exc.hint = exc.hint or f"all specs are finished; to build the tables: {command_for('gather', work.run)}"
        raise

"""The part of `scythe allocate` in which specs run: hand the work to the engine, wait, build the tables."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scythe_cli.cli.commands.allocate_summary import print_outcome, resume_command
from scythe_cli.cli.run_argument import command_for
from scythe_cli.core import signals
from scythe_cli.errors import Interrupted, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.cli.commands.allocate_summary import Call
    from scythe_cli.operations.gather import FinalReport
    from scythe_cli.run.engine import Engine, Ticket, Work


def follow(call: Call, work: Work, *, engine: Engine | None = None) -> None:
    """Hand the work to the engine, wait if asked to, print how it ended."""
    from scythe_cli.engines.open_engine import open_engine
    from scythe_cli.operations.allocate import Allocation, start

    local = work.file.engine == "local"
    with _resumable(call, work):
        ticket = start(work, engine or open_engine(work.file), call.terminal)
        if local and call.wait is False:
            call.terminal.say("--no-wait has no effect: a local run ends with this command")
        if not local and not call.wait:
            print_outcome(Allocation(work.run, None, None), call)
            return
        with _stopping(ticket):
            ended = ticket.wait(call.terminal)
    final = _final(call, work) if ended is None else None
    print_outcome(Allocation(work.run, ended, final), call)


@contextmanager
def _resumable(call: Call, work: Work) -> Iterator[None]:
    """The run exists: on Ctrl-C while no spec runs, or when a store fails, the hint is how to resume it."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("interrupted", hint=resume_command(work.run, call.file)) from None
    except StoreError as exc:
        exc.hint = exc.hint or f"what is done is kept; then: {resume_command(work.run, call.file)}"
        raise


@contextmanager
def _stopping(ticket: Ticket) -> Iterator[None]:
    """While specs run, Ctrl-C, SIGTERM and SIGHUP ask them to end instead of ending the command."""

    def stop(number: int, _: object) -> None:
        signals.on_stop_signal(number)
        ticket.stop()

    before = {number: signal.signal(number, stop) for number in signals.stop_signals_not_ignored()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _final(call: Call, work: Work) -> FinalReport:
    from scythe_cli.operations.allocate import final_tables

    try:
        return final_tables(work, call.terminal)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; all specs are finished", hint=command_for("gather", work.run)) from None
    except StoreError as exc:
        exc.hint = exc.hint or f"all specs are finished; to build the tables: {command_for('gather', work.run)}"
        raise

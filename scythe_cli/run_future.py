"""A run that is at work while a Python process continues, and waiting for it.

Input: work that an engine has accepted. Output: the addresses of the final tables, or the error that stopped the run.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

from scythe_cli.core.events import Notice, Progress
from scythe_cli.core.late_threads import allow_late_threads
from scythe_cli.core.printable import printable
from scythe_cli.errors import Interrupted, NotFinishedError, ScytheError
from scythe_cli.run.engine import EndReason
from scythe_cli.session.kernel import in_kernel

if TYPE_CHECKING:
    from scythe_cli.core.events import Event, Listener
    from scythe_cli.notebook.bar import NotebookBar
    from scythe_cli.operations.allocate import Allocation
    from scythe_cli.run.engine import Ended, Ticket, Work

WAKE_SECONDS = 0.2
"""The main thread wakes this often: a signal that reaches another thread does not interrupt an endless wait."""


def print_notices(event: Event) -> None:
    """The listener of a script: it prints what the user should see, and draws nothing."""
    if isinstance(event, Notice):
        print(f"scythe: {event.message}", file=sys.stderr)


def _script_listener() -> Listener:
    """Notices; without a terminal also lines of progress, in a run of more than a minute."""
    if sys.stderr.isatty():
        return print_notices
    from scythe_cli.cli.progress_lines import LINE_SECONDS, ProgressLines

    lines = ProgressLines(time.monotonic(), quiet=LINE_SECONDS)

    def listen(event: Event) -> None:
        print_notices(event)
        if isinstance(event, Progress) and (text := lines.line(event, time.monotonic())):
            print(text, file=sys.stderr, flush=True)

    return listen


class RunFuture:
    """Wait for a run with `result()` or `await aio_result()`.

    A run on this machine runs in the background of the process, and the interpreter waits for it before it exits. A run
    on an engine elsewhere is followed only while somebody waits, and continues without this process.
    """

    def __init__(self, work: Work, ticket: Ticket) -> None:
        self._work = work
        self._ticket = ticket
        self._bar = self._open_bar()
        self._listener: Listener = self._bar or _script_listener()
        self._future: Future[Allocation] = Future()
        self._asked = False
        self._process = os.getpid()
        self._ours = work.file.engine == "local"
        self._thread = threading.Thread(target=self._follow, name="scythe-run", daemon=not self._ours)
        if self._ours:
            allow_late_threads()
            self._thread.start()
            # Executors shut down before ordinary threads are joined at exit, and the run still needs its own; what is
            # registered here, later than theirs, runs before it.
            threading._register_atexit(self._at_exit)  # type: ignore[attr-defined]  # the hook concurrent.futures uses
            if self._bar is not None:
                from scythe_cli.notebook.interrupt import stop_between_cells

                stop_between_cells(self)

    def _open_bar(self) -> NotebookBar | None:
        """The bar in the cell that made the run; None outside of a notebook."""
        if not in_kernel():
            return None
        from scythe_cli.notebook.bar import NotebookBar

        found = NotebookBar(self._work.run.id, self._work.run.total)
        found.open()
        return found

    def __repr__(self) -> str:
        state = "over" if self._future.done() else "under way"
        return f"<{type(self).__name__} of {self._work.run.id}, {state}>"

    def _repr_html_(self) -> str:
        """The run as a notebook shows it: its state, what failed, what one may call next."""
        from scythe_cli.notebook.html import run_status
        from scythe_cli.operations.status import status

        calls = ["ref.result()"] if self._future.done() else ["await ref.aio_result()", "ref.stop()"]
        return run_status(status(self._work.run, errors=self._future.done()), calls)

    def is_over(self) -> bool:
        """Whether the run has ended, or nobody follows it here any more."""
        return self._future.done()

    @property
    def workflow_run_id(self) -> str | None:
        """The engine's id of the run."""
        return self._ticket.workflow_run_id

    def stop(self) -> None:
        """Ask the run to end, as Ctrl-C does a command; the second time, at once."""
        self._ticket.stop()

    def result(self) -> dict[str, str]:
        """Wait for the final tables. Ctrl-C stops a run on this machine, and what is done is kept.

        Returns:
            The address of each by name: scalars, errors, result_file_refs, and the user's frames.

        Raises:
            NotFinishedError: the run was cancelled, or stopped by too many failures.
            Interrupted: Ctrl-C.
            ScytheError: anything else that stopped it.
        """
        self._start_following()
        if self._bar is None and sys.stderr.isatty():
            from scythe_cli.cli.progress import Terminal

            with Terminal() as terminal:
                terminal.follow(self._work.run.total)
                self._listener = terminal
                self._wait()
                self._listener = print_notices
        else:
            self._wait()
        return self._outcome()

    async def aio_result(self) -> dict[str, str]:
        """The same, for asyncio. Cancelling the wait does not stop the run; interrupting a notebook's kernel does."""
        self._start_following()
        waiter = asyncio.wrap_future(self._future)
        if self._bar is None or not self._ours:
            await asyncio.wait([waiter])
        else:
            from scythe_cli.notebook.interrupt import stop_while_waiting

            with stop_while_waiting(self):
                await asyncio.wait([waiter])
        waiter.exception()  # it is raised below, and asyncio should not warn that nobody retrieved it
        return self._outcome()

    def _start_following(self) -> None:
        if os.getpid() != self._process and not self._future.done():
            raise NotFinishedError(
                f"{self._work.run.id}: only the process that began the run can wait for it, and not one that it forked",
                hint=f"scythe wait {self._work.run.store.locate('')}",
            )
        if self._thread.ident is None:
            self._thread.start()

    def _follow(self) -> None:
        from scythe_cli.operations.allocate import finish

        try:
            allocation = finish(self._work, self._ticket, self._on_event)
        except BaseException as exc:  # noqa: BLE001 - raised again by result()
            self._close_bar(f"stopped: {exc}")
            self._future.set_exception(exc)
        else:
            self._close_bar("finished" if allocation.ended is None else allocation.ended.detail)
            self._future.set_result(allocation)

    def _close_bar(self, state: str) -> None:
        """Show in the cell how the run ended, and what failed."""
        if self._bar is None:
            return
        from scythe_cli.operations.status import status

        try:
            failures = status(self._work.run, errors=True).failures
        except ScytheError:  # the storage does not answer: the error of the run says so
            failures = []
        self._bar.close(state, failures)

    def _on_event(self, event: Event) -> None:
        self._listener(event)

    def _wait(self) -> None:
        """Wait through any number of Ctrl-C: the first asks the run to end, the second ends it."""
        while not self._future.done():
            try:
                wait([self._future], timeout=WAKE_SECONDS)
            except KeyboardInterrupt:
                self._ticket.stop()

    def _at_exit(self) -> None:
        """At exit: wait for the end of the run, and print its error if nobody has asked for the result.

        Nothing may be raised here: the other runs of the process are waited for after this one.
        """
        if os.getpid() != self._process:
            return  # a child that was forked: the run is its parent's
        if not self._future.done() and sys.stderr.isatty():
            print(f"{self._work.run.id} is still running; Ctrl-C stops it", file=sys.stderr)
        self._wait()
        if not self._asked:
            try:
                self._outcome()
            except ScytheError as exc:
                print(
                    printable(f"error: {exc}" + (f"\nhint: {exc.hint}" if exc.hint else ""), lines=True),
                    file=sys.stderr,
                )
            except BaseException:  # noqa: BLE001 - the boundary: nobody is above
                traceback.print_exc()

    def _outcome(self) -> dict[str, str]:
        self._asked = True
        allocation = self._future.result()
        if allocation.ended is not None:
            kind = Interrupted if allocation.ended.reason == EndReason.INTERRUPTED else NotFinishedError
            raise kind(f"{allocation.run.id}: {allocation.ended.detail}", hint=self._next_step(allocation.ended))
        return dict(allocation.final.tables) if allocation.final is not None else {}

    def _next_step(self, ended: Ended) -> str:
        address = self._work.run.store.locate("")
        if self._bar is not None:
            return "what is done is kept; run.resume() runs the rest"
        if not self._ours and ended.reason == EndReason.INTERRUPTED:
            return f"scythe status {address} --watch"
        return f"in {self._work.experiment.folder}: scythe allocate --resume {address}"

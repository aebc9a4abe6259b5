"""The bar of a run in a notebook's cell, and what failed when it is over.

Input: events of the core. Output: one display that is updated in place: plain HTML and its text, without widgets, which
Jupyter and VS Code show alike. Events come from the thread that follows the run.
"""

from __future__ import annotations

import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from scythe_cli.cli.formatting import clock, counted, duration, rate
from scythe_cli.core import events
from scythe_cli.notebook import html

if TYPE_CHECKING:
    from scythe_cli.operations.failure_groups import FailureGroup

UPDATE_SECONDS = 0.25
RATE_WINDOW = 30.0
"""Seconds over which the rate is taken."""
MOST_NOTICES = 20


class NotebookBar:
    """Draws the events of one run in the cell that made it.

    Args:
        run_id: of the run.
        total: its specs.
    """

    def __init__(self, run_id: str, total: int) -> None:
        self._run_id = run_id
        self._total = total
        self._done = self._failed = 0
        self._state = "running"
        self._notices: list[str] = []
        self._failures: list[FailureGroup] = []
        self._began = time.monotonic()
        self._drawn = 0.0
        self._samples: list[tuple[float, int]] = []
        self._lock = threading.Lock()
        self._handle: Any = None

    def __call__(self, event: events.Event) -> None:
        """Draw one event; several within a quarter of a second are drawn once."""
        match event:
            case events.Progress():
                self._progress(event)
                self._draw(now=event.done >= event.total)
            case events.Draining():
                self._state = f"stopping: {counted(event.running, 'running spec')} may take {duration(event.grace)}"
                self._draw(now=True)
            case events.GatherStarted():
                self._state = "building the tables"
                self._draw(now=True)
            case events.Notice():
                self._notices = [*self._notices, event.message][-MOST_NOTICES:]
                self._draw(now=True)

    def open(self) -> None:
        """Show the bar in the current cell."""
        self._draw(now=True)

    def close(self, state: str, failures: list[FailureGroup]) -> None:
        """The run is over: show how, and what failed."""
        self._state, self._failures = state, failures
        self._draw(now=True)

    def _progress(self, event: events.Progress) -> None:
        now = time.monotonic()
        self._done, self._failed, self._total = event.done, event.failed, event.total
        self._samples = [one for one in self._samples if one[0] > now - RATE_WINDOW] or self._samples[-1:]
        self._samples.append((now, event.done))

    def _line(self) -> str:
        parts = [f"{self._done:,} of {counted(self._total, 'spec')}", f"{self._failed:,} failed"]
        seconds = time.monotonic() - self._began
        if self._state == "running" and self._samples:
            since, before = self._samples[0]
            if self._done > before and time.monotonic() > since:
                speed = (self._done - before) / (time.monotonic() - since)
                parts += [rate(speed), f"ETA {clock((self._total - self._done) / speed)}"]
        else:
            parts += [self._state, duration(seconds)]
        return "   ".join(parts)

    def _draw(self, *, now: bool) -> None:
        if not now and time.monotonic() < self._drawn + UPDATE_SECONDS:
            return
        with self._lock:
            self._drawn = time.monotonic()
            shown = html.bar(self._run_id, self._done, self._total, self._line(), self._notices, self._failures)
            self._show(shown, "\n".join([f"{self._run_id}   {self._line()}", *self._notices]))

    def _show(self, markup: str, plain: str) -> None:
        """Show it, or change what is shown: the first time in the current cell."""
        shown_by: Any = import_module("IPython.display")  # only a kernel has it
        data = {"text/html": markup, "text/plain": plain}
        if self._handle is None:
            self._handle = shown_by.display(data, raw=True, display_id=True)
        else:
            shown_by.update_display(data, raw=True, display_id=self._handle.display_id)

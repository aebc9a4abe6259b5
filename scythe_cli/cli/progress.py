"""Input: events of the core. Output: lines and a live bar on stderr, because stdout is for results.

Without a terminal there are lines of progress instead of a bar. Colours are only where the terminal shows them.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from scythe_cli.cli.formatting import clock, counted, duration, rate, size
from scythe_cli.cli.progress_lines import ProgressLines
from scythe_cli.core import events, signals
from scythe_cli.core.printable import Printable, printable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    from rich.console import ConsoleOptions, RenderResult

RATE_WINDOW = 30.0
"""Seconds over which the rate is taken."""
BAR_DELAY = 0.5
"""Seconds until an upload, a download or a gather shows a bar."""
BAR_WIDTH = 30
NARROWEST_BAR = 8
GAP = "   "


def is_terminal() -> bool:
    """Whether stderr is a terminal. FORCE_COLOR does not make it one."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class _Stderr(Console):
    """stderr. When its reader closes it, the work continues without output."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

    def __exit__(self, *about: object) -> None:
        """Every write happens here; it fails when the terminal was closed."""
        try:
            super().__exit__(None, None, None)
        except OSError:
            signals.detach_from_terminal()


class _Line:
    """A bar and the numbers after it, as many as fit the terminal."""

    def __init__(self, total: int, since: float | None = None) -> None:
        self.total = total
        self.done = 0
        self.since = since  # shows how long nothing is known to say more
        self.details: list[tuple[int, str, str]] = []  # priority, text, style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        since = self.since  # another thread may change it
        waited = [] if since is None else [(2, clock(time.monotonic() - since), "")]
        details, room = _fitting([*self.details, *waited], options.max_width)
        numbers = Text(GAP, end="").join(Text(text, style) for _, text, style in details)
        numbers.no_wrap, numbers.overflow = True, "ellipsis"
        if room < NARROWEST_BAR:
            yield numbers
            return
        share = min(1.0, self.done / self.total) if self.total else 1.0
        yield Text.assemble(_bar(share, min(BAR_WIDTH, room), ascii_only=options.ascii_only), " ", numbers, end="\n")


def _bar(share: float, width: int, *, ascii_only: bool) -> Text:
    """Heavy for what is done, light for what is left, so that it can be read without colours."""
    halves = int(share * width * 2)
    if ascii_only:
        done, left = "#" * (halves // 2), "-" * (width - halves // 2)
    else:
        done = "\N{BOX DRAWINGS HEAVY HORIZONTAL}" * (halves // 2)
        done += "\N{BOX DRAWINGS HEAVY LEFT AND LIGHT RIGHT}" * (halves % 2)
        left = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * (width - len(done))
    return Text.assemble((done, "green"), (left, "bright_black"))


def _fitting(details: list[tuple[int, str, str]], width: int) -> tuple[list[tuple[int, str, str]], int]:
    """The details that fit, and the width that is left for a bar. Those of the lowest priority go first."""
    kept = list(details)
    while len(kept) > 1 and _length(kept) > width:
        kept.remove(min(kept))
    fewer = [detail for detail in kept if detail[0] > 1]
    if _length(kept) > width - NARROWEST_BAR - 1 >= _length(fewer):
        kept = fewer
    return kept, width - _length(kept) - 1


def _length(details: list[tuple[int, str, str]]) -> int:
    return len(GAP.join(text for _, text, _ in details))


class Terminal:
    """Draws the events of one command. Use it as a context: at its end the bar stops.

    The bar of a run stays on the screen; those of uploads, downloads and the gather are removed.
    """

    def __init__(self) -> None:
        self.console = _Stderr(stderr=True, highlight=False, emoji=False)
        self.watched = is_terminal()
        self.line = _Line(0)
        self._live: Live | None = None
        self._due = 0.0
        self._samples: list[tuple[float, int]] = []
        self._began = time.monotonic()
        self._first = 0
        self._window = RATE_WINDOW
        self._valid = ""
        self._what = ""
        self._lines: ProgressLines | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def seconds(self) -> float:
        """Time since the start of the run that is followed, or else of the command."""
        return time.monotonic() - self._began

    def say(self, text: Printable, style: str | None = None) -> None:
        """Print one line, above the bar if there is one."""
        self.console.print(text, style=style, markup=False, soft_wrap=True)

    def busy(self, what: str) -> AbstractContextManager[object]:
        """Show a spinner during a step."""
        return self.console.status(what) if self.watched else nullcontext()

    def __call__(self, event: events.Event) -> None:
        """Draw one event."""
        match event:
            case events.SpecsValidated():
                self._valid = f"{event.name} {event.version}: {counted(event.n_specs, 'spec')} valid"
            case events.UploadStarted():
                self._open(event.n_bytes, "uploading")
            case events.UploadAdvanced() | events.DownloadAdvanced():
                self._move(event.n_bytes)
            case events.UploadFinished():
                self.close()
                self._valid += f", {counted(event.n_files, 'input file')} uploaded ({size(event.n_bytes)})"
            case events.RunReady():
                self._ready(event)
            case events.Progress():
                self._progress(event)
            case events.GatherStarted():
                self._open(event.n_specs, "gathering")
            case events.TakeOverStarted():
                self._open(event.n_specs, "taking over from the earlier run")
            case events.Gathered() | events.TakenOver():
                self.line.done = event.n_specs
                self._update_bar(f"{event.n_specs:,} of {counted(self.line.total, 'spec')}")
            case events.DownloadStarted():
                self._open(event.n_bytes, "downloading")
            case events.ExportStarted() | events.Exported():
                self._export(event)
            case _:
                self._print_line(event)

    def _print_line(self, event: events.Event) -> None:
        """Events that are one line each."""
        match event:
            case events.Draining():
                specs = counted(event.running, "running spec")
                left = f"{specs} may take {duration(event.grace)}; Ctrl-C again ends them now"
                self.say(printable(f"stopping: {left if event.running else 'no spec is running'}"), "yellow")
            case events.LeafFinished():
                rows, failed = f"specs {event.first}-{event.last}", counted(event.failed, "failure")
                left = f"  {event.left:,} given back without a result" if event.left else ""
                self.say(printable(f"{event.run_id}  {rows}  {failed}  {duration(event.seconds)}{left}"))
            case events.WorkerReady():
                self.say(
                    printable(f"worker  {event.name}   {counted(event.lanes, 'slot')}, {' and '.join(event.roles)}")
                )
                self.say(printable(f"serves  {', '.join(event.experiments)}   {event.engine}, runs in {event.storage}"))
            case events.Notice():
                self.say(printable(event.message, lines=True), "yellow")

    def follow(self, total: int, *, window: float = RATE_WINDOW) -> None:
        """Draw the bar of a run that has begun, or print lines. The rate is that of the last `window` seconds."""
        self._window = window
        self._began = time.monotonic()
        self._samples = []
        self._lines = None if self.watched else ProgressLines(self._began)
        self._show(_Line(total, since=self._began), stays=True)

    def close(self) -> None:
        """Stop the bar: that of a run stays on the screen, others are removed."""
        if self._live is not None:
            self._live.stop()
        self._live, self._due = None, 0.0

    def _ready(self, event: events.RunReady) -> None:
        self.close()
        if self._valid:
            self.say(printable(self._valid))
        workers = f", {counted(event.lanes, 'worker')}" if event.lanes else ""
        self.say(printable(f"run  {event.run_id}   {event.engine}{workers}"))
        if event.link:
            self.say(printable(f"see  {event.link}"))
        self.follow(event.total)

    def _progress(self, event: events.Progress) -> None:
        now = time.monotonic()
        if self._lines is not None and (text := self._lines.line(event, now)):
            self.say(printable(text))
        if not self._samples:
            self._first = event.done
        self._samples = [sample for sample in self._samples if sample[0] > now - self._window] or self._samples[-1:]
        self._samples.append((now, event.done))
        self.line.done, self.line.total = event.done, event.total
        width = len(f"{event.total:,}")
        details = [
            (4, f"{event.done:>{width},}/{event.total:,}", ""),
            (3, f"{event.failed:,} failed", "red" if event.failed else ""),
        ]
        over = event.done >= event.total
        since, before = (self._began, self._first) if over else self._samples[0]
        if event.done > before and now > since and not event.stalled:
            speed = (event.done - before) / (now - since)
            left = clock(self.seconds) if over else f"ETA {clock((event.total - event.done) / speed)}"
            details += [(1, rate(speed), ""), (2, left, "")]
        if event.done:
            self.line.since = None
        self.line.details = details

    def _move(self, n_bytes: int) -> None:
        self.line.done += n_bytes
        self._update_bar(f"{size(self.line.done)} of {size(self.line.total)}")

    def _export(self, event: events.ExportStarted | events.Exported) -> None:
        if isinstance(event, events.ExportStarted):
            self._open(event.n_rows, "writing")
            return
        self.line.done += event.n_rows
        self._update_bar(f"{self.line.done:,} of {counted(self.line.total, 'row')}")

    def _open(self, total: int, what: str) -> None:
        """Start a step; its bar appears when it takes longer than `BAR_DELAY`."""
        self.close()
        self.line, self._what, self._due = _Line(total), what, time.monotonic() + BAR_DELAY

    def _update_bar(self, text: str) -> None:
        self.line.details = [(2, text, ""), (1, self._what, "")]
        if self._due and time.monotonic() > self._due:
            self._show(self.line, stays=False)

    def _show(self, line: _Line, *, stays: bool) -> None:
        self.close()
        self.line = line
        if self.watched:
            self._live = Live(
                line, console=self.console, refresh_per_second=8, transient=not stays, redirect_stdout=False
            )
            self._live.start()

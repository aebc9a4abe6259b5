"""Draws what the core tells: lines and a live bar on stderr. On anything but a terminal it draws nothing.

stdout belongs to results; everything here goes to stderr, and colours go where the terminal wants them.
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
from scythe_cli.core import events, signals

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    from rich.console import ConsoleOptions, RenderResult

RATE_WINDOW = 30.0
"""Seconds over which the rate is taken."""
PATIENCE = 0.5
"""Seconds until a step that is no run of specs is worth a bar."""
BAR_WIDTH = 30
NARROWEST_BAR = 8
GAP = "   "


def is_terminal() -> bool:
    """Whether somebody watches stderr. FORCE_COLOR makes no watcher."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class _Screen(Console):
    """stderr. When its reader leaves, the work goes on unseen."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

    def __exit__(self, *about: object) -> None:
        """Whatever is written is written here; to a terminal that is gone it cannot be."""
        try:
            super().__exit__(None, None, None)
        except OSError:
            signals.detach_from_terminal()


class _Line:
    """A bar and what stands behind it, as much of both as the terminal is wide."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.words: list[tuple[int, str, str]] = []  # how dear each is, its text, its style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        words, room = _fitting(self.words, options.max_width)
        behind = Text(GAP, end="").join(Text(text, style) for _, text, style in words)
        behind.no_wrap, behind.overflow = True, "ellipsis"
        if room < NARROWEST_BAR:
            yield behind
            return
        share = min(1.0, self.done / self.total) if self.total else 1.0
        yield Text.assemble(_bar(share, min(BAR_WIDTH, room), ascii_only=options.ascii_only), " ", behind, end="\n")


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


def _fitting(words: list[tuple[int, str, str]], width: int) -> tuple[list[tuple[int, str, str]], int]:
    """The words there is place for, and the width that is left for a bar: the least dear word goes for one."""
    kept = list(words)
    while len(kept) > 1 and _length(kept) > width:
        kept.remove(min(kept))
    fewer = [word for word in kept if word[0] > 1]
    if _length(kept) > width - NARROWEST_BAR - 1 >= _length(fewer):
        kept = fewer
    return kept, width - _length(kept) - 1


def _length(words: list[tuple[int, str, str]]) -> int:
    return len(GAP.join(text for _, text, _ in words))


class Terminal:
    """Hears the events of one command and draws them. Use it as a context: nothing moves when that ends.

    The bar of a run stays as it ends; those of uploads, downloads and the gather go.
    """

    def __init__(self) -> None:
        self.console = _Screen(stderr=True, highlight=False, emoji=False)
        self.watched = is_terminal()
        self.line = _Line(0)
        self._live: Live | None = None
        self._due = 0.0
        self._marks: list[tuple[float, int]] = []
        self._began = time.monotonic()
        self._first = 0
        self._window = RATE_WINDOW
        self._valid = ""
        self._what = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def seconds(self) -> float:
        """Since the run that is followed began, or since the command did."""
        return time.monotonic() - self._began

    def say(self, text: str, style: str | None = None) -> None:
        """One line, above the bar where there is one."""
        self.console.print(text, style=style, markup=False, soft_wrap=True)

    def busy(self, what: str) -> AbstractContextManager[object]:
        """A sign of life while something takes its time."""
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
            case events.Gathered():
                self.line.done = event.n_specs
                self._tell(f"{event.n_specs:,} of {counted(self.line.total, 'spec')}")
            case events.DownloadStarted():
                self._open(event.n_bytes, "downloading")
            case _:
                self._mention(event)

    def _mention(self, event: events.Event) -> None:
        """What is a line and nothing else."""
        match event:
            case events.Draining():
                specs = counted(event.running, "running spec")
                self.say(f"stopping: {specs} may take {duration(event.grace)}; Ctrl-C again ends them now", "yellow")
            case events.LeafFinished():
                rows, failed = f"specs {event.first}-{event.last}", counted(event.failed, "failure")
                self.say(f"{event.run_id}  {rows}  {failed}  {duration(event.seconds)}")
            case events.WorkerReady():
                self.say(f"worker  {event.name}   {counted(event.lanes, 'lane')}, {' and '.join(event.roles)}")
                self.say(f"serves  {', '.join(event.experiments)}   {event.engine}, runs in {event.storage}")
            case events.Notice():
                self.say(event.message, "yellow")

    def follow(self, total: int, *, window: float = RATE_WINDOW) -> None:
        """Draw the bar of a run that is under way already, its rate that of the last `window` seconds."""
        self._window = window
        self._began = time.monotonic()
        self._marks = []
        self._show(_Line(total), stays=True)

    def close(self) -> None:
        """Leave the bar as it is, or take it away where it was of passing interest."""
        if self._live is not None:
            self._live.stop()
        self._live, self._due = None, 0.0

    def _ready(self, event: events.RunReady) -> None:
        self.close()
        if self._valid:
            self.say(self._valid)
        lanes = f", {counted(event.lanes, 'lane')}" if event.lanes else ""
        self.say(f"run  {event.run_id}   {event.engine}{lanes}")
        if event.link:
            self.say(f"see  {event.link}")
        self.follow(event.total)

    def _progress(self, event: events.Progress) -> None:
        now = time.monotonic()
        if not self._marks:
            self._first = event.done
        self._marks = [mark for mark in self._marks if mark[0] > now - self._window] or self._marks[-1:]
        self._marks.append((now, event.done))
        self.line.done, self.line.total = event.done, event.total
        width = len(f"{event.total:,}")
        words = [
            (4, f"{event.done:>{width},}/{event.total:,}", ""),
            (3, f"{event.failed:,} failed", "red" if event.failed else ""),
        ]
        over = event.done >= event.total
        since, before = (self._began, self._first) if over else self._marks[0]
        if event.done > before and now > since:
            speed = (event.done - before) / (now - since)
            left = clock(self.seconds) if over else f"ETA {clock((event.total - event.done) / speed)}"
            words += [(1, rate(speed), ""), (2, left, "")]
        self.line.words = words

    def _move(self, n_bytes: int) -> None:
        self.line.done += n_bytes
        self._tell(f"{size(self.line.done)} of {size(self.line.total)}")

    def _open(self, total: int, what: str) -> None:
        """Have a bar of passing interest appear once it has taken a while."""
        self.close()
        self.line, self._what, self._due = _Line(total), what, time.monotonic() + PATIENCE

    def _tell(self, text: str) -> None:
        self.line.words = [(2, text, ""), (1, self._what, "")]
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

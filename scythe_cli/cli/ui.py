"""Draws what the core tells: lines and a live bar on stderr. On anything but a terminal it draws nothing.

stdout belongs to results; everything here goes to stderr, and colours go where the terminal wants them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID
from rich.text import Text

from scythe_cli import events

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Task

RATE_WINDOW = 30.0
"""Seconds over which the rate is taken."""


def counted(n: int, noun: str) -> str:
    """`1 spec`, `2,000 specs`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def duration(seconds: float) -> str:
    """`21 s`, `4 min 10 s`, `3 h 20 min`, `2 d 4 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    for size, unit, below, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // below} {small}"
    return f"{whole} s"


def rate(value: float) -> str:
    """`1.2/s`, `42,000/s`, `3.1/min`."""
    if value >= 9.95:
        return f"{value:,.0f}/s"
    return f"{value:.1f}/s" if value >= 0.1 else f"{value * 60:.1f}/min"


def size(n_bytes: int) -> str:
    """`6.1 MB`."""
    return decimal(n_bytes)


class _Counts(ProgressColumn):
    """What stands behind a bar, of the task's own making."""

    def render(self, task: Task) -> Text:
        return Text(str(task.fields["told"]), no_wrap=True, overflow="ellipsis")


class Terminal:
    """Hears the events of one command and draws them. Use it as a context: its bar is gone when that ends."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=quiet)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._marks: list[tuple[float, int]] = []
        self._began = time.monotonic()
        self._valid = ""
        self._moved = 0
        self._goal = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._close()

    def say(self, text: str, style: str | None = None) -> None:
        """One line, above the bar where there is one."""
        self.console.print(text, style=style, markup=False, soft_wrap=True)

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
                self._close()
                self._valid += f", {counted(event.n_files, 'input file')} uploaded ({size(event.n_bytes)})"
            case events.RunReady():
                self._ready(event)
            case events.Progress():
                self._progress(event)
            case events.Draining():
                specs = counted(event.running, "running spec")
                self.say(f"stopping: {specs} may take {duration(event.grace)}; Ctrl-C again ends them now", "yellow")
            case events.GatherStarted():
                self._close()
                self._open(event.n_specs, "gathering")
            case events.Gathered():
                self._update(event.n_specs, f"{event.n_specs:,} rows gathered")
            case events.DownloadStarted():
                self._open(event.n_bytes, "downloading")
            case events.LeafFinished():
                self.say(
                    f"{event.run_id}  specs {event.first}-{event.last}  {counted(event.failed, 'failure')}"
                    f"  {duration(event.seconds)}"
                )
            case events.Notice():
                self.say(event.message, "yellow")

    def follow(self, total: int) -> None:
        """Draw the bar of a run that is under way already."""
        self._began = time.monotonic()
        self._marks = []
        self._open(total, "")

    def _ready(self, event: events.RunReady) -> None:
        self._close()
        if self._valid:
            self.say(self._valid)
        lanes = f", {counted(event.lanes, 'lane')}" if event.lanes else ""
        self.say(f"run  {event.run_id}   {event.engine}{lanes}")
        if event.link:
            self.say(f"see  {event.link}")
        self.follow(event.total)

    def _progress(self, event: events.Progress) -> None:
        now = time.monotonic()
        self._marks = [mark for mark in self._marks if mark[0] > now - RATE_WINDOW] or self._marks[-1:]
        self._marks.append((now, event.done))
        seconds, done = now - self._marks[0][0], event.done - self._marks[0][1]
        told = f"{event.done:,}/{event.total:,}   {event.failed:,} failed"
        if done and seconds > 0:
            told += f"   {rate(done / seconds)}"
            left = (event.total - event.done) * seconds / done
            told += f"   ETA {duration(left)}" if left else f"   {duration(now - self._began)}"
        self._update(event.done, told, total=event.total)

    def _open(self, total: int, what: str) -> None:
        self._close()
        self._moved, self._goal = 0, total
        if not self.console.is_terminal:
            return
        self._bar = Progress(BarColumn(bar_width=30), _Counts(), console=self.console, refresh_per_second=8)
        self._task = self._bar.add_task(what, total=max(1, total), told=what)
        self._bar.start()

    def _move(self, n_bytes: int) -> None:
        self._moved += n_bytes
        self._update(self._moved, f"{size(self._moved)} of {size(self._goal)}")

    def _update(self, done: int, told: str, *, total: int | None = None) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, completed=done, told=told, **({} if total is None else {"total": max(1, total)})
            )

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None

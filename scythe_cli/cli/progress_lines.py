"""The progress of a run as lines, for logs and other places without a terminal.

Input: how far the run is, now and then. Output: the text of a line when one is due: a minute after the last one, and
when the next tenth of the specs is done.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from scythe_cli.cli.formatting import clock, rate

if TYPE_CHECKING:
    from scythe_cli.core.events import Progress

LINE_SECONDS = 60.0
WINDOW = 600.0
"""Seconds over which the rate is taken: a log is read hours later, so a steady figure is better than a recent one."""
SAMPLE_SECONDS = 5.0
"""Samples for the rate are at least so far apart."""
QUIET_SECONDS = 0.5
"""A run that is over so soon after its first specs has no lines: its summary says it all."""


class ProgressLines:
    """The lines of one run.

    Args:
        began: when the run began, on the clock of `line`.
        quiet: seconds after the first specs in which no line is for a tenth.
    """

    def __init__(self, began: float, *, quiet: float = QUIET_SECONDS) -> None:
        self._began = began
        self._quiet = quiet
        self._last_line = began
        self._tenth: int | None = None
        self._first = 0
        self._quiet_until: float | None = None
        self._samples: list[tuple[float, int]] = []

    def line(self, event: Progress, now: float) -> str | None:
        """The line for this moment; None while none is due.

        Args:
            event: how far the run is.
            now: the time on the monotonic clock.
        """
        tenth = 10 * event.done // event.total if event.total else 10
        if self._tenth is None:  # what was finished before is not news
            self._tenth, self._first = tenth, event.done
            self._samples.append((self._began, event.done))
        if self._quiet_until is None and event.done > self._first:
            self._quiet_until = now + self._quiet
        if now - self._samples[-1][0] >= SAMPLE_SECONDS:
            recent = [sample for sample in self._samples if sample[0] > now - WINDOW]
            self._samples = [*(recent or self._samples[-1:]), (now, event.done)]
        is_news = tenth > self._tenth and self._quiet_until is not None and now >= self._quiet_until
        if not is_news and (now - self._last_line < LINE_SECONDS or tenth == self._tenth == 10):
            return None
        self._tenth, self._last_line = tenth, now
        return self._text(event, now)

    def _text(self, event: Progress, now: float) -> str:
        """`2026-11-29 02:14:05  620/1,000 (62%)  3 failed  4.2/s  ETA 0:01:30`."""
        moment = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
        share = 100 * event.done // event.total if event.total else 100
        parts = [moment, f"{event.done:,}/{event.total:,} ({share}%)", f"{event.failed:,} failed"]
        since, before = self._samples[0]
        speed = (event.done - before) / (now - since) if now > since else 0.0
        if speed and not event.stalled:
            parts.append(rate(speed))
        if event.done == event.total:
            parts.append(f"in {clock(now - self._began)}")
        elif speed and not event.stalled:
            parts.append(f"ETA {clock((event.total - event.done) / speed)}")
        return "  ".join(parts)

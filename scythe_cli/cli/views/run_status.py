"""The status of one run for people: counts, pace, times, size, tables.

Input: a `RunStatus`. Output: lines on stdout. The facts are one line where no terminal is, and as many as fit in one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scythe_cli.cli.formatting import brief, counted, duration, rate, size
from scythe_cli.cli.output import print_tables, put, state_text
from scythe_cli.cli.views.text_table import flowing, line_width
from scythe_cli.core.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.operations.status import RunStatus


def print_status(now: RunStatus) -> None:
    """Print one run."""
    put(printable(f"{now.run}   {state_text(now)}"))
    for line in flowing(list(_facts(now)), line_width() - 2):
        put(printable(f"  {line}"))
    print_tables(now.final)


def _facts(now: RunStatus) -> Iterator[str]:
    yield f"{now.done:,} of {counted(now.total, 'spec')} done, {now.failed:,} failed"
    if now.rate:
        yield rate(now.rate)
    if now.eta:
        yield f"ETA {duration(now.eta)}"
    if now.state == "running" and now.as_of is not None:
        yield f"as of {duration(_age(now.as_of))} ago"
    if now.live is not None:
        yield f"now {now.live.done:,} done, {now.live.failed:,} failed"
    if now.began is not None and now.state != "pending":
        yield f"began {_moment(now.began)}"
    if now.ended is not None:
        same_day = now.began is not None and now.began.date() == now.ended.date()
        yield f"ended {now.ended:%H:%M:%S}" if same_day else f"ended {_moment(now.ended)}"
    if now.elapsed is not None and (now.done or now.state == "running"):
        yield f"{'at work for' if now.state == 'running' else 'took'} {duration(now.elapsed)}"
    if now.durations is not None:
        yield from _of_specs(now)
    if now.size is not None:
        yield f"{'more than ' if now.size_is_part else ''}{size(now.size)}"


def _of_specs(now: RunStatus) -> Iterator[str]:
    found = now.durations
    assert found is not None  # noqa: S101 - the caller holds it
    of = f" of the {found.specs:,} specs written last" if found.specs < now.done else ""
    yield f"a spec {brief(found.median)} (median{of})"
    yield f"slowest {brief(found.slowest)} (spec {found.slowest_spec})"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _age(moment: datetime) -> float:
    """Seconds since then; a store whose clock is ahead of ours wrote it now."""
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())

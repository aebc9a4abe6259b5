"""Runs as HTML, for the cells of a notebook.

Input: a run's status, or a bar's numbers. Output: HTML whose colours fit light and dark notebooks. All text is escaped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.cli.output import failure_line
from scythe_cli.report.markup import Markup, element, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scythe_cli.operations.failure_groups import FailureGroup
    from scythe_cli.operations.status import RunStatus
    from scythe_cli.show.show import Shown

MOST_FAILURES = 5
MOST_LINES = 4_000
"""Characters of a log or a traceback."""
STATES = {"gathered": "finished", "complete": "finished, tables not built", "incomplete": "stopped before the end"}


def bar(
    run_id: str, done: int, total: int, line: str, notices: Sequence[str], failures: Sequence[FailureGroup]
) -> Markup:
    """A bar with a line below, and the failures once they are known."""
    progress = element("progress", value=done, max=max(total, 1), aria_label=f"progress of {run_id}", style="width:60%")
    parts = [element("code", text(run_id)), Markup("<br>"), progress, Markup("<br>"), element("span", text(line))]
    parts += [element("div", text(one)) for one in notices]
    return element("div", *parts, *failure_list(failures))


def failure_list(failures: Sequence[FailureGroup]) -> list[Markup]:
    """The most frequent failures, each with an example to open."""
    shown = [
        element(
            "details",
            element("summary", text(failure_line(one))),
            element("pre", text(one.traceback or one.message, most=MOST_LINES, lines=True)),
            *([element("pre", text(one.log, most=MOST_LINES, lines=True))] if one.log.strip() else []),
        )
        for one in failures[:MOST_FAILURES]
    ]
    if len(failures) > MOST_FAILURES:
        shown.append(element("div", text(f"and {len(failures) - MOST_FAILURES:,} more kinds of failure")))
    return shown


def pairs(rows: Mapping[str, object]) -> Markup:
    """Names and values as a table."""
    cells = [
        element("tr", element("th", text(name), scope="row", style="text-align:left"), element("td", text(value)))
        for name, value in rows.items()
    ]
    return element("table", element("tbody", *cells))


def run_status(now: RunStatus, calls: Iterable[str]) -> Markup:
    """A run: state, counts, tables, failures, and what one may call next."""
    state = STATES.get(now.state, now.state)
    rows: dict[str, object] = {
        "run": now.run,
        "state": f"{state} ({now.detail})" if now.detail else state,
        "specs": f"{now.done:,} of {now.total:,} done, {now.failed:,} failed",
        "folder": now.address,
        **{f"table {name}": address for name, address in now.final.items()},
    }
    next_calls = element("div", text("next: "), *(element("code", text(f" {one} ")) for one in calls))
    return element("div", pairs(rows), *failure_list(now.failures), next_calls)


def shown(found: Shown) -> Markup:
    """A run as `show` reads it, with its specs."""
    parts: list[Markup] = []
    if not found.specs:
        parts.append(pairs({"run": found.run, "state": found.state, "function": found.place, "folder": found.address}))
    for spec in found.specs[:20]:
        how = {"spec": spec.sort_index, "state": spec.state, "seconds": spec.duration, "worker": spec.worker}
        parts.append(pairs({**how, **spec.inputs, **spec.outputs, **spec.files}))
        if spec.message:
            parts.append(element("pre", text(f"{spec.error_type}: {spec.message}", most=MOST_LINES, lines=True)))
        for title, words in (("traceback", spec.traceback), ("log", spec.log)):
            if words and words.strip():
                lines = element("pre", text(words, most=MOST_LINES, lines=True))
                parts.append(element("details", element("summary", text(title)), lines))
    return element("div", *parts)

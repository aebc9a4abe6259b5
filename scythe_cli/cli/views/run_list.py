"""The latest runs of a storage for people: state, rows, failures, size, age, who.

Input: a storage. Output: a table on stdout, or the document of `status --json` without a RUN.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.cli.at_work import with_claims
from scythe_cli.cli.formatting import display_path, size
from scythe_cli.cli.output import STATES, print_json, print_next, put
from scythe_cli.cli.run_argument import command_for
from scythe_cli.cli.views.text_table import GAP, line_width
from scythe_cli.core.printable import printable
from scythe_cli.errors import BrokenRun, StoreError
from scythe_cli.operations.status import MADE_BY_ORIGINAL

if TYPE_CHECKING:
    from scythe_cli.operations.status import RunStatus
    from scythe_cli.run.run import Run

LATEST = 10
LEFT = (0, 1, 6)
"""Columns of text."""
MUST = 4
"""Columns that are shown however narrow the terminal is: name, state, done, failed."""
MOST_OBJECTS = 20_000
"""Objects of a run whose sizes are added up: a run may have a million files, and nobody waits for their listing."""


def with_size(run: Run, now: RunStatus) -> RunStatus:
    """The status with the bytes of the run's folder."""
    entries = [entry.size for entry in islice(run.store.list(), MOST_OBJECTS + 1)]
    return dataclasses.replace(now, size=sum(entries[:MOST_OBJECTS]), size_is_part=len(entries) > MOST_OBJECTS)


def print_latest(storage: str | None, *, as_json: bool) -> None:
    from scythe_cli.experiment.config import DEFAULT_FILE, find_storage
    from scythe_cli.operations.status import quick_status
    from scythe_cli.run.find import latest
    from scythe_cli.storage.open_store import open_store

    broken: list[StoreError] = []

    def read(run: Run) -> RunStatus | None:
        try:
            return with_size(run, with_claims(run, quick_status(run)))
        except StoreError as exc:
            broken.append(exc)
            return None

    store = open_store(find_storage(storage))
    found = latest(store, LATEST, on_broken=broken.append)
    with ThreadPoolExecutor(LATEST) as pool:
        readable = [(run, now) for run, now in zip(found, pool.map(read, found), strict=True) if now is not None]
    runs = [now for _, now in readable]
    if broken and not runs and not any(isinstance(exc, BrokenRun) for exc in broken):
        raise broken[0]  # it is the store that does not answer
    for exc in broken:
        put(printable(f"left out: {exc.message}{f'; {exc.hint}' if exc.hint else ''}"), err=True)
    if as_json:
        from scythe_cli.cli.documents import RunsDocument

        print_json(RunsDocument(store.locate(""), runs))
        return
    if not runs and broken:
        put(printable(f"no runs that can be read in {display_path(store.locate(''))}"))
        return
    if not runs:
        put(printable(f"no runs in {display_path(store.locate(''))}"))
        print_next("scythe allocate" if Path(DEFAULT_FILE).exists() else "scythe init DIR")
        return
    _print_runs(runs)
    print_next(command_for("status", readable[0][0], latest=True))


def _print_runs(runs: list[RunStatus]) -> None:
    """A line for each run; two where they do not fit the terminal, with as many columns as do."""
    rows = [("run", "state", "done", "failed", "size", "age", "by")]
    rows += [
        (
            *(one.run, _state_in_table(one), f"{one.done:,}/{one.total:,}", f"{one.failed:,}"),
            *(_size(one), _age(one), one.user or ""),
        )
        for one in runs
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    width = line_width()
    narrow = sum(widths) + len(GAP) * (len(widths) - 1) > width
    shown = len(widths)
    while narrow and shown > MUST and sum(widths[1:shown]) + len(GAP) * (shown - 1) > width:
        shown -= 1
    for row in rows:
        padded = [
            f"{text:<{width}}" if at in LEFT else f"{text:>{width}}"
            for at, (text, width) in enumerate(zip(row[:shown], widths, strict=False))
        ]
        facts = GAP.join(padded[1:]).rstrip()
        put(printable(f"{row[0]}\n{GAP}{facts}" if narrow else f"{padded[0]}{GAP}{facts}", lines=True))


def _size(one: RunStatus) -> str:
    return "" if one.size is None else f"{'>' if one.size_is_part else ''}{size(one.size)}"


def _age(one: RunStatus) -> str:
    """Since the run was claimed, in its largest unit: `3 d`."""
    seconds = max(0.0, (datetime.now(UTC) - one.created).total_seconds())
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _state_in_table(one: RunStatus) -> str:
    """The state; of a run that scythe-engine made, which has no other, that it did."""
    return MADE_BY_ORIGINAL if one.detail == MADE_BY_ORIGINAL else STATES[one.state]

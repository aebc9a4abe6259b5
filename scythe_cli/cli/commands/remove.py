"""`scythe remove`: delete runs, after showing how large they are."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scythe_cli.cli import options
from scythe_cli.cli.formatting import counted, display_path, duration, size
from scythe_cli.cli.output import confirm, print_json, put
from scythe_cli.cli.run_argument import hints_from_here
from scythe_cli.core.printable import printable
from scythe_cli.errors import ConfigError, Interrupted

if TYPE_CHECKING:
    from scythe_cli.cli.progress import Terminal
    from scythe_cli.remove.removed import Removed
    from scythe_cli.remove.selection import RunSelection
    from scythe_cli.run.run import Run

LISTERS = 16
SHOWN_FILES = 3


def remove(
    run: options.FirstRun,
    *,
    every: options.RemoveAll = False,
    older_than: options.OlderThan = None,
    keep_latest: options.KeepLatest = False,
    yes: options.Yes = False,
    storage: options.Storage = None,
    as_json: options.Json = False,
) -> None:
    """Delete runs, after showing their sizes. What scythe did not write stays."""
    from scythe_cli.cli.documents import RemoveDocument
    from scythe_cli.cli.progress import Terminal
    from scythe_cli.remove.remove import refuse_at_work
    from scythe_cli.remove.selection import RunSelection

    seconds = options.seconds_of("--older-than", older_than)
    with Terminal() as terminal:
        found = _selected(run, storage, RunSelection(every, seconds, keep_latest))
        for one in found:
            with hints_from_here(one):
                refuse_at_work(one)
        if not found:
            put(printable(f"nothing to remove: no run of {run} is left after these options"), err=True)
        elif not _show_and_ask(found, terminal, yes=yes):
            put(printable("nothing was removed"), err=True)
            found = []
        done = [_remove(one, terminal, found) for one in found]
    if as_json:
        print_json(RemoveDocument(done, sum(one.n_bytes for one in done)))
        return
    for gone in done:
        put(printable(f"removed {gone.run}   {counted(gone.n_files, 'file')}, {size(gone.n_bytes)}"))
        _print_left(gone)


def _selected(text: str, storage: str | None, selection: RunSelection) -> list[Run]:
    from scythe_cli.remove.selection import select
    from scythe_cli.run.find import parse_where
    from scythe_cli.storage.open_store import open_store

    where = parse_where(text, storage=storage)
    return select(
        open_store(where.storage),
        where.pattern,
        selection,
        on_skipped=lambda sentence: put(printable(sentence), err=True),
        on_broken=lambda exc: put(printable(f"left out: {exc.message}"), err=True),
    )


def _show_and_ask(found: list[Run], terminal: Terminal, *, yes: bool) -> bool:
    """Print a line for each run, on stderr, and ask. Raises `ConfigError` where nobody can be asked."""
    from scythe_cli.remove.claimed import ClaimedRun
    from scythe_cli.remove.own_objects import contents

    with terminal.busy("measuring"), ThreadPoolExecutor(LISTERS) as pool:
        sizes = [(one.n_files, one.n_bytes) for one in pool.map(contents, found)]
    for one, (n_files, n_bytes) in zip(found, sizes, strict=True):
        age = duration(max(0.0, (datetime.now(UTC) - one.manifest.created).total_seconds()))
        never = ", never became a run" if isinstance(one, ClaimedRun) else ""
        put(printable(f"{one.id}   {counted(n_files, 'file')}, {size(n_bytes)}, {age} old{never}"), err=True)
    total = size(sum(n_bytes for _, n_bytes in sizes))
    if len(found) > 1:
        put(printable(f"{counted(len(found), 'run')}, {total}"), err=True)
    if not yes and not sys.stdin.isatty():
        raise ConfigError("remove asks before it deletes, and there is no terminal to ask at", hint="add --yes")
    return confirm(f"Remove {'this run' if len(found) == 1 else 'these runs'} for good?", yes)


def _remove(run: Run, terminal: Terminal, all_runs: list[Run]) -> Removed:
    from scythe_cli.remove.remove import remove as delete

    try:
        with hints_from_here(run), terminal.busy(f"removing {run.id}"):
            return delete(run)
    except KeyboardInterrupt:
        left = len(all_runs) - all_runs.index(run)
        raise Interrupted(
            f"interrupted; {run.id} is partly removed", hint=f"repeat the command to remove the {counted(left, 'run')}"
        ) from None


def _print_left(gone: Removed) -> None:
    if gone.left:
        names = ", ".join(gone.left[:SHOWN_FILES]) + (", ..." if len(gone.left) > SHOWN_FILES else "")
        stay = "stays" if len(gone.left) == 1 else "stay"
        files = f"{counted(len(gone.left), 'file')} that scythe did not write {stay}"
        put(printable(f"  {files} in {display_path(gone.address)}: {names}"))

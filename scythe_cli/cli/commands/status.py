"""`scythe status`: how far a run is, and what failed."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.cli import options
from scythe_cli.cli.formatting import counted, display_path, duration, rate
from scythe_cli.cli.inline_command import inline_command
from scythe_cli.cli.output import STATES, print_json, print_next, print_tables, put, state_text
from scythe_cli.cli.run_argument import command_for, find_run
from scythe_cli.cli.views.failures import commands_after_failures, print_group
from scythe_cli.core.printable import printable
from scythe_cli.errors import BrokenRun, Interrupted, StoreError
from scythe_cli.operations.status import IS_DOWNLOAD, MADE_BY_ORIGINAL
from scythe_cli.run.run import OriginalRun

if TYPE_CHECKING:
    from scythe_cli.operations.status import RunStatus
    from scythe_cli.run.engine import Active
    from scythe_cli.run.run import Run

LATEST = 10
WATCH_SECONDS = 2.0
ASK_SECONDS = 5.0
"""While a run is watched, its engine is asked this often."""
HAND_OVER_SECONDS = 60.0
"""A run that is younger may be on its way to its engine."""
WATCH_WINDOW = 150.0
"""Seconds over which the rate is taken: outcomes reach the store in batches, every `run.flush` seconds."""


def status(
    run: options.RunOrLatest = None,
    *,
    watch: options.Watch = False,
    errors: options.Errors = False,
    all_attempts: options.AllAttempts = False,
    storage: options.Storage = None,
    as_json: options.Json = False,
) -> None:
    """Show how far a run is and what failed. Without RUN, list the latest runs."""
    errors = errors or all_attempts
    if run is None and not errors and not watch:
        _print_latest(storage, as_json=as_json)
        return
    from scythe_cli.operations.status import status as read_status

    found = find_run(run, storage)
    if watch:
        _watch(found)
    now = _with_engine(found, read_status(found, errors=errors))
    if all_attempts and not isinstance(found, OriginalRun):
        from scythe_cli.failures.earlier import earlier_failures

        now = dataclasses.replace(now, earlier_failures=earlier_failures(found))
    if as_json:
        print_json(now)
        return
    _print_status(now)
    if now.active is not None:
        _print_active(now.active)
    command = inline_command(found, run, storage) if now.failures or now.earlier_failures else None
    for group in now.failures:
        print_group(group, command)
    if all_attempts:
        put(printable(""))
        put(printable("earlier attempts:" if now.earlier_failures else "no earlier attempt failed"))
    for group in now.earlier_failures:
        print_group(group, command)
    _print_next(found, now, errors=errors, alone=command)


def _with_engine(run: Run, now: RunStatus) -> RunStatus:
    """Add what the engine queues and runs, where the run was handed to one."""
    from scythe_cli.engines.engine_activity import activity, is_elsewhere

    if now.state != "running" or not is_elsewhere(run):
        return now
    active = activity(run)
    if active.abandoned:
        return dataclasses.replace(now, state="incomplete", detail=active.why or "", rate=None, eta=None, active=None)
    known = active.queued is not None
    eta = None if known and not any(worker.serves for worker in active.workers) else now.eta
    return dataclasses.replace(now, active=active, eta=eta)


def _print_active(active: Active) -> None:
    if active.queued is not None and active.running is not None:
        put(printable(f"  {counted(active.queued, 'task')} queued, {active.running:,} with workers"))
    for one in active.workers:
        labels = " ".join(f"{key}={value}" for key, value in one.labels.items() if not key.startswith("scythe_"))
        put(printable(f"  worker {one.name}   {counted(one.lanes, 'slot')}   {labels}".rstrip()))
    if active.why:
        put(printable(f"  {active.why}"))


def _watch(run: Run) -> None:
    """Draw the bar until the run ends or no process works on it."""
    from scythe_cli.cli.progress import Terminal
    from scythe_cli.core.events import Progress
    from scythe_cli.operations.status import status as read_status

    now = _with_engine(run, read_status(run))
    with Terminal() as terminal:
        if _is_active(now):
            terminal.follow(now.total, window=WATCH_WINDOW)
        try:
            asked = time.monotonic()
            while _is_active(now):
                stalled = now.active is not None and bool(now.active.why)
                terminal(Progress(now.done, now.failed, now.total, stalled=stalled))
                time.sleep(WATCH_SECONDS)
                before, now = now.active, read_status(run)
                if time.monotonic() - asked > ASK_SECONDS:
                    now, asked = _with_engine(run, now), time.monotonic()
                elif before is not None:
                    now = dataclasses.replace(now, active=before)
        except KeyboardInterrupt:
            raise Interrupted(
                "no longer watching; the run continues", hint=command_for("status", run, "--watch")
            ) from None
        terminal(Progress(now.done, now.failed, now.total))


def _is_active(now: RunStatus) -> bool:
    just_made = (datetime.now(UTC) - now.created).total_seconds() < HAND_OVER_SECONDS
    return now.state == "running" or (now.state == "pending" and now.engine != "local" and just_made)


def _print_latest(storage: str | None, *, as_json: bool) -> None:
    from scythe_cli.experiment.config import DEFAULT_FILE, find_storage
    from scythe_cli.operations.status import quick_status
    from scythe_cli.run.find import latest
    from scythe_cli.storage.open_store import open_store

    broken: list[StoreError] = []

    def read(run: Run) -> RunStatus | None:
        try:
            return quick_status(run)
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
    """A line for each run; two where they would not fit the terminal."""
    rows = [("run", "state", "done", "failed")]
    rows += [(one.run, _state_in_table(one), f"{one.done:,}/{one.total:,}", f"{one.failed:,}") for one in runs]
    name, state, done, failed = (max(map(len, column)) for column in zip(*rows, strict=True))
    narrow = sys.stdout.isatty() and name + state + done + failed + 6 > shutil.get_terminal_size().columns
    for one in rows:
        counts = f"{one[1]:<{state}}  {one[2]:>{done}}  {one[3]:>{failed}}"
        put(printable(f"{one[0]}\n  {counts}" if narrow else f"{one[0]:<{name}}  {counts}", lines=True))


def _state_in_table(one: RunStatus) -> str:
    """The state; of a run that scythe-engine made, which has no other, that it did."""
    return MADE_BY_ORIGINAL if one.detail == MADE_BY_ORIGINAL else STATES[one.state]


def _print_status(now: RunStatus) -> None:
    put(printable(f"{now.run}   {state_text(now)}"))
    pace = f"   {rate(now.rate)}" if now.rate else ""
    eta = f"   ETA {duration(now.eta)}" if now.eta else ""
    put(printable(f"  {now.done:,} of {counted(now.total, 'spec')} done, {now.failed:,} failed{pace}{eta}"))
    print_tables(now.final)


def _print_next(run: Run, now: RunStatus, *, errors: bool, alone: str | None) -> None:
    after = {"complete": command_for("gather", run), "gathered": command_for("download", run)}.get(now.state)
    if now.detail == IS_DOWNLOAD:
        return
    if now.detail == MADE_BY_ORIGINAL:
        if now.final:
            print_next(command_for("download", run))
    elif now.state == "removing":
        print_next(command_for("remove", run))
    elif now.state == "running":
        print_next(command_for("status", run, "--watch"))
    elif now.failed and not errors:
        print_next(command_for("status", run, "--errors"))
    elif now.failed:
        print_next(*commands_after_failures(run, now.failures, alone), *([after] if after else []))
    else:
        print_next(after or command_for("allocate --resume", run))

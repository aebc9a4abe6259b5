"""`scythe status`: how far a run is, and what failed."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scythe_cli.cli import options
from scythe_cli.cli.at_work import continue_command, with_engine
from scythe_cli.cli.formatting import counted, display_path
from scythe_cli.cli.inline_command import changed_table, inline_command
from scythe_cli.cli.output import print_json, print_next, put
from scythe_cli.cli.run_argument import command_for, find_run
from scythe_cli.cli.views.failures import commands_after_failures, kept_folders, print_group
from scythe_cli.cli.views.run_list import print_latest, with_size
from scythe_cli.cli.views.run_status import print_status
from scythe_cli.core.printable import printable
from scythe_cli.errors import Interrupted
from scythe_cli.operations.status import IS_DOWNLOAD, IS_PARTIAL_DOWNLOAD, MADE_BY_ORIGINAL
from scythe_cli.run import lease
from scythe_cli.run.run import OriginalRun

if TYPE_CHECKING:
    from scythe_cli.operations.failure_groups import FailureGroup
    from scythe_cli.operations.status import RunStatus
    from scythe_cli.run.engine import Active
    from scythe_cli.run.run import Run

LATEST_INSIDE = 10
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
    listed: options.ListSpecs = False,
    all_attempts: options.AllAttempts = False,
    storage: options.Storage = None,
    as_json: options.Json = False,
) -> None:
    """Show how far a run is and what failed. Without RUN, list the latest runs."""
    errors = errors or all_attempts or listed
    if run is None and not errors and not watch:
        print_latest(storage, as_json=as_json)
        return
    from scythe_cli.engines.engine_activity import is_claimed
    from scythe_cli.operations.status import status as read_status

    found = find_run(run, storage)
    if watch:
        _watch(found)
    else:
        lease.observe(found.store, _say_that_it_takes_time)
    now = with_engine(found, with_size(found, read_status(found, errors=errors, name_specs=errors, durations=True)))
    if all_attempts and not isinstance(found, OriginalRun):
        from scythe_cli.failures.earlier import earlier_failures

        now = dataclasses.replace(now, earlier_failures=earlier_failures(found))
    if now.failures:
        now = dataclasses.replace(now, failures=_described(found, now.failures, listed=listed))
    if as_json:
        print_json(now)
        return
    print_status(now)
    _print_partial(found, now)
    if isinstance(found, OriginalRun):
        _print_runs_inside(found)
    if now.active is not None:
        _print_active(now.active, claimed=is_claimed(found))
    command = inline_command(found, run, storage) if now.failures or now.earlier_failures else None
    left = kept_folders(found) if now.failures else {}
    for group in now.failures:
        print_group(group, command, left.get(group.sort_index))
    if all_attempts:
        put(printable(""))
        put(printable("earlier attempts:" if now.earlier_failures else "no earlier attempt failed"))
    for group in now.earlier_failures:
        print_group(group, command)
    _print_note(changed_table(found, run) if command else None)
    _print_next(found, now, errors=errors, alone=command)


def _print_partial(run: Run, now: RunStatus) -> None:
    """Say that the tables lack specs, where they do."""
    from scythe_cli.operations.scan import partial_sentence

    if now.final and now.state != "gathered" and (partial := partial_sentence(run)) is not None:
        put(printable(f"  {partial}"))


def _print_note(note: str | None) -> None:
    if note is not None:
        put(printable(f"\nnote: {note}", lines=True))


def _say_that_it_takes_time(note: dict[str, Any]) -> None:
    who = f"process {note['pid']} on {note['host']}"
    put(printable(f"looking for up to {lease.LASTS:.0f} s whether {who} still works on the run"), err=True)


def _print_runs_inside(run: OriginalRun) -> None:
    """scythe-engine's users keep runs inside of a run's folder: one after the other, until a model is good enough."""
    from scythe_cli.run.find import latest

    for inside in reversed(latest(run.store, LATEST_INSIDE)):
        put(printable(f"  inside   {inside.id}"))
        put(printable(f"           {display_path(inside.store.locate(''))}"))


def _described(run: Run, failures: list[FailureGroup], *, listed: bool) -> list[FailureGroup]:
    """The groups with what their inputs have in common; without `--list` they do not name their specs."""
    from scythe_cli.failures.common_inputs import with_common_inputs

    found = with_common_inputs(run, failures)
    return found if listed else [dataclasses.replace(one, specs=[]) for one in found]


def _print_active(active: Active, *, claimed: bool) -> None:
    if active.queued is not None and active.running is not None:
        queued = f"{counted(active.queued, 'range')} of specs" if claimed else counted(active.queued, "task")
        put(printable(f"  {queued} queued, {active.running:,} with workers"))
    for one in active.workers:
        labels = " ".join(f"{key}={value}" for key, value in one.labels.items() if not key.startswith("scythe_"))
        line = f"  worker {one.name}   {counted(one.lanes, 'slot')}   {labels}".rstrip()
        put(printable(line if one.serves else f"{line}   takes no specs of this run"))
    if not all(one.sure for one in active.workers):
        put(printable("  one look does not show whether workers of other machines still live; --watch does"))
    if active.why:
        put(printable(f"  {active.why}"))


def _watch(run: Run) -> None:
    """Draw the bar until the run ends or no process works on it."""
    from scythe_cli.cli.progress import Terminal
    from scythe_cli.core.events import Progress
    from scythe_cli.operations.status import status as read_status

    now = with_engine(run, read_status(run))
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
                    now, asked = with_engine(run, now), time.monotonic()
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


def _print_next(run: Run, now: RunStatus, *, errors: bool, alone: str | None) -> None:
    after = {"complete": command_for("gather", run), "gathered": command_for("download", run)}.get(now.state)
    if now.detail in (IS_DOWNLOAD, IS_PARTIAL_DOWNLOAD):
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
        print_next(after or continue_command(run))

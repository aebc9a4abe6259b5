"""Deletes the folder of a run.

Input: a run that nobody works on. Output: nothing is left of it but what others put there. A mark that the run is being
removed is written first and the manifest goes last, so a removal that was interrupted is seen, and a repeat continues.
Of an id that was only claimed the claim goes last.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scythe_cli.core import layout, processes
from scythe_cli.core.layout import Mark
from scythe_cli.engines.engine_activity import at_work, is_elsewhere
from scythe_cli.errors import ConfigError, EngineError, KeyExists, NotFinishedError
from scythe_cli.remove.claimed import ClaimedRun, claimant, writer
from scythe_cli.remove.own_objects import REMOVED, contents
from scythe_cli.remove.removed import Removed
from scythe_cli.run import lease
from scythe_cli.run.claim import user_name
from scythe_cli.run.engine import EndReason
from scythe_cli.run.run import DownloadedRun, OriginalRun
from scythe_cli.run.state import list_marks, read_mark, write_mark
from scythe_cli.storage.address import is_remote
from scythe_cli.storage.empty_folders import remove_empty_folders
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scythe_cli.run.run import Run
    from scythe_cli.storage.base import Store

DELETERS = 32
STOP_SECONDS = 60.0
"""So long workers elsewhere may still write after a run was stopped."""
_FOLDERS = (layout.ARTIFACTS, layout.RESULTS, layout.FAILED, layout.FINAL, "scatter-gather", layout.CONTROL)


def refuse_at_work(run: Run) -> None:
    """Refuse a run that a process or an engine works on, one that is only downloaded, or one of scythe-engine.

    Raises:
        ConfigError: scythe-engine made it, or it is a download.
        NotFinishedError: somebody works on it.
        EngineError: its engine does not answer.
    """
    if isinstance(run, DownloadedRun):
        raise ConfigError(
            f"{run.store.locate('')} is a download of {run.id}, and not the run", hint="delete the folder as any other"
        )
    if isinstance(run, OriginalRun):
        raise ConfigError(
            f"{run.id} was made by scythe-engine, and scythe removes only what it wrote",
            hint=f"its folder is {run.store.locate('')}",
        )
    marks = list_marks(run.store)
    holder = lease.live_holder(run.store)
    who = f"process {holder['pid']} on {holder['host']}" if holder else None
    if who is None and isinstance(run, ClaimedRun) and not marks.get(Mark.GENERATION):
        who = writer(run)
    elif who is None and not marks.get(Mark.REMOVED):
        try:
            now = at_work(run)
        except EngineError as exc:
            exc.hint = f"scythe cancel {run.id}   then remove it"
            raise
        who = now.holder if now is not None else _still_writing(run, marks)
    if who is None:
        return
    if isinstance(run, ClaimedRun):
        raise NotFinishedError(f"{run.id} may still be written ({who})", hint="stop that, or wait for its end")
    raise NotFinishedError(f"{run.id} is at work ({who})", hint=f"scythe cancel {run.id}   or wait for its end")


def _still_writing(run: Run, marks: Mapping[str, Sequence[int]]) -> str | None:
    """Who may write to a run that nobody has: a process that is about to begin, or workers that were just stopped."""
    if not marks.get(Mark.GENERATION):
        return claimant(run.store)
    if not is_elsewhere(run):
        return None
    stops = [(Mark.CANCEL, "at"), (Mark.ENDED, "ended")]
    for kind, name in stops:
        note = read_mark(run.store, kind, max(marks[kind])) if marks.get(kind) else None
        if note is None or note.get("reason") == EndReason.DONE:
            continue
        age = (datetime.now(UTC) - datetime.fromisoformat(str(note[name]))).total_seconds()
        if age < STOP_SECONDS:
            return f"it was stopped {max(0.0, age):.0f} s ago, and its workers have a minute to end"
    return None


def remove(run: Run) -> Removed:
    """Delete what scythe wrote below a run's address.

    Raises:
        ConfigError: scythe-engine made it.
        NotFinishedError: somebody works on it.
        StoreError: the store refuses or does not answer; a repeat continues.
    """
    refuse_at_work(run)
    store, found = run.store, contents(run)
    with lease.hold(store):
        note = {"by": f"{user_name()}@{processes.host()}", "at": datetime.now(UTC).isoformat(timespec="seconds")}
        with suppress(KeyExists):  # an earlier removal was interrupted
            write_mark(store, Mark.REMOVED, 1, note)
        _delete(store, found.bulk)
    now = contents(run)  # with the leases of this removal
    last = [REMOVED, layout.CLAIM if isinstance(run, ClaimedRun) else layout.MANIFEST]
    _delete(store, [*now.bulk, *(key for key in now.rest if key not in last)])
    for key in last:
        store.delete(key)
    _clear_folders(run)
    return Removed(run.id, store.locate(""), found.n_files, found.n_bytes, now.foreign)


def _delete(store: Store, keys: Sequence[str]) -> None:
    """Several at a time. The first failure stops the rest."""
    with ThreadPoolExecutor(DELETERS) as pool:
        try:
            for _ in pool.map(store.delete, keys):
                pass
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _clear_folders(run: Run) -> None:
    """Remove the folders that hold nothing any more; a bucket has none. The storage itself stays."""
    address = run.store.address
    if is_remote(address):
        return
    remove_empty_folders(address, _FOLDERS)
    if run.is_copy:
        return
    storage = open_store(address.removesuffix(f"/{run.id}"))
    folder = run.id
    while "/" in folder:
        folder = folder.rpartition("/")[0]
        remove_empty_folders(storage.locate(folder))

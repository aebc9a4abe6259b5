"""What an allocate left that ended before it wrote the manifest: a claimed id, and perhaps tables and input files.

Input: a storage and a whole id. Output: the same as a run, for `remove` alone; and who may still be writing it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout, processes, yaml_document
from scythe_cli.errors import BrokenRun, ConfigError, KeyMissing
from scythe_cli.run.run import Run, bare_manifest
from scythe_cli.storage.base import MANIFEST_LIMIT

if TYPE_CHECKING:
    from scythe_cli.storage.base import Store

ELSEWHERE_SECONDS = 86400.0
"""Nobody sees the processes of another machine. An allocate there may check files and upload them for so long."""


@dataclass(frozen=True)
class ClaimedRun(Run):
    """A claim without a manifest. It is not a run, and nothing but `remove` takes it for one."""


def open_claim(storage: Store, run_id: str) -> ClaimedRun | None:
    """What an allocate has written under an id, without a manifest; None if nobody has claimed it."""
    store = storage.within(run_id)
    try:
        store.stat(layout.CLAIM)
    except KeyMissing:
        return None
    return ClaimedRun(store, bare_manifest(run_id, input_artifacts=store.locate(layout.INPUT_ARTIFACTS)))


def claimant(store: Store) -> str | None:
    """The process that has claimed a run and is about to begin it; None where it has ended, or is on another host."""
    claim = _read_claim(store)
    try:
        pid, created = int(claim["pid"]), datetime.fromisoformat(str(claim["created"])).timestamp()
        started = float(claim.get("started", -1))  # older versions did not write it
    except (KeyError, TypeError, ValueError):
        return None
    began = processes.began(pid)
    lives = processes.is_alive(pid, started) or (began is not None and began <= created + 1)
    return f"process {pid} on {claim['host']}" if lives and _is_here(claim) else None


def writer(run: ClaimedRun) -> str | None:
    """Who may still write what an allocate has begun; None where nobody does."""
    claim = _read_claim(run.store)
    if (process := claimant(run.store)) is not None:
        return process
    age = (datetime.now(UTC) - run.manifest.created).total_seconds()
    if _is_here(claim) or age > ELSEWHERE_SECONDS:
        return None
    where = f"a process on {claim['host']}" if "host" in claim else "an unknown process"
    return f"{where} claimed it less than a day ago and cannot be seen from here"


def _is_here(claim: dict[str, Any]) -> bool:
    """Whether this process sees those of the machine, or the container, that made a claim."""
    same = claim.get("namespace", processes.namespace()) == processes.namespace()
    return claim.get("host") == processes.host() and same


def _read_claim(store: Store) -> dict[str, Any]:
    """The content of a claim; empty where it is not what was written."""
    try:
        text = store.read(layout.CLAIM, limit=MANIFEST_LIMIT).decode(errors="replace")
        return yaml_document.read(text, layout.CLAIM).data
    except (KeyMissing, ConfigError, BrokenRun):
        return {}

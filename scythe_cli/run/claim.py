"""The claim of a run's id: the first write of an allocate, by conditional create, so that two never share a run.

Reads the versions that exist; writes control/claim.yml. A claim without a manifest is not a run.
"""

from __future__ import annotations

import getpass
import os
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from scythe_cli.core import layout, processes, yaml_document
from scythe_cli.errors import KeyExists, NotFoundError
from scythe_cli.run.find import latest_version
from scythe_cli.run.version import Bump, SemVer

if TYPE_CHECKING:
    from collections.abc import Callable

    from scythe_cli.storage.base import Store

CLAIM_TRIES = 3600
"""Seconds ahead of now that a claim looks for a free one."""


@dataclass(frozen=True)
class Claim:
    """A run id that is ours and no run yet."""

    store: Store
    id: str
    created: datetime
    root_workflow_run_id: str


def claim(
    storage: Store, name: str, version: SemVer, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Claim:
    """Take the next free run id: this second's, or the first second after it that nobody has.

    Raises:
        StoreError: the store refuses writes, or lets two creates of one key both succeed.
    """
    moment = now().replace(microsecond=0)
    for _ in range(CLAIM_TRIES):
        run_id = f"{name}/{version}/{layout.run_time(moment)}"
        store = storage.within(run_id)
        root = str(uuid.uuid4())
        note = {
            "experiment_id": run_id,
            "root_workflow_run_id": root,
            "host": processes.host(),
            "namespace": processes.namespace(),
            "started": processes.start_time(os.getpid()),
            "pid": os.getpid(),
            "user": user_name(),
            "created": moment.isoformat(),
        }
        try:
            store.write(layout.CLAIM, yaml_document.write(note).encode(), new=True)
        except KeyExists:
            moment += timedelta(seconds=1)
            continue
        return Claim(store, run_id, moment, root)
    raise NotFoundError(f"no free run id for {name}/{version} in the next {CLAIM_TRIES} seconds")


def user_name() -> str:
    """The user's name as the system has it, or the number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def next_version(storage: Store, name: str, bump: Bump | SemVer) -> SemVer:
    """The version a new run gets; the first run ever is v1.0.0 whatever the bump."""
    if isinstance(bump, SemVer):
        return bump
    latest = latest_version(storage, name)
    return SemVer() if latest is None else latest.bumped(bump)

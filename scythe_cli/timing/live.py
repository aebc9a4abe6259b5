"""What the process that works on a run has counted, between two writes of results.

Input: the progress of a local run. Output: a small file in this machine's cache folder while the run is at work, and
its content for `status`. It may be absent: nothing depends on it.
"""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.core.events import Progress
from scythe_cli.storage.atomic_files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.core.events import Event, Listener
    from scythe_cli.run.run import Run

WRITE_EVERY = 1.0
TRUSTED_SECONDS = 30.0
"""An older file is of a process that died or was stopped."""
_LIMIT = 4096
_SAFE = re.compile(r"[0-9a-zA-Z-]{1,64}")


@dataclass(frozen=True)
class Live:
    """Counts of the process that works on a run.

    Attributes:
        done: finished specs, of which the results of the last ones may not be in the storage yet.
        failed: how many of those failed.
        at: when they were counted, UTC.
    """

    done: int
    failed: int
    at: datetime


@contextmanager
def publish_counts(run: Run, listener: Listener) -> Iterator[Listener]:
    """A listener that passes everything on and writes the counts at most once a second, until the block ends."""
    path = _path(run)
    written = 0.0

    def listen(event: Event) -> None:
        nonlocal written
        listener(event)
        if path is not None and isinstance(event, Progress) and time.monotonic() - written >= WRITE_EVERY:
            written = time.monotonic()
            _write(path, event)

    try:
        yield listen
    finally:
        if path is not None:
            with suppress(OSError):
                path.unlink()


def read_counts(run: Run) -> Live | None:
    """The counts of the process that works on a run on this machine; None where there are none, or old ones."""
    path = _path(run)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_uid != os.getuid():
                return None
            found = json.loads(file.read(_LIMIT))
        done, failed, at = (found[name] for name in ("done", "failed", "at"))
        age = time.time() - float(at)
        known = isinstance(done, int) and isinstance(failed, int) and 0 <= failed <= done <= run.total
        if not known or abs(age) > TRUSTED_SECONDS:
            return None
        return Live(done, failed, datetime.fromtimestamp(float(at), UTC))
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return None


def _write(path: Path, event: Progress) -> None:
    """Write aside and rename. A cache folder that cannot be written is no reason to disturb a run."""
    counts = {"done": event.done, "failed": event.failed, "at": time.time()}
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(path) as aside:
            aside.write_text(json.dumps(counts), encoding="utf-8")


def _path(run: Run) -> Path | None:
    """The file of a run; None for an id that names no file, which nobody of ours wrote."""
    from platformdirs import user_cache_path

    name = run.manifest.root_workflow_run_id
    return user_cache_path("scythe") / "live" / f"{name}.json" if _SAFE.fullmatch(name) else None

"""Which runs a `remove` is about.

Input: a storage, a name and what narrows it. Output: runs, the latest first. Nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.errors import ConfigError, NotFoundError
from scythe_cli.remove.claimed import open_claim
from scythe_cli.run.find import matching
from scythe_cli.run.run import OriginalRun, open_run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scythe_cli.errors import StoreError
    from scythe_cli.run.run import Run
    from scythe_cli.storage.base import Store

SHOWN = 3


@dataclass(frozen=True)
class RunSelection:
    """What to remove of the runs that a name fits.

    Attributes:
        every: all of them.
        older_than: those that are older than so many seconds; None for any age.
        keep_latest: not the run that the name means to other commands.
    """

    every: bool = False
    older_than: float | None = None
    keep_latest: bool = False

    @property
    def is_several(self) -> bool:
        """Whether more than one run may be meant."""
        return self.every or self.older_than is not None or self.keep_latest


def select(
    storage: Store,
    pattern: str,
    selection: RunSelection,
    *,
    on_skipped: Callable[[str], object],
    on_broken: Callable[[StoreError], object],
) -> list[Run]:
    """The runs to remove.

    Args:
        storage: where they live; the run itself where `pattern` is empty.
        pattern: a name, with or without a version and a time.
        selection: what narrows it.
        on_skipped: called with a sentence for each run that scythe-engine made, where several are meant.
        on_broken: called with each whose manifest is not what was written.

    Raises:
        NotFoundError: nothing matches.
        ConfigError: the name fits several runs, and one is meant.
    """
    found = _fitting(storage, pattern, on_broken)
    if len(found) > 1 and not selection.is_several:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        ids = ", ".join(run.id for run in found[:SHOWN])
        raise ConfigError(
            f"{pattern!r} fits {len(found)} runs: {ids}{more}",
            hint="name one of them, or add --all, --older-than 90d or --keep-latest",
        )
    if len(found) > 1:
        for run in found:
            if isinstance(run, OriginalRun):
                on_skipped(f"{run.id} was made by scythe-engine and stays")
    kept = found[:1] if selection.keep_latest else found[:0]
    chosen = [run for run in found if run not in kept and (len(found) == 1 or not isinstance(run, OriginalRun))]
    if selection.older_than is None:
        return chosen
    before = datetime.now(UTC) - timedelta(seconds=selection.older_than)
    return [run for run in chosen if run.manifest.created < before]


def _fitting(storage: Store, pattern: str, on_broken: Callable[[StoreError], object]) -> Sequence[Run]:
    """The runs that a pattern fits; a claim without a manifest is found by its whole id alone."""
    if not pattern:
        return [open_run(storage, "")]
    try:
        return matching(storage, pattern, on_broken=on_broken)
    except NotFoundError:
        claimed = open_claim(storage, pattern) if layout.is_run_id(pattern) else None
        if claimed is None:
            raise
        return [claimed]

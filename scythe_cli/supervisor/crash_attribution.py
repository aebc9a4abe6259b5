"""Whether the row at work when a lane died is to blame, and its outcome when it may not be tried again.

Takes deaths; leaves outcomes of specs whose lane did not live to tell.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from scythe_cli.core.clock import Clock
from scythe_cli.core.processes import describe_status
from scythe_cli.run.outcomes import CRASH, LOST, MEMORY, TIMEOUT, Failure, Outcome, split_dump
from scythe_cli.supervisor.lane_exit import GARBLED, NO_SERVER, SILENT

if TYPE_CHECKING:
    from scythe_cli.supervisor.chunk import Take
    from scythe_cli.supervisor.lane_exit import Death
    from scythe_cli.supervisor.run_progress import RunWork

STOPPED = "stopped"
"""Why a lane ends that the end of its run, or of a leaf, came upon."""
UNTOLD = (None, GARBLED, SILENT)
"""Why a lane ends without its outcomes, when none of its rows is known to be the cause."""
WITNESSED = 3
"""A row that was at work each time the fork server was killed, so many times, is what kills it."""


class Witnesses:
    """Remembers which rows were at work when a fork server died."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, int]] = Counter()

    def blame(self, take: Take, death: Death) -> bool:
        """Whether a death counts for the row at work."""
        if death.row is None or take is not death.takes[0] or death.reason == STOPPED:
            return False
        if death.reason != NO_SERVER:
            return True
        witness = (take.job.key, death.row)
        self._seen[witness] += 1
        return self._seen[witness] >= WITNESSED


def outcome_of(death: Death, run: RunWork, row: int, *, attempt: int, folder: str) -> Outcome:
    """The failure of a row whose last attempt came to nothing.

    Args:
        death: of its lane.
        run: its run.
        row: the row.
        attempt: which one it was.
        folder: of the user's code, for the place of the failure.
    """
    log, dump, place = split_dump(death.log, folder)
    kind, message = _verdict(death, run)
    return Outcome(
        row=row,
        sort_index=run.sort_index(row),
        failure=Failure(kind, kind, message, dump, place or run.place),
        attempts=attempt,
        start=Clock.time() - death.seconds,
        duration=death.seconds,
        worker=run.job.worker,
        log=log,
    )


def _verdict(death: Death, run: RunWork) -> tuple[str, str]:
    """Kind and message of a failure that the lane did not live to tell."""
    if death.reason == TIMEOUT:
        return TIMEOUT, f"timeout after {run.timeout:g} s"
    if death.reason == MEMORY:
        return MEMORY, f"the spec's processes held more than {(run.memory or 0) / 2**20:,.0f} MiB"
    if death.out_of_memory:
        return MEMORY, "the kernel killed the process: the machine, or its share of it, ran out of memory"
    if death.reason == GARBLED and death.row is not None:
        return CRASH, "the process wrote into its connection to the supervisor, or closed it"
    if death.row is None:
        return LOST, f"the process ended each time before it told the outcome: {describe_status(death.status)}"
    return CRASH, f"the process ended with {describe_status(death.status)}"

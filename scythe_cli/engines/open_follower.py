"""Who follows a run that is at work: the table of what each engine adds to the run's directory.

Input: a run. Output: a `RunFollower`. A new engine whose workers hold the run's lease needs nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.engines.engine_activity import engine_of, is_elsewhere
from scythe_cli.engines.generation.follow import LeaseWatch, RunFollower, Verdict
from scythe_cli.engines.shared.activity import ClaimsWatch
from scythe_cli.engines.shared.claim_names import CLAIMED
from scythe_cli.engines.slurm.engine import SlurmWatch
from scythe_cli.errors import EngineError

if TYPE_CHECKING:
    from scythe_cli.engines.generation.follow import Situation, Watch
    from scythe_cli.run.run import Run


def open_follower(run: Run, *, timeout: float | None = None) -> RunFollower:
    """Follows a run that is at work, whatever its engine, wherever it runs.

    Args:
        run: the run.
        timeout: seconds to follow at most.
    """
    return RunFollower(run, _watch(run), timeout=timeout)


def _watch(run: Run) -> Watch:
    if not is_elsewhere(run):
        return LeaseWatch()
    engine = engine_of(run)
    if engine in CLAIMED:
        return SlurmWatch(run) if engine == "slurm" else ClaimsWatch(run, patient=False)
    from scythe_cli.engines.hatchet.client.engine import HatchetEngine

    try:
        return HatchetEngine(check=False).watch(run)
    except EngineError as exc:
        return _NoEngine(exc.message)


class _NoEngine:
    """The watch of a run whose engine cannot be asked from here."""

    def __init__(self, why: str) -> None:
        self._why = why

    def verdict(self, situation: Situation, *, held: bool) -> Verdict:  # noqa: ARG002 - nobody can be asked
        """See `Watch`."""
        return Verdict(held or None, None if held else f"{self._why}; the progress comes from the run's directory")

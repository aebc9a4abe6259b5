"""When a run has failed so often that it should stop.

Input: outcomes as they are counted. Output: why to stop, once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scythe_cli.run.engine import Ended, EndReason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scythe_cli.core.units import MaxFailures
    from scythe_cli.lane.messages import FailureSample

CANARY = 20
"""When the first so many finished specs all failed alike, the rest would too."""


def has_canary(generation: int, todo: int, limit: MaxFailures) -> bool:
    """Whether a run ends where its first specs all fail alike: in its first generation, where it has more of them."""
    return generation == 1 and todo > CANARY and not limit.off


@dataclass
class FailureLimits:
    """The limits of one run, or of one leaf of it.

    Attributes:
        max_failures: the user's limit.
        canary: whether the first specs are still watched.
    """

    max_failures: MaxFailures
    canary: bool = False
    _alike: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def check(
        self,
        samples: Iterable[FailureSample],
        *,
        done: int,
        failed: int,
        done_before: int,
        failed_before: int,
        total: int,
    ) -> Ended | None:
        """Why the run should stop, if it should.

        Args:
            samples: of the failures that were just counted.
            done: outcomes that this supervisor has counted.
            failed: how many of them failed.
            done_before: outcomes of earlier generations.
            failed_before: how many of them failed.
            total: the run's rows.
        """
        if self.canary and (ended := self._watch_first(samples, done, failed)):
            return ended
        all_failed, finished = failed + failed_before, done + done_before
        if self.max_failures.exceeded(all_failed, finished, total):
            return Ended(EndReason.MAX_FAILURES, self.max_failures.message(all_failed, finished))
        return None

    def _watch_first(self, samples: Iterable[FailureSample], done: int, failed: int) -> Ended | None:
        self._alike.update((sample.kind, sample.error_type, sample.place) for sample in samples)
        if done < CANARY:
            return None
        self.canary = False
        if done > failed or len(self._alike) != 1:
            return None
        ((kind, error_type, place),) = self._alike
        where = f" in {place}" if place else ""
        return Ended(EndReason.CANARY, f"the first {done} specs all failed alike: {error_type} ({kind}){where}")

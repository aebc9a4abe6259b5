"""The engine without a server: the run's directory is the queue, and whoever sees it may work.

Input: work. Output: a generation and its plan in the directory. `scythe worker --run` does the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.engines.generation.follow import RunFollower
from scythe_cli.engines.generation.plan import write_plan
from scythe_cli.engines.shared.activity import ClaimsWatch
from scythe_cli.engines.shared.range_plan import write_range_plan

if TYPE_CHECKING:
    from scythe_cli.core.events import Listener
    from scythe_cli.engines.generation.plan import GenerationPlan
    from scythe_cli.experiment.config import ExperimentFile
    from scythe_cli.run.engine import Ended, Work


class SharedEngine:
    """Runs where workers see the storage.

    Args:
        file: the settings; only the engine's name in them matters, and it is this one.
    """

    def __init__(self, file: ExperimentFile | None = None) -> None:
        del file

    @property
    def lanes(self) -> int | None:
        """How many specs run at a time: nobody knows which workers will come."""
        return None

    def submit(self, work: Work) -> SharedTicket:
        """Begin a generation and write its plan. Returns at once.

        Raises:
            NotFinishedError: another process has begun this generation.
            StoreError: the storage refuses.
        """
        plan = write_plan(work, engine="shared")
        write_range_plan(plan, work.experiment.options.batch)
        return SharedTicket(plan)


class SharedTicket:
    """A generation that workers take from the directory; followed by the same directory."""

    def __init__(self, plan: GenerationPlan) -> None:
        self.workflow_run_id = plan.run.manifest.root_workflow_run_id
        self.link: str | None = None
        self._follower = RunFollower(plan.run, ClaimsWatch(plan.run))

    def stop(self) -> None:
        """Stop following. The run continues; `scythe cancel` ends it."""
        self._follower.stop()

    def wait(self, listener: Listener) -> Ended | None:
        """Follow the run's directory until its tables are there; see `Ticket`."""
        return self._follower.wait(listener)

    def close(self) -> None:
        """Nothing is held here; see `Ticket`."""

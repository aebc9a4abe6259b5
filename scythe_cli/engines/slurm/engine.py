"""The Slurm engine: the run's directory is the queue, and an array job has the workers.

Input: work, and where its code is. Output: a generation and its plan, two scripts in the run, and an array job.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from scythe_cli.core.layout import Mark
from scythe_cli.engines.generation.follow import RunFollower, Verdict
from scythe_cli.engines.generation.plan import write_plan
from scythe_cli.engines.shared.activity import ClaimsWatch
from scythe_cli.engines.shared.range_plan import write_range_plan
from scythe_cli.engines.shared.walltime import END_SECONDS
from scythe_cli.engines.slurm import commands, jobs
from scythe_cli.errors import ConfigError, EngineError, StoreError
from scythe_cli.run import state

if TYPE_CHECKING:
    from pathlib import Path

    from scythe_cli.core.events import Listener
    from scythe_cli.engines.generation.follow import Situation
    from scythe_cli.engines.generation.plan import GenerationPlan
    from scythe_cli.engines.slurm.commands import Tasks
    from scythe_cli.experiment.config import ExperimentFile
    from scythe_cli.run.engine import Ended, Work
    from scythe_cli.run.run import Run

ASK_SECONDS = 5.0
"""Whoever follows a run asks `squeue` at most this often: sites ban those who ask it all the time."""


class SlurmEngine:
    """Runs on a Slurm cluster whose nodes see the storage.

    Args:
        file: the settings.
        path: the experiment file, which workers read too; None where there is none.

    Raises:
        ConfigError: no spec could end within the walltime.
        EngineError: sbatch is not here.
    """

    def __init__(self, file: ExperimentFile, path: Path | None = None) -> None:
        self._path = None if path is None or not path.exists() else path.absolute()
        commands.require("sbatch")
        time, timeout = file.slurm.time, file.run.timeout
        if time is not None and timeout is not None and timeout > time - END_SECONDS:
            raise ConfigError(
                f"run.timeout of {timeout:g} s does not fit into slurm.time of {time:g} s: no spec could begin",
                hint="raise slurm.time, or lower run.timeout",
            )

    @property
    def lanes(self) -> int | None:
        """How many specs run at a time: that depends on how many tasks Slurm starts."""
        return None

    def submit(self, work: Work) -> SlurmTicket:
        """Begin a generation, and submit its tasks. Returns at once.

        Raises:
            EngineError: sbatch is not here or refuses. The generation was taken back: nothing has begun.
            NotFinishedError: another process has begun this generation.
        """
        plan = write_plan(work, engine="slurm")
        ranges = write_range_plan(plan, work.experiment.options.batch)
        try:
            at = (work.run.store.address, work.run.id, work.generation)
            job = jobs.job_of(*at, file=work.file, ranges=ranges.ranges, folder=work.experiment.folder, path=self._path)
            submission = jobs.submit(work.run, job)
        except BaseException as exc:
            for kind in (Mark.GENERATION, Mark.PLAN):
                with suppress(StoreError):
                    state.remove_mark(work.run.store, kind, work.generation)
            if isinstance(exc, EngineError):
                message = f"{exc.message}; {work.run.id} is written, and nothing of it has begun"
                corrected = "with the setting that was wrong, such as --set slurm.partition=NAME"
                raise EngineError(message, hint=f"scythe allocate --resume {work.run.id}   {corrected}") from exc
            raise
        return SlurmTicket(plan, submission)


class SlurmWatch:
    """What Slurm adds to the claims of a run: tasks that wait, and why. See `Watch`."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._claims = ClaimsWatch(run)
        self._asked = float("-inf")
        self._tasks: Tasks | None = None

    def verdict(self, situation: Situation, *, held: bool) -> Verdict:
        """See `Watch`."""
        found = self._claims.verdict(situation, held=held)
        if found.alive:
            return found
        if time.monotonic() - self._asked >= ASK_SECONDS:
            self._tasks, self._asked = jobs.tasks_of(self._run, situation.generation), time.monotonic()
        tasks = self._tasks
        if tasks is None:
            return Verdict(None, "squeue cannot be asked from here: the progress comes from the run's directory")
        if tasks.any:
            return Verdict(alive=True, why=tasks.sentence())
        return Verdict(alive=False, why="Slurm has no task of it")


class SlurmTicket:
    """An array job that works on a generation; followed by the directory."""

    def __init__(self, plan: GenerationPlan, submission: jobs.Submission) -> None:
        self.workflow_run_id = plan.run.manifest.root_workflow_run_id
        self.link: str | None = str(submission)
        self._follower = RunFollower(plan.run, SlurmWatch(plan.run))

    def stop(self) -> None:
        """Stop following. The run continues; `scythe cancel` ends it."""
        self._follower.stop()

    def wait(self, listener: Listener) -> Ended | None:
        """Follow the run's directory until its tables are there; see `Ticket`."""
        return self._follower.wait(listener)

    def close(self) -> None:
        """Nothing is held here; see `Ticket`."""

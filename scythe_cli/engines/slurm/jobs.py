"""The jobs of a run: submitted, recorded in the run, asked for and cancelled.

Input: a generation's job. Output: `control/slurm-<n>.yml`, one for each submission, with the numbers that Slurm gave.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.engines.slurm import commands
from scythe_cli.engines.slurm.script import SlurmJob, array_script, next_script
from scythe_cli.errors import EngineError
from scythe_cli.run import state

if TYPE_CHECKING:
    from scythe_cli.engines.slurm.commands import Tasks
    from scythe_cli.experiment.config import ExperimentFile
    from scythe_cli.run.run import Run

SUBMISSIONS = 1000
"""The submissions of a generation are numbered from its number times this."""


@dataclass(frozen=True)
class Submission:
    """What Slurm took.

    Attributes:
        number: of the array job.
        refused: why Slurm does not take the job that follows it; None where it does.
    """

    number: str
    refused: str | None

    def __str__(self) -> str:
        if self.refused is None:
            return f"Slurm job {self.number}"
        return f"Slurm job {self.number}; no job follows it, so nothing submits it again: {self.refused}"


def job_of(
    address: str, run: str, generation: int, *, file: ExperimentFile, ranges: int, folder: Path, path: Path | None
) -> SlurmJob:
    """The job of a generation: no more tasks than it has ranges, and than the cluster takes.

    Args:
        address: of the run.
        run: its id.
        generation: of the run.
        file: the settings that rule.
        ranges: how many ranges workers claim.
        folder: of the experiment's code.
        path: the experiment file, which may not exist any more; None where there is none.
    """
    tasks = max(1, min(file.slurm.tasks, commands.max_array(), ranges))
    found = None if path is None or not path.exists() else path.absolute()
    return SlurmJob(address, run, generation, file.slurm, tasks, folder, found)


def submit(run: Run, job: SlurmJob) -> Submission:
    """Write the scripts into the run and submit them.

    Raises:
        EngineError: sbatch is not here or refuses the array job.
    """
    store, script = run.store, array_script(job)
    after = next_script(job)
    store.write(layout.slurm_script(job.generation), script.encode())
    store.write(layout.slurm_script(job.generation, after=True), after.encode())
    if job.logs is not None:
        Path(job.logs).mkdir(parents=True, exist_ok=True)
    return hand_over(run, job.generation, script, after, tasks=job.tasks)


def hand_over(run: Run, generation: int, script: str, after: str, *, tasks: int) -> Submission:
    """Submit an array job and the job that follows it, and note them in the run.

    Raises:
        EngineError: sbatch is not here or refuses the array job.
    """
    number = commands.submit(script)
    follower, refused = "", None
    try:
        follower = commands.submit(after, f"--dependency=afterany:{number}", "--kill-on-invalid-dep=yes")
    except EngineError as exc:  # the array runs, and its last worker builds the tables
        refused = exc.message
    note = {"job": number, "next": follower, "tasks": tasks, "at": datetime.now(UTC).isoformat()}
    at = generation * SUBMISSIONS + len(submissions(run, generation)) + 1
    state.write_mark(run.store, Mark.SLURM, at, note)
    return Submission(number, refused)


def submissions(run: Run, generation: int) -> list[dict[str, str]]:
    """What was submitted for a generation, in order."""
    numbers = state.list_marks(run.store).get(Mark.SLURM, [])
    mine = sorted(number for number in numbers if number // SUBMISSIONS == generation)
    return [note for number in mine if (note := state.read_mark(run.store, Mark.SLURM, number)) is not None]


def jobs_of(run: Run, generation: int) -> list[str]:
    """The numbers of the jobs that run specs of a generation."""
    return [note["job"] for note in submissions(run, generation)]


def tasks_of(run: Run, generation: int) -> Tasks | None:
    """What Slurm has of a generation; None where it cannot be asked from here."""
    jobs = jobs_of(run, generation)
    return commands.tasks_of(jobs[-1:]) if jobs else commands.Tasks({}, 0)


def cancel(run: Run, generation: int) -> None:
    """Cancel the jobs of a generation, those that follow first.

    Raises:
        EngineError: scancel is not here or refuses.
    """
    found = submissions(run, generation)
    jobs = [note[key] for key in ("next", "job") for note in found[-1:] if note[key]]
    if jobs:
        commands.cancel(jobs)

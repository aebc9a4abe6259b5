"""What Slurm and the claims say of a run together. Input: a run. Output: what `scythe status` prints."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scythe_cli.engines.shared.activity import claims_of
from scythe_cli.engines.slurm import jobs

if TYPE_CHECKING:
    from scythe_cli.run.engine import Active
    from scythe_cli.run.run import Run


def tasks_and_claims_of(run: Run, generation: int) -> Active:
    """The claims of a generation, and Slurm's tasks in words; `squeue` is asked once."""
    found = claims_of(run, generation)
    numbers = jobs.jobs_of(run, generation)
    tasks = jobs.tasks_of(run, generation)
    if tasks is None:
        why = "squeue cannot be asked from here: what Slurm has queued is not known"
        return replace(found, why=why, abandoned=False)
    if tasks.any:
        return replace(found, why=f"{tasks.sentence()}, job {numbers[-1]}", abandoned=False)
    return replace(found, why="Slurm has no task of it", abandoned=True) if found.abandoned else found

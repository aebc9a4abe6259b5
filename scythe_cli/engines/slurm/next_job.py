"""The job that starts when all tasks of an array have ended: it builds the tables, or submits the array again.

Input: a run's address and a generation. Output: the final tables, or one more submission with the script that is in
the run; exit code 5 where neither is possible. No code of the user's is imported.
"""

from __future__ import annotations

import sys

from scythe_cli.core import layout
from scythe_cli.engines.generation import fence
from scythe_cli.engines.generation.plan import plan_of
from scythe_cli.engines.generation.progress import GenerationProgress
from scythe_cli.engines.shared.serve import build_tables
from scythe_cli.engines.slurm.jobs import Submission, hand_over, submissions
from scythe_cli.errors import ExitCode, ScytheError
from scythe_cli.operations.gather import gathered
from scythe_cli.run.run import Run, open_run
from scythe_cli.storage.base import MANIFEST_LIMIT
from scythe_cli.storage.open_store import open_store


def follow_up(run: Run, generation: int) -> tuple[int, str]:
    """Build the tables, or submit again. Returns the exit code and what happened."""
    plan = plan_of(run, generation)
    if plan is None or gathered(run) is not None:
        return ExitCode.DONE, f"{run.id} has its tables"
    over = fence.why_over(run.store, generation)
    if over is not None:
        return ExitCode.NOT_FINISHED, over.detail or f"generation {generation} is over"
    progress = GenerationProgress(plan)
    left = progress.read().left  # not of the whole run: a row that runs again has its outcome of before
    if not left:
        if build_tables(plan, lambda _: None, patient=True) is None:
            return ExitCode.DONE, f"{run.id} has its tables"
        over = fence.why_over(run.store, generation)
        if over is not None:
            return ExitCode.NOT_FINISHED, f"{over.detail}; next: scythe allocate --resume {run.id}"
        left = progress.read().left  # the gather set a part aside
    before = submissions(run, generation)
    if len(before) > plan.file.slurm.resubmit:
        why = f"{left:,} specs are left, and slurm.resubmit allows no more than {plan.file.slurm.resubmit} submissions"
        return ExitCode.NOT_FINISHED, f"{why}; next: scythe allocate --resume {run.id}"
    again = _submit_again(run, generation, tasks=int(before[-1]["tasks"]) if before else 1)
    alone = f"; no job follows it: {again.refused}" if again.refused else ""
    return ExitCode.DONE, f"{left:,} specs are left: submitted again as job {again.number}{alone}"


def _submit_again(run: Run, generation: int, *, tasks: int) -> Submission:
    """Submit the scripts that are in the run."""
    first, after = (
        run.store.read(layout.slurm_script(generation, after=after), limit=MANIFEST_LIMIT).decode()
        for after in (False, True)
    )
    return hand_over(run, generation, first, after, tasks=tasks)


def main(address: str, generation: str) -> int:
    """Be that job."""
    try:
        code, what = follow_up(open_run(open_store(address), ""), int(generation))
    except ScytheError as exc:
        code, what = exc.exit_code, exc.message
    print(what, flush=True)  # the job's own log
    return int(code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))

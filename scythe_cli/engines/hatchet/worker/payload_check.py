"""A task's payload against the run it names: whoever may enqueue tasks may have written it.

Input: a payload and the plan of its generation. Output: nothing, or an `InputError`, which ends that task for good.
Nothing is written before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.errors import InputError

if TYPE_CHECKING:
    from scythe_cli.engines.generation.plan import GenerationPlan
    from scythe_cli.engines.hatchet.names import TaskPayload

MOST_TRIES = 1000
MOST_DEPTH = 100


def check_leaf(payload: TaskPayload, plan: GenerationPlan, task: str) -> None:
    """Raise unless a leaf is of the task's own experiment, and a range of rows of one block.

    Args:
        payload: the leaf's.
        plan: of its run.
        task: the name of the task that it came for.
    """
    if plan.run.manifest.experiment_name != task:
        message = f"{plan.run.id} is a run of {plan.run.manifest.experiment_name}, and this task is {task}"
        raise InputError(f"{message}: it writes nothing there")
    check_range(payload, plan)
    if layout.block_of(payload.first) != layout.block_of(payload.last):
        raise InputError(f"the rows {payload.first} to {payload.last} of {plan.run.id} are not in one block")


def check_range(payload: TaskPayload, plan: GenerationPlan) -> None:
    """Raise unless a payload is a range of the run's rows."""
    if not 0 <= payload.first <= payload.last < plan.run.total:
        rule = f"must be a range of 0 to {plan.run.total - 1}"
        raise InputError(f"the rows {payload.first} to {payload.last} of {plan.run.id}: {rule}")
    if not (0 <= payload.tries <= MOST_TRIES and 0 <= payload.depth <= MOST_DEPTH):
        raise InputError(f"{payload.tries} tries at depth {payload.depth} of {plan.run.id}: no task has so many")

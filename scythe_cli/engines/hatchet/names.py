"""The names of tasks and labels, and the payload of every task: a run and row numbers, never code and never a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from scythe_cli.experiment.hatchet_workflow import RUN_KEY

if TYPE_CHECKING:
    from scythe_cli.engines.generation.plan import GenerationPlan

ROOT = "scythe_scatter_gather"
NODE = "scythe_scatter_node"
METADATA = RUN_KEY
"""The key of every task's metadata by which its generation is found; see `tag`."""
SHOWN = "scythe_name"
"""The key with the task's name for people: the engine's own names are those of workflows, and a time."""


class TaskPayload(BaseModel):
    """The payload of every task: a run, a generation and row numbers.

    Attributes:
        run: the run's id.
        generation: of the run.
        first: row number.
        last: row number, included.
        depth: of a node; 0 is the root.
        tries: how often workers died over these rows before, as far as known.
    """

    model_config = ConfigDict(extra="forbid")

    run: str
    generation: int
    first: int
    last: int
    depth: int = 0
    tries: int = 0


def tag(plan: GenerationPlan) -> str:
    """What a generation's tasks are known by: the run's id, and its number, or cancelling one would reach the next."""
    return f"{plan.run.id}/{plan.generation}"


def metadata(plan: GenerationPlan, payload: TaskPayload, task: str) -> dict[str, str]:
    """A task's metadata: the tag of its generation, and what people read in the engine's dashboard."""
    rows = f"{payload.first}-{payload.last}"
    what = {ROOT: "root", NODE: f"node {rows}"}.get(task, f"specs {rows}")
    return {METADATA: tag(plan), SHOWN: f"{plan.run.name} {plan.run.version} {what}"}

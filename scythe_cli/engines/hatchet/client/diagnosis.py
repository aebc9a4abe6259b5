"""Why no spec of a run starts: from what the engine knows, one sentence for the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scythe_cli.engines.hatchet.labels import CODE, FAN, STORAGE, STORAGE_AT
from scythe_cli.experiment.registry import TASK_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scythe_cli.engines.generation.plan import GenerationPlan
    from scythe_cli.run.engine import WorkerSeen

NO_TASK = "the engine has no task of this run"


@dataclass(frozen=True)
class Stillness:
    """What the engine has at work for a run.

    Attributes:
        queued: tasks that wait for a worker.
        running: tasks that a worker has.
        abandoned: whether the engine has none, and should have.
        begun: whether a worker has given some of its specs to its lanes.
    """

    queued: int
    running: int
    abandoned: bool = False
    begun: bool = True


def why_nothing_runs(plan: GenerationPlan, workers: Iterable[WorkerSeen], now: Stillness) -> str | None:
    """The sentence for a user whose run does not move; None when a worker could take its specs."""
    if now.abandoned:
        return NO_TASK
    live = list(workers)
    if not live:
        return "no worker is connected; start one in the experiment's folder: scythe worker experiment.yml"
    here = [worker for worker in live if worker.labels.get(STORAGE) == plan.labels[STORAGE]]
    return _other_storage(plan, live) if not here else _unfit(plan, here) or _all_busy(plan, here, now)


def _other_storage(plan: GenerationPlan, live: list[WorkerSeen]) -> str:
    """No worker has the run's storage: which they have, and how two paths of one folder become one."""
    mine = plan.run.store.locate("").rstrip("/").removesuffix(f"/{plan.run.id}")
    theirs = sorted({worker.labels.get(STORAGE_AT, "") for worker in live} - {""})
    others = f"; theirs: {', '.join(theirs)}" if theirs else ""
    return (
        f"none of {len(live)} workers has this run's storage {mine}{others}; start one with --storage {mine}, or, "
        f"where that folder has another path, with --label {STORAGE_AT}={mine}"
    )


def _unfit(plan: GenerationPlan, here: list[WorkerSeen]) -> str | None:
    """Why no worker of this storage takes the run's leaves."""
    name = plan.run.manifest.experiment_name.removeprefix(TASK_PREFIX)
    if not any(worker.labels.get(FAN) for worker in here):
        return "no worker follows runs: start one with --role fan"
    serving = [worker for worker in here if f"{CODE}_{name}".lower() in worker.labels]
    if not serving:
        return f"no worker serves {name}; start one in the experiment's folder: scythe worker experiment.yml"
    fitting = [w for w in serving if all(w.labels.get(key) == value for key, value in plan.labels.items())]
    if not fitting:
        wanted = ", ".join(f"{key}={value}" for key, value in plan.labels.items() if key != STORAGE)
        return f"no worker of {name} has the label {wanted}"
    codes = {worker.labels[f"{CODE}_{name}".lower()] for worker in fitting}
    if plan.source_hash[:12] not in codes and "any" not in codes:
        return (
            f"the code of {name} on the workers differs from the run's ({', '.join(sorted(codes))} there, "
            f"{plan.source_hash[:12]} in the run); update the workers, or start them with --allow-changed-code"
        )
    return None


def _all_busy(plan: GenerationPlan, here: list[WorkerSeen], now: Stillness) -> str | None:
    """Whether other runs have every lane of the workers that would take this run's leaves.

    One task of another run may have all lanes of its worker: what shows it is that none of this run has begun.
    """
    fitting = [worker for worker in here if worker.serves]
    enough = sum(worker.lanes for worker in fitting) if now.begun else len(fitting)
    others = sum(worker.busy for worker in fitting) - max(0, now.running - 1)  # the root has no lane
    if not fitting or others < enough:
        return None
    workers = "the only worker" if len(fitting) == 1 else f"all {len(fitting)} workers"
    return f"{workers} that could take {plan.run.name} {'is' if len(fitting) == 1 else 'are'} busy with other runs"

"""Why no spec of a run starts: from the workers that the engine knows, one sentence for the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.engines.hatchet.labels import CODE, FAN, STORAGE
from scythe_cli.run.run import TASK_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scythe_cli.engines.generation.plan import GenerationPlan
    from scythe_cli.run.engine import WorkerSeen


def why_nothing_runs(plan: GenerationPlan, workers: Iterable[WorkerSeen]) -> str | None:  # noqa: PLR0911 - one line a reason
    """The sentence for a user whose run stands still; None when a worker could take it."""
    leaf = plan.run.manifest.experiment_name
    name = leaf.removeprefix(TASK_PREFIX)
    live = list(workers)
    if not live:
        return "no worker is connected; start one in the experiment's folder: scythe worker experiment.yml"
    here = [worker for worker in live if worker.labels.get(STORAGE) == plan.labels[STORAGE]]
    if not here:
        storage = plan.run.store.locate("").rstrip("/").removesuffix(f"/{plan.run.id}")
        return f"no worker uses this run's storage; start one: scythe worker --storage {storage}"
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

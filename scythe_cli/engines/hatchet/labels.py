"""Labels: what a worker says of itself, and what the leaves of a run ask of a worker.

Input: an address, or the work that an engine is given. Output: label values.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hatchet_sdk.types.labels import DesiredWorkerLabel

    from scythe_cli.run.engine import Work

STORAGE = "scythe_storage"
"""Label of every worker: which storage it serves, so that teams can share an engine."""
STORAGE_AT = "scythe_storage_at"
"""Label of every worker: the same storage's address, for people; `--label` gives the one that runs are known by."""
LANES = "scythe_lanes"
CODE = "scythe_code"
FAN = "scythe_fan"
"""Labels of every worker: its lanes, the hash of each experiment's code, and whether it follows runs."""
RESOURCES = ("high_memory", "high_cpu", "has_gpu")
"""Labels that `resources:` of an experiment file can ask for."""


def required(value: str) -> DesiredWorkerLabel:
    """A label that a worker must have, as the SDK takes it from a task."""
    from hatchet_sdk.types.labels import DesiredWorkerLabel

    return DesiredWorkerLabel(value=value, required=True)


def storage_label(address: str) -> str:
    """A storage's address as a label's value."""
    return hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:12]


def wanted_labels(work: Work) -> dict[str, str]:
    """The labels that a worker must have to take the leaves of a run."""
    labels = {STORAGE: storage_label(work.run.store.locate("").rstrip("/").removesuffix(f"/{work.run.id}"))}
    labels |= {name: "true" for name in RESOURCES if getattr(work.file.resources, name)}
    for name, wanted in (work.experiment.options.desired_worker_labels or {}).items():
        if name not in RESOURCES:
            value = wanted.get("value") if isinstance(wanted, dict) else getattr(wanted, "value", wanted)
            labels[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return labels

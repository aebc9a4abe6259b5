"""`ScytheWorkerConfig`: a worker that a Python script configures and starts.

Input: arguments, or `SCYTHE_WORKER_*` of the environment. Output: a worker that serves until it is stopped.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from scythe_cli.core.machine import cores, machine_name
from scythe_cli.engines.hatchet import labels
from scythe_cli.engines.hatchet.worker import worker_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

YES = "yes"
"""The value of a label in scythe-engine."""


class ScytheWorkerLabel(StrEnum):
    """What a task may ask of its worker: `Register(desired_worker_labels=ScytheWorkerLabel.HAS_GPU.worker_label)`."""

    HIGH_MEMORY = "high_memory"
    HIGH_CPU = "high_cpu"
    HAS_GPU = "has_gpu"

    @property
    def yes(self) -> str:
        """The value of the label on a worker that has it."""
        return YES

    @property
    def worker_label(self) -> dict[str, Any]:
        """The label as a demand; several are joined by `{**one, **other}`."""
        return {self.value: labels.required(YES)}


class ScytheWorkerConfig(BaseModel):
    """A worker started from Python. What is not given comes from `SCYTHE_WORKER_*`."""

    model_config = ConfigDict(extra="forbid")

    NAME: str | None = Field(default=None, description="The worker's name; the machine's unless given.")
    SLOTS: int | None = Field(default=None, ge=1, description="Specs at a time; the cores of the machine unless given.")
    DURABLE_SLOTS: int | None = Field(default=None, ge=1, description="Runs that the worker may follow at a time.")
    HIGH_MEMORY: bool = Field(default=False, description="Take specs that ask for much memory.")
    HIGH_CPU: bool = Field(default=False, description="Take specs that ask for many cores.")
    HAS_GPU: bool = Field(default=False, description="Take specs that ask for a GPU.")
    DOES_FAN: bool = Field(default=True, description="Follow runs and fan them out.")
    DOES_LEAF: bool = Field(default=True, description="Run specs.")

    @model_validator(mode="before")
    @classmethod
    def _from_environment(cls, given: dict[str, Any]) -> dict[str, Any]:
        return worker_settings.variables() | given

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the worker. The value of each is "yes"."""
        return {label.value: YES for label in ScytheWorkerLabel if getattr(self, label.name)}

    @property
    def computed_name(self) -> str:
        """The worker's name."""
        return self.NAME or machine_name()

    @property
    def computed_slots(self) -> int:
        """Specs at a time."""
        return self.SLOTS or cores()

    @property
    def computed_durable_slots(self) -> int:
        """Runs that the worker may follow at a time."""
        return self.DURABLE_SLOTS or worker_settings.DURABLE_SLOTS

    def start(
        self, experiments: Sequence[Any] | None = None, additional_workflows: Sequence[Any] | None = None
    ) -> None:
        """Serve what `ExperimentRegistry` holds until stopped.

        Args:
            experiments: functions to register first.
            additional_workflows: Hatchet workflows of your own that are not experiments, at the top level of a module.

        Raises:
            EngineError: the engine does not answer or refuses.
            StoreError: the storage does not answer.
        """
        from scythe_cli.engines.hatchet.worker.worker import serve_registered
        from scythe_cli.experiment.registry import ExperimentRegistry

        for function in experiments or ():
            if function not in ExperimentRegistry.functions():
                ExperimentRegistry.Register()(function)
        serve_registered(
            worker_settings.WorkerSettings(
                name=self.NAME,
                slots=self.SLOTS,
                durable_slots=self.computed_durable_slots,
                labels=dict.fromkeys(self.labels, "true"),
                workflow_labels=self.labels,
                workflows=tuple(additional_workflows or ()),
                roles=worker_settings.roles(fan=self.DOES_FAN, leaf=self.DOES_LEAF),
            )
        )

"""Settings that users of scythe-engine pass as objects: the keys of experiment.yml and the worker's options.

Input: arguments, or the environment variables of the same names. Output: values for our own settings.
"""

from __future__ import annotations

import os
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from scythe_cli.storage.address import Address, Scheme


class RecursionMap(BaseModel):
    """The shape of the fan-out on Hatchet: `tree.factor` and `tree.max_depth`."""

    model_config = ConfigDict(extra="forbid")

    factor: int = Field(default=16, ge=2, description="Hatchet: number of child tasks of a task.")
    max_depth: int = Field(
        default=4, ge=0, description="Hatchet: number of levels between the root task and the tasks that run specs."
    )


class ScytheStorageSettings(BaseModel):
    """A bucket as users of the original name it; what is not given comes from `SCYTHE_STORAGE_*`."""

    model_config = ConfigDict(extra="forbid")

    BUCKET: str = Field(description="The name of the S3 bucket to use.")
    BUCKET_PREFIX: str = Field(default="scythe", description="The prefix to use for the S3 bucket.")

    @model_validator(mode="before")
    @classmethod
    def _from_environment(cls, given: dict[str, Any]) -> dict[str, Any]:
        variables = {name: os.environ.get(f"SCYTHE_STORAGE_{name}") for name in cls.model_fields}
        return {name: value for name, value in variables.items() if value} | given

    @property
    def address(self) -> str:
        """The address of bucket and prefix."""
        return str(Address(Scheme.S3, self.BUCKET, self.BUCKET_PREFIX.rstrip("/")))


class ScytheWorkerConfig:
    """A worker started from Python: NAME, SLOTS, HIGH_MEMORY, HIGH_CPU, HAS_GPU, DOES_FAN, DOES_LEAF.

    What is not given comes from `SCYTHE_WORKER_*`.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def start(self) -> None:
        """Serve what `ExperimentRegistry` holds until stopped."""
        from scythe_cli.engines.hatchet.worker.worker import serve_registered

        serve_registered(**self._settings)

"""Settings that users of the original pass as objects: thin doors to the keys of experiment.yml and to the worker.

Takes what their scripts say, or the environment variables of the same names; leaves values as our settings have them.
"""

from __future__ import annotations

import os
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RecursionMap(BaseModel):
    """The shape of the fan-out on Hatchet: `tree.factor` and `tree.max_depth`."""

    model_config = ConfigDict(extra="forbid")

    factor: int = Field(default=16, ge=2, description="Children of one node.")
    max_depth: int = Field(default=4, ge=0, description="Levels of nodes between the root and the leaves.")


class _FromEnvironment(BaseModel):
    """Fields that are not given come from the environment, under the class's prefix."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def _prefix(cls) -> str:
        return "SCYTHE_"

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        variables = {name: os.environ.get(cls._prefix() + name) for name in cls.model_fields}
        return {name: value for name, value in variables.items() if value} | given


class ScytheStorageSettings(_FromEnvironment):
    """A bucket as users of the original name it; what is not given comes from `SCYTHE_STORAGE_*`."""

    BUCKET: str = Field(description="The name of the S3 bucket to use.")
    BUCKET_PREFIX: str = Field(default="scythe", description="The prefix to use for the S3 bucket.")

    @classmethod
    def _prefix(cls) -> str:
        return "SCYTHE_STORAGE_"

    @property
    def address(self) -> str:
        """s3://bucket/prefix."""
        return f"s3://{self.BUCKET}/{self.BUCKET_PREFIX}".rstrip("/")


class ScytheWorkerConfig(_FromEnvironment):
    """A worker started from Python; what is not given comes from `SCYTHE_WORKER_*`."""

    NAME: str | None = Field(default=None, description="The worker's name.")
    SLOTS: int | None = Field(default=None, ge=1, description="Specs it runs at a time.")
    HIGH_MEMORY: bool = Field(default=False, description="Take leaves that ask for much memory.")
    HIGH_CPU: bool = Field(default=False, description="Take leaves that ask for many cores.")
    HAS_GPU: bool = Field(default=False, description="Take leaves that ask for a GPU.")
    DOES_FAN: bool = Field(default=True, description="Take roots and nodes.")
    DOES_LEAF: bool = Field(default=True, description="Take leaves.")

    @classmethod
    def _prefix(cls) -> str:
        return "SCYTHE_WORKER_"

    @property
    def labels(self) -> dict[str, str]:
        """What the worker says of itself."""
        has = {"high_memory": self.HIGH_MEMORY, "high_cpu": self.HIGH_CPU, "has_gpu": self.HAS_GPU}
        return {label: "true" for label, yes in has.items() if yes}

    def start(self) -> None:
        """Serve what `ExperimentRegistry` holds until stopped."""
        from scythe_cli.worker import serve_registered

        roles = [role for role, yes in (("fan", self.DOES_FAN), ("leaf", self.DOES_LEAF)) if yes]
        serve_registered(name=self.NAME, slots=self.SLOTS, labels=self.labels, roles=roles)

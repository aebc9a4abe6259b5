"""`ScytheStorageSettings`: a bucket as users of scythe-engine name it.

Input: arguments, or the environment variables of the same names. Output: the address of a storage.
"""

from __future__ import annotations

import os
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from scythe_cli.storage.address import Address, Scheme


class ScytheStorageSettings(BaseModel):
    """A bucket as users of scythe-engine name it; what is not given comes from `SCYTHE_STORAGE_*`."""

    model_config = ConfigDict(extra="forbid")

    BUCKET: str = Field(description="The name of the S3 bucket to use.")
    BUCKET_PREFIX: str = Field(default="scythe", description="The prefix to use for the S3 bucket.")

    @model_validator(mode="before")
    @classmethod
    def _from_environment(cls, given: dict[str, Any]) -> dict[str, Any]:
        variables = {name: os.environ.get(f"SCYTHE_STORAGE_{name}") for name in cls.model_fields}
        return {name: value for name, value in variables.items() if value} | given

    @classmethod
    def of_storage(cls, storage: str) -> ScytheStorageSettings | None:
        """The bucket and prefix of a storage; None for a folder."""
        address = Address.parse(storage)
        if address.scheme is not Scheme.S3:
            return None
        return cls(BUCKET=address.host, BUCKET_PREFIX=address.key.strip("/"))

    @property
    def address(self) -> str:
        """The address of bucket and prefix."""
        return str(Address(Scheme.S3, self.BUCKET, self.BUCKET_PREFIX)).rstrip("/")

"""`RecursionMap`: the shape of the fan-out on Hatchet, as users of scythe-engine write it.

Input: `factor` and `max_depth`. Output: the settings `tree.factor` and `tree.max_depth`.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RecursionMap(BaseModel):
    """The shape of the fan-out on Hatchet: `tree.factor` and `tree.max_depth`."""

    model_config = ConfigDict(extra="forbid")

    path: None = Field(default=None, description="Where a node is in the tree; the engine keeps that itself.")
    factor: int = Field(default=16, ge=1, description="Children of one node. 1 means the default, as 0 levels do.")
    max_depth: int = Field(default=4, ge=0, description="Levels of nodes between the root and the leaves.")

    @property
    def is_root(self) -> bool:
        """Whether it describes the whole tree: always."""
        return True

    def settings(self) -> dict[str, int]:
        """The keys below `tree`. A tree needs two children a node; with one, the root works alone."""
        if self.factor == 1:
            return {"max_depth": 0}
        return {"factor": self.factor, "max_depth": self.max_depth}

"""The trivial experiment that every tool in the comparison runs: the same models, the same function."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry


class Case(ExperimentInputSpec):
    """A case of five fields."""

    width: float = Field(ge=0, le=100)
    height: float = Field(ge=0, le=100)
    floors: int = Field(ge=1, le=200)
    use: Literal["office", "retail", "school"]
    code: str


class Size(ExperimentOutputSpec):
    """What a case gives."""

    area: float = Field(ge=0)
    volume: float
    occupants: int


@ExperimentRegistry.Register()
def measure(case: Case) -> Size:
    """Multiply a few numbers."""
    area = case.width * case.height
    return Size(area=area, volume=area * 3.0 * case.floors, occupants=int(area * case.floors) // 10)

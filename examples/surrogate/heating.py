"""A quick model of a room's heating, in place of a simulation that takes minutes."""

import math
from typing import Literal

import polars as pl
from pydantic import Field

from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, sample


class Room(ExperimentInputSpec):
    r_value: float = Field(description="Resistance of the walls [m2K/W]", ge=1, le=8)
    setpoint: float = Field(description="Indoor temperature [deg C]", ge=18, le=24)
    lpd: float = Field(description="Lighting power [W/m2]", ge=2, le=14)
    system: Literal["gas", "heatpump"] = Field(description="What heats the room")


class Heat(ExperimentOutputSpec):
    heating: float = Field(description="Energy for heating [kWh/m2]")


@ExperimentRegistry.Register()
def heat_room(input_spec: Room) -> Heat:
    losses = 90 * (input_spec.setpoint - 8) / 12 / math.sqrt(input_spec.r_value)
    gains = 2.2 * input_spec.lpd
    demand = math.log1p(math.exp((losses - gains) / 8)) * 8
    return Heat(heating=demand / (0.9 if input_spec.system == "gas" else 3.2))


experiment = heat_room
STRATUM = "system"
GOOD_ENOUGH = 0.04
"""Mean absolute error of the worst stratum, as a share of the stratum's mean."""
FIRST, MOST = 16, 1024


def specs(n: int) -> pl.DataFrame:
    """The first n points of the design. A larger one begins with the same points."""
    return sample(Room, "sobol", n, seed=1)

"""Annual energy use of the DOE small-office reference building, simulated with EnergyPlus.

Takes one case (envelope, lights, thermostat, economizer, climate) and leaves its end uses per floor area, an hourly
parquet file and a table of twelve months. To simulate your own building, replace `reference_model` and `apply_case`.
"""

import calendar
import json
import math
import sqlite3
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator
from pyenergyplus.api import EnergyPlusAPI
from pyenergyplus.dataset import ref_models

from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference

Model = dict[str, dict[str, dict[str, Any]]]  # epJSON: class of object -> name -> fields

# The engine's meters that make up each end use: https://bigladdersoftware.com/epx/docs/, "Input Output Reference".
METERS = {
    "heating": ("Heating:NaturalGas", "Heating:Electricity"),
    "cooling": ("Cooling:Electricity",),
    "lighting": ("InteriorLights:Electricity",),
    "equipment": ("InteriorEquipment:Electricity",),
    "fans": ("Fans:Electricity",),
    "pumps": ("Pumps:Electricity",),
}
JOULES_PER_KWH = 3.6e6
DEAD_BAND = 3.0  # K between heating and cooling setpoint, as in the reference building (21 and 24 deg C)


class BuildingSimulationInput(ExperimentInputSpec):
    """Simulation inputs for a building energy model."""

    r_value: float = Field(description="R-value of the exterior walls, surface to surface [m2K/W]", ge=0.3, le=15)
    lpd: float = Field(description="Lighting power density [W/m2]", ge=0, le=20)
    setpoint: float = Field(description="Heating setpoint in occupied hours [deg C]", ge=12, le=30)
    economizer: Literal["NoEconomizer", "DifferentialDryBulb", "DifferentialEnthalpy"] = Field(
        description="Type of economizer in the outdoor air controllers"
    )
    weather_file: FileReference = Field(description="Weather file with ASHRAE design conditions in its header [.epw]")
    begin_month: int = Field(default=1, description="First month simulated", ge=1, le=12)
    end_month: int = Field(default=12, description="Last month simulated", ge=1, le=12)

    @model_validator(mode="after")
    def _months_in_order(self) -> "BuildingSimulationInput":
        if self.end_month < self.begin_month:
            raise ValueError(f"end_month {self.end_month} lies before begin_month {self.begin_month}")
        return self


class BuildingSimulationOutput(ExperimentOutputSpec):
    """End uses per floor area, from the engine's own meters, over the months simulated (a year unless said)."""

    heating: float = Field(description="Heating energy, gas and electricity [kWh/m2 a year]", ge=0)
    cooling: float = Field(description="Cooling energy [kWh/m2 a year]", ge=0)
    lighting: float = Field(description="Interior lighting energy [kWh/m2 a year]", ge=0)
    equipment: float = Field(description="Interior equipment energy [kWh/m2 a year]", ge=0)
    fans: float = Field(description="Fan energy [kWh/m2 a year]", ge=0)
    pumps: float = Field(description="Pump energy [kWh/m2 a year]", ge=0)
    timeseries: FileReference = Field(description="Hourly end uses [kWh/m2], one row for each hour [.parquet]")


@ExperimentRegistry.Register()
def simulate_energy(input_spec: BuildingSimulationInput, tempdir: Path) -> BuildingSimulationOutput:
    """Simulate one case; `dataframes["monthly"]` has a row for each month [kWh/m2].

    Args:
        input_spec: the case.
        tempdir: a folder for the model, the engine's own outputs and the time series.

    Raises:
        RuntimeError: EnergyPlus failed (the message has its severe and fatal lines) or simulated too few hours.
        ValueError: the weather file has no design conditions to size the equipment with.
    """
    weather_file = Path(str(input_spec.weather_file))
    model = reference_model()
    apply_case(model, input_spec)
    apply_climate(model, weather_file)
    request_meters(model)
    model_file = tempdir / "case.epJSON"
    model_file.write_text(json.dumps(model))
    run_energyplus("--weather", str(weather_file), "--output-directory", str(tempdir), str(model_file), folder=tempdir)

    hourly = read_hourly(tempdir / "eplusout.sql")
    expected = 24 * sum(_days(month) for month in range(input_spec.begin_month, input_spec.end_month + 1))
    if hourly.num_rows != expected:
        raise RuntimeError(f"EnergyPlus simulated {hourly.num_rows} hours instead of {expected}")
    timeseries = tempdir / "timeseries.parquet"
    pq.write_table(hourly, timeseries)
    monthly = hourly.group_by("month", use_threads=False).aggregate([(use, "sum") for use in METERS])
    return BuildingSimulationOutput(
        **{use: math.fsum(hourly[use].to_pylist()) for use in METERS},
        timeseries=timeseries,
        dataframes={"monthly": monthly.rename_columns(["month", *METERS])},
    )


def reference_model() -> Model:
    """The small-office reference building (Deru et al. 2011, NREL/TP-5500-46861) as epJSON, a new copy each time."""
    model: Model = json.loads(_as_epjson(ref_models["small_office"]))
    return model


@lru_cache
def _as_epjson(idf: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        run_energyplus("--convert-only", "--output-directory", folder, idf, folder=Path(folder))
        return (Path(folder) / Path(idf).with_suffix(".epJSON").name).read_text()


def apply_case(model: Model, case: BuildingSimulationInput) -> None:
    """Write the case's parameters into the model."""
    wall = model["Construction"]["Mass Non-res Ext Wall"]
    materials = model["Material"]
    rest = [m for name, m in materials.items() if name.upper() in {layer.upper() for layer in wall.values()}]
    model["Material:NoMass"]["Wall insulation"] = {
        "roughness": "MediumRough",
        "thermal_resistance": case.r_value - sum(m["thickness"] / m["conductivity"] for m in rest),
    }

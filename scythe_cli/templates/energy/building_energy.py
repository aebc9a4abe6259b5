"""Energy use of the DOE small-office reference building in any climate, simulated with EnergyPlus.

Takes one spec (walls, lights, thermostat, economizer, weather) and returns its end uses per floor area, an hourly
parquet file and a table of its months. For a building of your own change `MODEL`, `METERS` and `apply_case`.
"""

import calendar
import json
import math
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator
from pyenergyplus.api import EnergyPlusAPI
from pyenergyplus.dataset import ref_models

from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference

Model = dict[str, dict[str, dict[str, Any]]]  # epJSON: class of object -> name -> field -> value

# New construction of 2004, 511 m2, five zones, packaged units with gas furnaces: Deru et al. 2011, NREL/TP-5500-46861.
MODEL = Path(ref_models["small_office"])

# The engine's meters that make up each end use; eplusout.mtd lists those that a model has.
METERS = {
    "heating": ["Heating:NaturalGas", "Heating:Electricity"],
    "cooling": ["Cooling:Electricity"],
    "lighting": ["InteriorLights:Electricity"],
    "equipment": ["InteriorEquipment:Electricity"],
    "fans": ["Fans:Electricity"],
    "pumps": ["Pumps:Electricity"],
}


class BuildingSimulationInput(ExperimentInputSpec):
    """Simulation inputs for a building energy model."""

    r_value: float = Field(description="R-value of the exterior walls, surface to surface [m2K/W]", ge=0.3, le=15)
    lpd: float = Field(description="Lighting power density [W/m2]", ge=0, le=20)
    setpoint: float = Field(description="Heating setpoint of the occupied hours [deg C]", ge=12, le=30)
    economizer: Literal["NoEconomizer", "DifferentialDryBulb", "DifferentialEnthalpy"] = Field(
        description="Economizer of the outdoor air controllers"
    )
    weather_file: FileReference = Field(description="Weather file with ASHRAE design conditions in its header [.epw]")
    begin_month: int = Field(default=1, description="First month simulated", ge=1, le=12)
    end_month: int = Field(default=12, description="Last month simulated", ge=1, le=12)

    @model_validator(mode="after")
    def months_in_order(self) -> "BuildingSimulationInput":
        """Refuse a period that ends before it begins."""
        if self.end_month < self.begin_month:
            raise ValueError(f"end_month {self.end_month} is before begin_month {self.begin_month}")
        return self


class BuildingSimulationOutput(ExperimentOutputSpec):
    """End uses per conditioned floor area over the months simulated: a year, unless the input says less."""

    heating: float = Field(description="Heating, gas and electricity [kWh/m2 a year]", ge=0)
    cooling: float = Field(description="Cooling [kWh/m2 a year]", ge=0)
    lighting: float = Field(description="Interior lighting [kWh/m2 a year]", ge=0)
    equipment: float = Field(description="Interior equipment [kWh/m2 a year]", ge=0)
    fans: float = Field(description="Fans [kWh/m2 a year]", ge=0)
    pumps: float = Field(description="Pumps [kWh/m2 a year]", ge=0)
    timeseries: FileReference = Field(description="The same for each hour [kWh/m2], with month, day and hour 1 to 24")


@ExperimentRegistry.Register()
def simulate_energy(input_spec: BuildingSimulationInput, tempdir: Path) -> BuildingSimulationOutput:
    """Simulate one spec and read the engine's meters.

    Returns:
        The end uses [kWh/m2]; the frame `monthly` has them for each month.

    Raises:
        RuntimeError: EnergyPlus failed (its severe and fatal lines are in the message), or hours are missing.
        ValueError: the weather file has no design conditions to size the equipment with.
    """
    model: Model = json.loads(epjson(MODEL))
    apply_case(model, input_spec)
    apply_climate(model, input_spec.weather_file)
    request_meters(model)
    case_file = tempdir / "case.epJSON"
    case_file.write_text(json.dumps(model))
    run_energyplus(tempdir, "--weather", str(input_spec.weather_file), str(case_file))

    hourly = read_meters(tempdir / "eplusout.sql")
    hours = 24 * sum(days_in(month) for month in range(input_spec.begin_month, input_spec.end_month + 1))
    if len(hourly["hour"]) != hours:
        raise RuntimeError(f"EnergyPlus simulated {len(hourly['hour'])} hours of {hours}")
    table = pa.table(hourly)
    pq.write_table(table, tempdir / "timeseries.parquet")
    monthly = table.group_by("month", use_threads=False).aggregate([(use, "sum") for use in METERS])
    return BuildingSimulationOutput(
        **{use: math.fsum(hourly[use]) for use in METERS},
        timeseries=tempdir / "timeseries.parquet",
        dataframes={"monthly": monthly.rename_columns(["month", *METERS])},
    )


@lru_cache
def epjson(idf: Path) -> str:
    """Convert a model to epJSON with the engine's own converter, once a process."""
    with tempfile.TemporaryDirectory() as folder:
        run_energyplus(Path(folder), "--convert-only", str(idf))
        return Path(folder, f"{idf.stem}.epJSON").read_text()


def apply_case(model: Model, case: BuildingSimulationInput) -> None:
    """Write the parameters of a spec into the model."""
    wall = model["Construction"]["Mass Non-res Ext Wall"]
    materials = {name.upper(): material for name, material in model["Material"].items()}
    others = [materials[name.upper()] for layer, name in wall.items() if layer != "layer_3"]
    resistance = case.r_value - sum(material["thickness"] / material["conductivity"] for material in others)
    model["Material:NoMass"]["Wall insulation"] = {"roughness": "MediumRough", "thermal_resistance": resistance}
    wall["layer_3"] = "Wall insulation"

    for lights in model["Lights"].values():
        lights["watts_per_floor_area"] = case.lpd
    for controller in model["Controller:OutdoorAir"].values():
        controller["economizer_control_type"] = case.economizer

    # As shipped: heating to 21 and at night 15.6 deg C, cooling to 24 and 26.7. The night's set-back moves with the
    # case, cooling stays where it is but keeps the shipped 3 K above the heating.
    for entry in temperatures(model, "HTGSETP_SCH"):
        entry["field"] += case.setpoint - 21
    for entry in temperatures(model, "CLGSETP_SCH"):
        entry["field"] = max(entry["field"], case.setpoint + 3)

    for period in model["RunPeriod"].values():
        period["begin_month"] = case.begin_month
        period["end_month"] = case.end_month
        period["end_day_of_month"] = days_in(case.end_month)


def days_in(month: int) -> int:
    """Count the days of a month of the run period's year: a common one that begins on a Sunday, as 2017 did."""
    return calendar.monthrange(2017, month)[1]


def temperatures(model: Model, schedule: str) -> list[dict[str, float]]:
    """Give the entries of a schedule that are values, not days or hours."""
    return [entry for entry in model["Schedule:Compact"][schedule]["data"] if not isinstance(entry["field"], str)]


def apply_climate(model: Model, weather_file: Path) -> None:
    """Size the equipment for the climate of the weather file instead of the city of the shipped model.

    The second line of an .epw file has the design conditions of the ASHRAE Handbook of Fundamentals for its place (the
    fields: EnergyPlus, "Auxiliary Programs", EPW CSV format). Heating is sized at the dry bulb exceeded in 99.6% of the
    hours, cooling at that exceeded in 0.4% with its mean coincident wet bulb, both on the 21st of the extreme month,
    with the handbook's clear sky in summer, no sun in winter, and its standard pressure for the elevation.
    """
    with weather_file.open(encoding="latin-1") as lines:
        location, conditions = lines.readline().split(","), lines.readline().split(",")
    if "Heating" not in conditions or "Cooling" not in conditions:
        raise ValueError(f"{weather_file.name}: no ASHRAE design conditions in the header to size the equipment with")
    heating = conditions[conditions.index("Heating") + 1 :]
    cooling = conditions[conditions.index("Cooling") + 1 :]
    both = {
        "day_of_month": 21,
        "humidity_condition_type": "WetBulb",
        "barometric_pressure": 101325 * (1 - 2.25577e-5 * float(location[9])) ** 5.2559,
        "solar_model_indicator": "ASHRAEClearSky",
    }
    winter = {
        "day_type": "WinterDesignDay",
        "month": int(heating[0]),
        "maximum_dry_bulb_temperature": float(heating[1]),
        "daily_dry_bulb_temperature_range": 0,
        "wetbulb_or_dewpoint_at_maximum_dry_bulb": float(heating[1]),
        "wind_speed": float(heating[13]),
        "wind_direction": float(heating[14]),
        "sky_clearness": 0,
    }
    summer = {
        "day_type": "SummerDesignDay",
        "month": int(cooling[0]),
        "maximum_dry_bulb_temperature": float(cooling[2]),
        "daily_dry_bulb_temperature_range": float(cooling[1]),
        "wetbulb_or_dewpoint_at_maximum_dry_bulb": float(cooling[3]),
        "wind_speed": float(cooling[14]),
        "wind_direction": float(cooling[15]),
        "sky_clearness": 1,
    }
    model["SizingPeriod:DesignDay"] = {f"{location[1]} 99.6%": both | winter, f"{location[1]} 0.4%": both | summer}
    model["Site:WaterMainsTemperature"] = {"Mains": {"calculation_method": "CorrelationFromWeatherFile"}}


def request_meters(model: Model) -> None:
    """Ask for the weather file's hours, which the shipped models leave out, and for the hourly meters alone."""
    for control in model["SimulationControl"].values():
        control["run_simulation_for_weather_file_run_periods"] = "Yes"
        control["run_simulation_for_sizing_periods"] = "No"
    for unused in [kind for kind in model if kind.startswith(("Output:", "UtilityCost:"))]:
        del model[unused]
    names = [name for meters in METERS.values() for name in meters]
    model["Output:Meter"] = {name: {"key_name": name, "reporting_frequency": "Hourly"} for name in names}
    model["Output:SQLite"] = {"SQLite": {"option_type": "Simple"}}


def run_energyplus(folder: Path, *arguments: str) -> None:
    """Run the engine in this process, quietly; `folder` gets its files."""
    api = EnergyPlusAPI()
    state = api.state_manager.new_state()
    api.runtime.set_console_output_status(state, False)
    code = api.runtime.run_energyplus(state, ["--output-directory", str(folder), *arguments])
    api.state_manager.delete_state(state)
    if code != 0:
        raise RuntimeError(f"EnergyPlus ended with code {code}\n{severe_errors(folder / 'eplusout.err')}")


def severe_errors(file: Path) -> str:
    """Read the severe and fatal errors, each with its continuation lines, from the engine's error file."""
    found, inside = [], False
    for line in file.read_text(errors="replace").splitlines():
        inside = "** Severe" in line or "**  Fatal" in line or (inside and "~~~" in line)
        if inside:
            found.append(line.strip())
    return "\n".join(found)


def read_meters(database: Path) -> dict[str, Sequence[float]]:
    """Read the end uses of each hour per conditioned floor area [kWh/m2] from the engine's SQLite file, by column."""
    with closing(sqlite3.connect(database)) as results:
        clock = results.execute("SELECT Month, Day, Hour FROM Time ORDER BY TimeIndex").fetchall()
        [[area]] = results.execute(
            "SELECT SUM(FloorArea * Multiplier * ListMultiplier) FROM Zones WHERE IsPartOfTotalArea = 1"
        )
        readings: dict[str, list[float]] = {name: [] for meters in METERS.values() for name in meters}
        for name, value in results.execute(
            "SELECT Name, Value FROM ReportData JOIN ReportDataDictionary USING (ReportDataDictionaryIndex) "
            "ORDER BY TimeIndex"
        ):
            readings[name].append(value)
    columns: dict[str, Sequence[float]] = dict(zip(("month", "day", "hour"), zip(*clock, strict=True), strict=True))
    for use, meters in METERS.items():
        present = [readings[name] for name in meters if readings[name]] or [[0.0] * len(clock)]
        columns[use] = [sum(joules) / 3.6e6 / area for joules in zip(*present, strict=True)]
    return columns

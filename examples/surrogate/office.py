"""An office in two climates, simulated with EnergyPlus: its heating in January.

building_energy.py and the weather files are those of `scythe init --template energy`.
"""

from pathlib import Path

import polars as pl
from building_energy import BuildingSimulationInput, simulate_energy

from scythe_cli import sample

experiment = simulate_energy
STRATUM = "weather_file"
GOOD_ENOUGH = 0.03
FIRST, MOST = 8, 64


def specs(n: int) -> pl.DataFrame:
    """The first n points of the design, each in Chicago and in San Francisco."""
    return sample(
        BuildingSimulationInput,
        "sobol",
        n,
        seed=1,
        space={"r_value": (1.0, 8.0), "lpd": (2.0, 14.0), "setpoint": (18.0, 24.0)},
        fixed={"economizer": "NoEconomizer", "begin_month": 1, "end_month": 1},
        cross={"weather_file": [str(*Path("weather").glob(f"*{city}*")) for city in ("Chicago", "Francisco")]},
    )

"""The energy example against the physics, with the engine itself; most cases simulate a single month."""

import csv
import importlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyenergyplus.dataset import weather_files

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "scythe_cli" / "templates" / "energy"
JANUARY = {"begin_month": 1, "end_month": 1}
JULY = {"begin_month": 7, "end_month": 7}
CHICAGO = weather_files["usa_il_chicago"]
MIAMI = weather_files["usa_fl_miami"]
SAN_FRANCISCO = weather_files["usa_ca_san_francisco"]

Simulate = Callable[..., tuple[Any, Path]]


@pytest.fixture(scope="module")
def energy() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        yield importlib.import_module("building_energy")


@pytest.fixture(scope="module")
def simulate(energy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Simulate:
    """Simulate a January in Chicago with some changes; the same case is simulated once, unless `again` is given."""
    done: dict[str, tuple[Any, Path]] = {}

    def once(again: str = "", **changes: Any) -> tuple[Any, Path]:
        base = {"r_value": 3, "lpd": 10, "setpoint": 21, "economizer": "NoEconomizer", "weather_file": CHICAGO}
        spec = energy.BuildingSimulationInput(**base | JANUARY | changes)
        key = repr(spec) + again
        if key not in done:
            folder = tmp_path_factory.mktemp("case")
            done[key] = energy.simulate_energy(spec, folder), folder
        return done[key]

    return once


def numbers(output: Any) -> tuple[Any, ...]:
    table = pq.read_table(output.timeseries)
    return repr(output.model_dump(exclude={"timeseries"})), output.dataframes["monthly"].to_pylist(), table.to_pylist()


def query(folder: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "eplusout.sql")) as results:
        return [row[0] for row in results.execute(sql)]


def test_a_year_has_all_its_hours_and_months(simulate: Simulate, energy: ModuleType) -> None:
    year, _ = simulate(begin_month=1, end_month=12)
    hourly = pq.read_table(year.timeseries)
    assert hourly.num_rows == 8760
    assert hourly.select(["month", "day", "hour"]).to_pylist()[-1] == {"month": 12, "day": 31, "hour": 24}
    monthly = year.dataframes["monthly"]
    assert monthly["month"].to_pylist() == list(range(1, 13))
    for use in energy.METERS:
        assert sum(monthly[use].to_pylist()) == pytest.approx(getattr(year, use), rel=1e-9)


def test_the_engine_is_quiet(energy: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    energy.run_energyplus(tmp_path, "--convert-only", str(energy.MODEL))
    assert capfd.readouterr() == ("", "")


def test_the_same_case_twice_gives_the_same_numbers(simulate: Simulate) -> None:
    first, _ = simulate()
    second, _ = simulate(again="second")
    assert numbers(first) == numbers(second)


def test_a_forked_child_gives_the_same_numbers(simulate: Simulate, energy: ModuleType, tmp_path: Path) -> None:
    """Lanes are forked from a process that has imported the module."""
    first, _ = simulate()
    script = (
        "import os, sys, pathlib, building_energy as energy\n"
        "if child := os.fork(): sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        f"spec = energy.BuildingSimulationInput(r_value=3, lpd=10, setpoint=21, economizer='NoEconomizer', "
        f"weather_file={CHICAGO!r}, end_month=1)\n"
        f"output = energy.simulate_energy(spec, pathlib.Path({str(tmp_path)!r}))\n"
        "print([getattr(output, use) for use in energy.METERS])"
    )
    child = subprocess.run([sys.executable, "-c", script], cwd=EXAMPLE, capture_output=True, text=True, check=True)
    assert child.stdout.strip() == repr([getattr(first, use) for use in energy.METERS])


def test_more_lighting_power_means_more_lighting_and_less_heating_in_the_cold(simulate: Simulate) -> None:
    (low, _), (high, _) = simulate(lpd=5), simulate(lpd=15)
    assert high.lighting == pytest.approx(3 * low.lighting)
    assert high.heating < low.heating
    assert high.equipment == low.equipment


def test_a_better_wall_means_less_heating(simulate: Simulate) -> None:
    (poor, _), (good, _) = simulate(r_value=1), simulate(r_value=6)
    assert good.heating < poor.heating


def test_a_warmer_setpoint_means_more_heating(simulate: Simulate) -> None:
    (cool, _), (warm, _) = simulate(setpoint=18), simulate(setpoint=23)
    assert cool.heating < warm.heating


def test_miami_cools_more_than_chicago(simulate: Simulate) -> None:
    (chicago, _), (miami, _) = simulate(**JULY), simulate(**JULY, weather_file=MIAMI)
    assert miami.cooling > chicago.cooling > 0


@pytest.mark.parametrize("economizer", ["DifferentialDryBulb", "DifferentialEnthalpy"])
def test_an_economizer_cools_san_francisco_with_outdoor_air(simulate: Simulate, economizer: str) -> None:
    without, _ = simulate(**JULY, weather_file=SAN_FRANCISCO)
    with_one, _ = simulate(**JULY, weather_file=SAN_FRANCISCO, economizer=economizer)
    assert with_one.cooling < 0.5 * without.cooling


@pytest.mark.parametrize("r_value", [1, 6])
def test_the_wall_has_the_resistance_of_the_case(simulate: Simulate, r_value: float) -> None:
    _, folder = simulate(r_value=r_value)
    [conductance] = query(folder, "SELECT Uvalue FROM Constructions WHERE Name = 'MASS NON-RES EXT WALL'")
    assert 1 / conductance == pytest.approx(r_value)


@pytest.mark.parametrize(
    ("weather_file", "city", "bulbs"),
    [
        (CHICAGO, "CHICAGO OHARE INTL AP", [(-20.0, -20.0), (33.3, 23.7)]),
        (MIAMI, "MIAMI INTL AP", [(8.7, 8.7), (33.2, 25.3)]),
        (SAN_FRANCISCO, "SAN FRANCISCO INTL AP", [(3.8, 3.8), (28.3, 17.2)]),
    ],
)
def test_each_climate_is_sized_by_its_own_design_days(
    simulate: Simulate, energy: ModuleType, weather_file: str, city: str, bulbs: list[tuple[float, float]]
) -> None:
    """Dry and wet bulb in winter and in summer [deg C], ASHRAE Handbook of Fundamentals 2009."""
    _, folder = simulate(**JULY, weather_file=weather_file)
    assert set(query(folder, "SELECT DesDayName FROM ZoneSizes")) == {f"{city} 99.6%", f"{city} 0.4%"}
    assert set(query(folder, "SELECT DesDayName FROM SystemSizes")) == {f"{city} 99.6%", f"{city} 0.4%"}
    model: dict[str, Any] = {}
    energy.apply_climate(model, Path(weather_file))
    days = model["SizingPeriod:DesignDay"].values()
    names = ("maximum_dry_bulb_temperature", "wetbulb_or_dewpoint_at_maximum_dry_bulb")
    assert [tuple(day[name] for name in names) for day in days] == bulbs


def test_weather_without_design_conditions_is_refused(simulate: Simulate) -> None:
    with pytest.raises(ValueError, match="no ASHRAE design conditions"):
        simulate(weather_file=weather_files["usa_co_boulder"])


def test_a_failed_simulation_says_why_and_leaves_no_trace(
    simulate: Simulate, energy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget_a_layer(model: dict[str, Any]) -> None:
        request_meters(model)
        model["Construction"]["Mass Non-res Ext Wall"]["layer_3"] = "No such material"

    first, _ = simulate()
    request_meters = energy.request_meters
    with monkeypatch.context() as patch:
        patch.setattr(energy, "request_meters", forget_a_layer)
        with pytest.raises(RuntimeError, match=r"(?s)Severe.*NO SUCH MATERIAL, item not found.*Fatal"):
            simulate(again="broken")
    after, _ = simulate(again="after a failure")
    assert numbers(after) == numbers(first)


def test_months_are_in_order(simulate: Simulate) -> None:
    with pytest.raises(ValueError, match="end_month 1 is before begin_month 7"):
        simulate(begin_month=7, end_month=1)


def test_the_table_runs_as_it_is(energy: ModuleType, tmp_path: Path) -> None:
    for name in ("prepare.py", "specs.csv"):
        shutil.copy(EXAMPLE / name, tmp_path)
    subprocess.run([sys.executable, "prepare.py"], cwd=tmp_path, check=True)
    with (tmp_path / "specs.csv").open(newline="") as table:
        specs = [energy.BuildingSimulationInput.model_validate(row) for row in csv.DictReader(table)]
    assert len(specs) == 12
    assert len({spec.weather_file for spec in specs}) == 3
    assert all((tmp_path / spec.weather_file).is_file() for spec in specs)

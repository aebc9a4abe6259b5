"""The README of the original, step by step, as a user of it would type it: only the imports differ."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

BUILDING_ENERGY = '''
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field

from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec
from scythe_cli import FileReference


class BuildingSimulationInput(ExperimentInputSpec):
    """Simulation inputs for a building energy model."""

    r_value: float = Field(default=..., description="The R-Value of the building [m2K/W]", ge=0, le=15)
    lpd: float = Field(default=..., description="Lighting power density [W/m2]", ge=0, le=20)
    setpoint: float = Field(default=..., description="Thermostat setpoint [deg.C]", ge=12, le=30)
    economizer: Literal["NoEconomizer", "DifferentialDryBulb", "DifferentialEnthalpy"] = Field(
        default=..., description="The type of economizer to use"
    )
    weather_file: FileReference = Field(default=..., description="Weather file [.epw]")
    design_day_file: FileReference = Field(default=..., description="Weather file [.ddy]")


class BuildingSimulationOutput(ExperimentOutputSpec):
    """Simulation outputs for a building energy model."""

    heating: float = Field(default=..., description="Annual heating energy usage, kWh/m2", ge=0)
    cooling: float = Field(default=..., description="Annual cooling energy usage, kWh/m2", ge=0)
    lighting: float = Field(default=..., description="Annual lighting energy usage, kWh/m2", ge=0)
    equipment: float = Field(default=..., description="Annual equipment energy usage, kWh/m2", ge=0)
    fans: float = Field(default=..., description="Annual fans energy usage, kWh/m2", ge=0)
    pumps: float = Field(default=..., description="Annual pumps energy usage, kWh/m2", ge=0)
    timeseries: FileReference = Field(default=..., description="High-res Timeseries data.")


from scythe_cli import ExperimentRegistry


@ExperimentRegistry.Register()
def simulate_energy(input_spec: BuildingSimulationInput, tempdir: Path) -> BuildingSimulationOutput:
    """Initialize and execute an energy model of a building."""
    input_spec.log("simulating")
    assert input_spec.weather_file.suffix == ".epw" and input_spec.weather_file.stem == input_spec.design_day_file.stem
    degrees = float(input_spec.weather_file.read_text())
    timeseries = pd.DataFrame({"hour": range(24), "load": [degrees * h for h in range(24)]})
    timeseries_fpath = tempdir / "timeseries.pq"
    timeseries.to_parquet(timeseries_fpath)
    monthly = pd.DataFrame({"month": [1, 2], "kwh": [degrees, 2 * degrees]}, index=input_spec.make_multiindex(n_rows=2))
    return BuildingSimulationOutput(
        heating=max(0, input_spec.setpoint - degrees) / (0.1 + input_spec.r_value),
        cooling=degrees,
        lighting=input_spec.lpd,
        equipment=1,
        fans=2,
        pumps=0,
        timeseries=timeseries_fpath,
        dataframes={"monthly": monthly},
    )
'''
SAMPLE = """
from pathlib import Path
import numpy as np
import pandas as pd
from experiments.building_energy import BuildingSimulationInput

def sample(n: int = 100) -> list[BuildingSimulationInput]:
    r_value = np.random.uniform(0, 15, size=n)
    lpd = np.random.uniform(0, 20, size=n)
    setpoint = np.random.uniform(12, 30, size=n)
    economizer = np.random.choice(
        ["NoEconomizer", "DifferentialDryBulb", "DifferentialEnthalpy"], size=n
    )
    weather_file = [
        Path(name)
        for name in np.random.choice(
            [f"{name}" for name in Path("artifacts").glob("*.epw")], size=n
        )
    ]
    design_day_file = [f"artifacts/{Path(name).stem}.ddy" for name in weather_file]
    df = pd.DataFrame(
        {
            "r_value": r_value,
            "lpd": lpd,
            "setpoint": setpoint,
            "economizer": economizer,
            "weather_file": weather_file,
            "design_day_file": design_day_file,
            "experiment_id": "placeholder",
            "sort_index": list(range(n)),
        }
    )
    specs = [
        BuildingSimulationInput.model_validate(row.to_dict())
        for _, row in df.iterrows()
    ]
    return specs
"""
MAIN = """
import asyncio
import json
from scythe_cli import BaseExperiment
from experiments.building_energy import simulate_energy
from sample import sample

if __name__ == "__main__":
    experiment = BaseExperiment(
        experiment=simulate_energy
    )
    specs = sample(10)
    run, ref = experiment.allocate(
        specs,
        version="bumpminor",
    )
    result = ref.result()
    assert asyncio.run(ref.aio_result()) == result
    again, later = experiment.allocate(specs, version="bumpminor", workers=1)
    asyncio.run(later.aio_result())
    print(json.dumps({"result": result, "id": run.experiment_id, "again": again.experiment_id,
                      "workflow_run_id": ref.workflow_run_id}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("readme")
    for name, text in {"experiments/building_energy.py": BUILDING_ENERGY, "sample.py": SAMPLE, "main.py": MAIN}.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
    (folder / "artifacts").mkdir()
    for city, degrees in (("USA_MA_Boston.Logan_TMYx", 10), ("USA_CA_Los.Angeles.LAX_TMYx", 18)):
        (folder / f"artifacts/{city}.epw").write_text(str(degrees))
        (folder / f"artifacts/{city}.ddy").write_text("design day")
    done = subprocess.run([sys.executable, "main.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "folder": folder}


@pytest.fixture
def run_folder(told: dict[str, Any]) -> Path:
    return Path(told["result"]["scalars"]).parent.parent


def test_the_result_names_every_final_table(told: dict[str, Any], run_folder: Path) -> None:
    assert set(told["result"]) == {"scalars", "errors", "result_file_refs", "monthly", "execution"}
    assert all(Path(address).is_file() for address in told["result"].values())
    assert str(run_folder).endswith(told["id"])


def test_versions_count_up(told: dict[str, Any]) -> None:
    name, version, _ = told["id"].split("/")
    assert (name, version) == ("simulate_energy", "v1.0.0")
    assert told["again"].startswith("simulate_energy/v1.1.0/")


def test_the_run_directory_is_the_readmes(told: dict[str, Any], run_folder: Path) -> None:
    assert {path.name for path in run_folder.iterdir()} == {
        *("manifest.yml", "experiment_io_spec.yml", "input_artifacts.yml", "specs.pq", "artifacts", "scatter-gather"),
        *("final", "results"),
        *("experiment.yml", "control"),  # ours
    }
    assert {path.name for path in (run_folder / "artifacts").iterdir()} == {"weather_file", "design_day_file"}
    cities = {"USA_MA_Boston.Logan_TMYx.epw", "USA_CA_Los.Angeles.LAX_TMYx.epw"}
    assert {path.name for path in (run_folder / "artifacts/weather_file").iterdir()} <= cities
    assert {path.name for path in (run_folder / "scatter-gather").iterdir()} == {"input", "output"}
    specs = pd.read_parquet(run_folder / "specs.pq")
    assert sorted(path.stem for path in (run_folder / "results/timeseries").iterdir()) == sorted(specs.workflow_run_id)


def test_scalars_have_the_specs_as_multiindex(told: dict[str, Any]) -> None:
    scalars = pd.read_parquet(told["result"]["scalars"])
    assert list(scalars.columns) == ["heating", "cooling", "lighting", "equipment", "fans", "pumps"]
    assert scalars.index.names == [
        *("experiment_id", "sort_index", "workflow_run_id", "root_workflow_run_id"),
        *("r_value", "lpd", "setpoint", "economizer", "weather_file", "design_day_file"),
    ]
    frame = scalars.reset_index()
    assert list(frame["sort_index"]) == list(range(10))
    assert set(frame.experiment_id) == {told["id"]}
    assert list(frame.lighting) == list(frame.lpd)
    assert set(scalars.dtypes.astype(str)) == {"float64"}


def test_result_file_refs_have_the_same_index(told: dict[str, Any]) -> None:
    refs = pd.read_parquet(told["result"]["result_file_refs"])
    assert list(refs.columns) == ["timeseries"]
    assert refs.index.equals(pd.read_parquet(told["result"]["scalars"]).index)
    assert len(pd.read_parquet(refs["timeseries"].iloc[3])) == 24


def test_frames_carry_the_index_once(told: dict[str, Any]) -> None:
    monthly = pd.read_parquet(told["result"]["monthly"])
    assert list(monthly.columns) == ["month", "kwh"]
    assert monthly.index.names[-2:] == ["design_day_file", "sort_subindex"]
    assert list(monthly.reset_index().sort_subindex) == [0, 1] * 10


def test_manifest_and_artifacts_say_what_the_originals_do(told: dict[str, Any], run_folder: Path) -> None:
    manifest = YAML(typ="safe").load((run_folder / "manifest.yml").read_text())
    assert manifest["experiment_id"] == told["id"]
    assert manifest["experiment_name"] == "scythe_experiment_simulate_energy"
    assert manifest["workflow_run_id"] == told["workflow_run_id"]
    for key, name in {
        "input_artifacts": "input_artifacts.yml",
        "io_spec": "experiment_io_spec.yml",
        "specs_uri": "specs.pq",
    }.items():
        assert Path(manifest[key]) == run_folder / name
    files = YAML(typ="safe").load((run_folder / "input_artifacts.yml").read_text())["files"]
    assert set(files) == {"weather_file", "design_day_file"}
    assert all(Path(file).is_file() for file in files["weather_file"])


def test_the_io_spec_is_the_originals_but_for_what_is_told(run_folder: Path) -> None:
    ours = YAML(typ="safe").load((run_folder / "experiment_io_spec.yml").read_text())
    assert ours["description"] == "The input and output schema for the experiment."
    assert ours["required"] == ["input", "output"]
    given = ours["$defs"]["BuildingSimulationInput"]
    assert given["description"] == "Simulation inputs for a building energy model."
    assert given["properties"]["r_value"] == {
        "description": "The R-Value of the building [m2K/W]",
        "maximum": 15,
        "minimum": 0,
        "title": "R Value",
        "type": "number",
    }
    assert given["properties"]["economizer"]["enum"][0] == "NoEconomizer"
    assert {one.get("format") for one in given["properties"]["weather_file"]["anyOf"]} == {"uri", "path"}
    assert given["additionalProperties"] is False  # the original's lets misspelt fields through
    got = ours["$defs"]["BuildingSimulationOutput"]
    assert set(got["properties"]) == {*("heating", "cooling", "lighting", "equipment", "fans", "pumps"), "timeseries"}


WITH_FILES = """
from pathlib import Path
from typing import Literal
import pandas as pd
from pydantic import Field
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference

class FilesIn(ExperimentInputSpec):
    r_value: float
    lpd: float
    setpoint: float
    economizer: Literal["NoEconomizer", "DifferentialDryBulb"]
    weather_file: FileReference
    note: str | None = None
    tags: list[int] = Field(default_factory=list)

class FilesOut(ExperimentOutputSpec):
    heating: float
    cooling: float
    timeseries: FileReference
    ok: bool = True
    label: str = "x"

@ExperimentRegistry.Register()
def withfiles(input_spec: FilesIn, tempdir: Path) -> FilesOut:
    path = tempdir / "out.csv"
    path.write_text("a")
    index = input_spec.make_multiindex(additional_index_data={"src": "ts"}, n_rows=3)
    ts = pd.DataFrame({"kw": [0.0, 1.0, 2.0], "kind": ["a", "b", "c"]}, index=index)
    frames = {"ts": ts, "plain": pd.DataFrame({"v": [1, 2]})}
    return FilesOut(heating=1, cooling=2, timeseries=path, dataframes=frames)
"""
ORIGINAL_LEVELS = [
    *("experiment_id", "sort_index", "workflow_run_id", "root_workflow_run_id"),
    *("r_value", "lpd", "setpoint", "economizer", "weather_file", "note"),
]
ORIGINAL_TABLES = {
    "scalars": (["heating", "cooling", "ok", "label"], ["float64", "float64", "bool", "str"]),
    "result_file_refs": (["timeseries"], ["str"]),
    "ts": (["kw", "kind"], ["float64", "str"]),
    "plain": (["v"], ["int64"]),
}
"""Index levels, columns and dtypes of a recorded run of the original, version 1.2.0, with this experiment."""


def test_the_tables_are_those_of_a_recorded_run(tmp_path: Path) -> None:
    (tmp_path / "withfiles.py").write_text(WITH_FILES)
    (tmp_path / "w0.epw").write_text("w")
    rows = "[FilesIn(r_value=i, lpd=2, setpoint=3, economizer='NoEconomizer', weather_file='w0.epw', tags=[1, 2])"
    script = f"""
import json
from scythe_cli import BaseExperiment
from withfiles import FilesIn, withfiles
run, ref = BaseExperiment(experiment=withfiles, run_name="files").allocate({rows} for i in range(4)])
print(json.dumps(ref.result()))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == {*ORIGINAL_TABLES, "errors", "execution"}
    for name, (columns, dtypes) in ORIGINAL_TABLES.items():
        table = pd.read_parquet(result[name])
        more = ["sort_subindex"] if name in ("ts", "plain") else []  # the original's plain frame lost its specs
        own = ["src"] if name == "ts" else []
        assert table.index.names == [*ORIGINAL_LEVELS, *own, *more]
        assert list(table.columns) == columns
        assert [str(table.dtypes[column]).replace("object", "str") for column in columns] == dtypes
    run = Path(result["scalars"]).parent.parent
    specs = pd.read_parquet(run / "specs.pq")
    assert [list(tags) for tags in specs.tags] == [[1, 2]] * 4
    assert (run / f"results/timeseries/{specs.workflow_run_id[0]}.csv").is_file()
    assert (run / "artifacts/weather_file/w0.epw").is_file()

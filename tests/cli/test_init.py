"""`scythe init`: what it writes, that it runs, and that it overwrites nothing."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scythe_cli.cli import schemas, starter
from scythe_cli.experiment import config, experiment

SCYTHE = str(Path(sys.executable).with_name("scythe"))
MODULE = """
from enum import Enum
from typing import Literal
from pydantic import Field
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference

class Kind(Enum):
    SMALL = "small"
    LARGE = "large"

class In(ExperimentInputSpec):
    lpd: float = Field(ge=0, le=20)
    floors: int = Field(gt=2)
    depth: float = Field(lt=10)
    economizer: Literal["None", "DryBulb"]
    kind: Kind
    cooled: bool
    note: str | None = None
    tags: list[int] = Field(default=[1, 2])
    city: str = Field(examples=["Miami, FL"])

class Vague(ExperimentInputSpec):
    weather: FileReference
    city: str

class Out(ExperimentOutputSpec):
    heat: float

@ExperimentRegistry.Register(name="offices", retries=3)
def simulate(input_spec: In) -> Out: ...

def vague(input_spec: Vague) -> Out: ...
"""


def scythe(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCYTHE, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if not file.name.startswith("__"))


def test_it_writes_the_minimal_template_here(tmp_path: Path) -> None:
    done = scythe("init", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "next: scythe allocate\n")
    files = ["epidemic.py", "experiment.yml", "specs.csv", "experiment.schema.json"]
    assert done.stdout == "".join(f"wrote {file}\n" for file in files)
    assert names(tmp_path) == sorted(files)
    loaded = config.load(tmp_path / "experiment.yml", environ={})
    assert experiment.load(loaded.file.experiment, tmp_path).name == "simulate_epidemic"
    assert (tmp_path / str(loaded.specs())).is_file()
    assert json.loads((tmp_path / "experiment.schema.json").read_text()) == schemas.schema("experiment")


def test_it_makes_the_folder(tmp_path: Path) -> None:
    done = scythe("init", "deep/er", "--template", "minimal", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "next: scythe allocate deep/er/experiment.yml\n")
    assert "epidemic.py" in names(tmp_path / "deep" / "er")


def test_the_energy_template_prepares_its_weather(tmp_path: Path) -> None:
    pytest.importorskip("pyenergyplus")
    done = scythe("init", "--template", "energy", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "next: scythe allocate\n")
    with (tmp_path / "specs.csv").open(newline="") as table:
        files = {row["weather_file"] for row in csv.DictReader(table)}
    assert files
    assert all((tmp_path / file).is_file() for file in files)
    assert done.stdout.endswith("wrote experiment.schema.json\nwrote weather/\n")


def test_a_template_that_cannot_be_prepared_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "_PREPARE", "epidemic.py")
    monkeypatch.setattr("sys.executable", shutil.which("false"))
    made = starter.from_template("minimal", tmp_path)
    assert made.problem == "epidemic.py failed"


@pytest.mark.parametrize(("arguments", "mine"), [([], "specs.csv"), (["--from", "exp:simulate"], "experiment.yml")])
def test_it_overwrites_nothing(tmp_path: Path, arguments: list[str], mine: str) -> None:
    (tmp_path / "exp.py").write_text(MODULE)
    (tmp_path / mine).write_text("mine\n")
    done = scythe("init", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: .  already has {mine}; nothing was written\nhint: give another folder: scythe init DIR\n"
    )
    assert names(tmp_path) == sorted(["exp.py", mine])
    assert (tmp_path / mine).read_text() == "mine\n"


def test_from_a_function_it_takes_the_table_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "exp.py").write_text(MODULE)
    (tmp_path / "specs.csv").write_text("mine\n")
    done = scythe("init", "--from", "exp:vague", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "next: scythe allocate\n")
    assert done.stdout == "wrote experiment.yml\nwrote experiment.schema.json\n"
    assert (tmp_path / "specs.csv").read_text() == "mine\n"
    assert config.load(tmp_path / "experiment.yml", environ={}).specs() == "specs.csv"


def test_a_folder_without_an_experiment_file_names_init_from(tmp_path: Path) -> None:
    done = scythe("allocate", cwd=tmp_path)
    assert done.returncode == 2
    assert "`scythe init --from module:function` the file for a function of yours" in done.stderr


def test_the_same_schema_is_no_obstacle(tmp_path: Path) -> None:
    schema = tmp_path / "experiment.schema.json"
    schema.write_text(schemas.text("experiment"))
    done = scythe("init", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "wrote epidemic.py\nwrote experiment.yml\nwrote specs.csv\n")
    schema.write_text("mine")
    (tmp_path / "inner").mkdir()
    shutil.copy(schema, tmp_path / "inner")
    assert "inner  already has experiment.schema.json" in scythe("init", "inner", cwd=tmp_path).stderr


def test_from_a_function_it_writes_what_allocate_needs(tmp_path: Path) -> None:
    (tmp_path / "exp.py").write_text(MODULE)
    done = scythe("init", "--from", "exp:simulate", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "next: scythe allocate\n")
    assert done.stdout == "wrote experiment.yml\nwrote specs.csv\nwrote experiment.schema.json\n"
    text = (tmp_path / "experiment.yml").read_text()
    assert text.startswith("# yaml-language-server: $schema=./experiment.schema.json\nexperiment: exp:simulate\n")
    loaded = config.load(tmp_path / "experiment.yml", environ={}, options={"retries": 3})
    assert (loaded.file.name, loaded.specs(), loaded.file.run.retries) == ("offices", "specs.csv", 3)
    with (tmp_path / "specs.csv").open(newline="") as table:
        header, row = csv.reader(table)
    assert dict(zip(header, row, strict=True)) == {
        "lpd": "10.0",
        "floors": "3",
        "depth": "9.0",
        "economizer": "None",
        "kind": "small",
        "cooled": "false",
        "note": "",
        "tags": "[1, 2]",
        "city": "Miami, FL",
    }


def test_from_a_function_without_an_example_it_writes_the_header(tmp_path: Path) -> None:
    (tmp_path / "exp.py").write_text(MODULE)
    done = scythe("init", "--from", "exp:vague", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "next: fill specs.csv, then scythe allocate\n")
    assert (tmp_path / "specs.csv").read_text() == "weather,city\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--from", "exp:simulat"], "error: --from exp:simulat  there is no function 'simulat' in "),
        (
            ["--from", "exq:simulate"],
            "error: --from exq:simulate  there is no module 'exq': no exq.py ",
        ),
        (["--from", "exp:simulate", "--template", "energy"], "error: use --template or --from, not both\n"),
        (["exp.py"], "error: exp.py  is not a folder\n"),
    ],
)
def test_bad_input_writes_nothing(tmp_path: Path, arguments: list[str], told: str) -> None:
    (tmp_path / "exp.py").write_text(MODULE)
    done = scythe("init", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(told)
    assert names(tmp_path) == ["exp.py"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = scythe("init", "inner", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (4, "error: inner  cannot be written: Permission denied\n")

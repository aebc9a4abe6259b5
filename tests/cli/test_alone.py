"""The command that runs one spec of a run alone: it runs that spec, or says that it runs another one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import FILE, MODULE, Done, environment, project, runs, scythe

RANDOM = MODULE.replace("2 * input_spec.x)", "input_spec.x + input_spec.rng().random())")
SPECS = "x,how\n1,well\n2,badly\n"


def alone(folder: Path, *run: str) -> str:
    """What `show` prints as the command of spec 1, and below it."""
    _, _, block = scythe("show", *run, "1", cwd=folder).out.partition("\nalone\n")
    return block


def inline(folder: Path, number: int = 1) -> Done:
    return scythe("allocate", "--only", str(number), "--inline", cwd=folder)


def later(path: Path, text: str) -> None:
    """Write a file as if some minutes had passed."""
    path.write_text(text)
    moment = path.stat().st_mtime + 300
    os.utime(path, (moment, moment))


def test_a_row_that_was_inserted_since_is_named(tmp_path: Path) -> None:
    folder = project(tmp_path, SPECS)
    assert scythe("allocate", cwd=folder).code == 1
    (run,) = runs(folder)
    run_id = f"doubles/v1.0.0/{run.name}"
    assert "has other values" not in inline(folder).err
    assert alone(folder) == "  scythe allocate --only 1 --inline\n"
    later(folder / "specs.csv", "x,how\n1,well\n7,well\n2,badly\n")
    assert inline(folder).err.splitlines()[0] == (
        f"spec 1 of the latest run, {run_id}, has other values than this table: x 2.0 there, 7.0 here, "
        "how 'badly' there, 'well' here"
    )
    assert inline(folder, 0).err == "doubling 1.0\n"
    note = "specs.csv is newer than this run: a spec may have other values now"
    assert alone(folder) == f"  scythe allocate --only 1 --inline\n  {note}\n"
    assert scythe("status", "doubles", "--errors", cwd=folder).out.endswith(f"--inline\n\nnote: {note}\n")


def test_a_file_with_another_content_is_named(tmp_path: Path) -> None:
    module = MODULE.replace('    how: Literal["well"', '    weather: FileReference\n    how: Literal["well"')
    folder = project(tmp_path, "x,weather\n1,a.epw\n", module=module)
    (folder / "a.epw").write_text("warm")
    assert scythe("allocate", cwd=folder).code == 0
    assert inline(folder, 0).err == "doubling 1.0\n"
    (folder / "a.epw").write_text("cold")
    assert "than this table: weather a.epw with another content\n" in inline(folder, 0).err


def test_another_table_is_not_compared(tmp_path: Path) -> None:
    folder = project(tmp_path, SPECS)
    assert scythe("allocate", cwd=folder).code == 1
    (folder / "others.csv").write_text("x\n8\n9\n")
    done = scythe("allocate", "--set", "specs=others.csv", "--only", "1", "--inline", cwd=folder)
    assert done.err == "doubling 9.0\n"


@pytest.mark.parametrize("file", [True, False])
def test_specs_that_were_given_in_python_have_no_command(tmp_path: Path, file: bool) -> None:
    folder = project(tmp_path, SPECS)
    script = (
        "from doubles import In, double\nfrom scythe_cli import BaseExperiment\n"
        "if __name__ == '__main__':\n"
        "    run, ref = BaseExperiment(experiment=double).allocate([In(x=5), In(x=6)], version='keep')\n"
        "    ref.result()\n"
    )
    (folder / "go.py").write_text(script)
    subprocess.run([sys.executable, "go.py"], cwd=folder, env=environment(), check=True, capture_output=True)
    if not file:
        (folder / "experiment.yml").unlink()
    assert alone(folder, "double") == ""


def test_the_settings_that_decide_a_result_are_in_the_command(tmp_path: Path) -> None:
    folder = project(tmp_path, "x\n1\n2\n", module=RANDOM)
    assert scythe("allocate", "--set", "run.seed=7", cwd=folder).code == 0
    assert alone(folder) == "  scythe allocate --set run.seed=7 --only 1 --inline\n"
    found = scythe("show", "1", "--json", cwd=folder).json("show")["specs"][0]
    done = scythe(*found["command"].split()[1:], cwd=folder)
    assert f'"double": {found["outputs"]["double"]}' in done.out
    (folder / "experiment.yml").write_text(FILE.replace("run: {", "run: {seed: 7, "))
    assert alone(folder) == "  scythe allocate --only 1 --inline\n"


def test_the_settings_are_there_without_an_experiment_file(tmp_path: Path) -> None:
    folder = project(tmp_path, "x\n1\n2\n", module=RANDOM)
    (folder / "experiment.yml").unlink()
    done = scythe("allocate", "doubles:double", "specs.csv", "--set", "run.seed=7", cwd=folder)
    assert done.code == 0, done.err
    assert alone(folder, "double") == "  scythe allocate doubles:double specs.csv --set run.seed=7 --only 1 --inline\n"


WALLS = """
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry


class Wall(ExperimentInputSpec):
    width: float


class Half(ExperimentOutputSpec):
    half: float


@ExperimentRegistry.Register()
def halved(input_spec: Wall) -> Half:
    if input_spec.width < 0:
        raise ValueError("negative")
    return Half(half=input_spec.width / 2)
"""


def test_hints_name_the_function_where_the_file_has_another_one(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "walls.py").write_text(WALLS)
    (folder / "big.csv").write_text("width\n1\n-1\n")
    assert scythe("allocate", "walls:halved", "big.csv", cwd=folder).code == 1
    (run,) = runs(folder, "halved")
    run_id = f"halved/v1.0.0/{run.name}"
    done = scythe("status", "halved", "--errors", cwd=folder)
    assert f"   {RESUME.format(run=run_id)} --allow-changed-code   or: " in done.err
    (run / "control" / "gathered-1.yml").unlink()
    for part in run.glob("scatter-gather/output/0/*.pq"):
        part.unlink()
    for command in ("status", "gather"):
        assert RESUME.format(run=run_id) in scythe(command, "halved", cwd=folder).err
    again = scythe(*RESUME.format(run=run_id).split()[1:], cwd=folder)
    assert (again.code, again.out[:21]) == (1, "1 succeeded, 1 failed"), again.err


RESUME = "scythe allocate walls:halved --resume {run}"


def test_a_worker_of_a_run_names_a_file_that_there_is(tmp_path: Path) -> None:
    folder = project(tmp_path)
    arguments = ("worker", "--run", "doubles", "doubles:double")
    assert scythe(*arguments, cwd=folder).err.endswith("hint: scythe worker experiment.yml --run doubles\n")
    (folder / "experiment.yml").unlink()
    assert scythe(*arguments, cwd=folder).err.endswith("hint: scythe worker --run doubles\n")

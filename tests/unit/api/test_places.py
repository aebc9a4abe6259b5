"""Where runs go unless a storage is given: next to a script, but not into the source tree of a package."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scythe_cli.api import places
from scythe_cli.storage.open_store import open_store

MODULE = """
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    x: float

class Out(ExperimentOutputSpec):
    y: float

@ExperimentRegistry.Register()
def study(input_spec: In) -> Out:
    return Out(y=input_spec.x)
"""
STORAGE = """
import json, sys
sys.path.insert(0, {root!r})
from {module} import study
from scythe_cli import BaseExperiment
print(json.dumps(BaseExperiment(experiment=study)._loaded()[0].file.storage))
"""


def storage(module: str, root: Path, cwd: Path) -> str:
    """The default storage of a function in a module, seen from a folder."""
    code = STORAGE.format(root=str(root), module=module)
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in the src layout, with a script of its own next to it."""
    root = tmp_path / "project"
    package = root / "src" / "energy"
    package.mkdir(parents=True)
    (root / "pyproject.toml").touch()
    (package / "__init__.py").touch()
    (package / "study.py").write_text(MODULE)
    (root / "script.py").write_text(MODULE)
    (tmp_path / "elsewhere").mkdir()
    return root


def test_runs_of_a_script_are_next_to_it(project: Path, tmp_path: Path) -> None:
    assert storage("script", project, tmp_path / "elsewhere") == str(project / "scythe-runs")


@pytest.mark.parametrize("folder", ["elsewhere", "project"])
def test_runs_of_a_package_are_in_the_current_folder(project: Path, tmp_path: Path, folder: str) -> None:
    here = tmp_path / folder
    assert storage("energy.study", project / "src", here) == str(here / "scythe-runs")


@pytest.mark.parametrize("below", ["src", "src/energy"])
def test_from_inside_the_source_tree_they_are_in_the_projects_folder(project: Path, below: str) -> None:
    assert storage("energy.study", project / "src", project / below) == str(project / "scythe-runs")


def test_a_package_in_the_projects_folder(tmp_path: Path) -> None:
    (tmp_path / "setup.py").touch()
    package = tmp_path / "energy"
    package.mkdir()
    (package / "__init__.py").write_text(MODULE)
    assert storage("energy", tmp_path, tmp_path) == str(tmp_path / "scythe-runs")
    assert storage("energy", tmp_path, package) == str(tmp_path / "scythe-runs")


def test_runs_under_the_default_name_of_scythe_engine_are_pointed_to_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "scythe_experiment_study" / "v1.0.0").mkdir(parents=True)
    for _ in range(2):
        places.point_to_runs_of_scythe_engine(open_store(tmp_path), "study")
    [said] = [record.message for record in caplog.records]
    assert said.startswith(f"{tmp_path}/scythe_experiment_study has runs under the name that scythe-engine gives")
    assert "run_name='scythe_experiment_study'" in said


def test_nothing_is_said_where_there_are_no_such_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    places.point_to_runs_of_scythe_engine(open_store(tmp_path), "study")
    assert caplog.records == []

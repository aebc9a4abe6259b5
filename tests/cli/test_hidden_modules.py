"""Files of the user's under the name of a library, and scripts that start a run whenever they are imported."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCYTHE = str(Path(sys.executable).with_name("scythe"))
MODULE = """
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    x: int

class Out(ExperimentOutputSpec):
    y: int

@ExperimentRegistry.Register()
def double(spec: In) -> Out:
    return Out(y=2 * spec.x)
"""
SCRIPT = """
from scythe_cli import BaseExperiment
{body}
"""


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=110)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "exp.py").write_text(MODULE)
    (tmp_path / "specs.csv").write_text("x\n1\n")
    (tmp_path / "experiment.yml").write_text("experiment: exp:double\nspecs: specs.csv\n")
    return tmp_path


@pytest.mark.parametrize("name", ["queue", "numpy", "polars", "pyarrow"])
def test_a_file_that_nobody_imports_hides_no_library(folder: Path, name: str) -> None:
    (folder / f"{name}.py").write_text("MINE = 1\n")
    done = run(SCYTHE, "allocate", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "1 succeeded, 0 failed" in done.stdout


def test_python_m_scythe_cli_has_the_libraries_too(folder: Path) -> None:
    for name in ("queue", "numpy", "polars", "typer", "pydantic"):
        (folder / f"{name}.py").write_text("MINE = 1\n")
    done = run(sys.executable, "-m", "scythe_cli", "allocate", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "1 succeeded, 0 failed" in done.stdout


@pytest.mark.parametrize("how", [["-c"], ["-m", "script"]], ids=lambda how: how[0])
def test_a_program_of_the_user_is_stopped_with_the_file_that_hides_a_library(folder: Path, how: list[str]) -> None:
    (folder / "polars.py").write_text("MINE = 1\n")
    text = "from exp import In, double\n" + SCRIPT.format(body="BaseExperiment(experiment=double).allocate([In(x=1)])")
    (folder / "script.py").write_text(text)
    done = run(sys.executable, *how, *([text] if how == ["-c"] else []), cwd=folder)
    assert done.returncode == 1
    assert "polars.py hides the library of this name from scythe" in done.stderr
    assert not (folder / "scythe-runs").exists()


@pytest.mark.parametrize("name", ["queue", "numpy"])
def test_a_file_that_hides_what_the_module_imports_is_named(folder: Path, name: str) -> None:
    (folder / f"{name}.py").write_text("MINE = 1\n")
    (folder / "exp.py").write_text(f"import {name}\n{MODULE}")
    done = run(SCYTHE, "allocate", cwd=folder)
    assert done.returncode == 2
    assert f"{folder / name}.py hides Python's or a library's own module {name!r}, which exp.py imports" in done.stderr
    assert f"hint: rename {name}.py" in done.stderr
    assert not (folder / "scythe-runs").exists()


@pytest.mark.parametrize(
    "body",
    [
        "BaseExperiment(experiment=double).allocate([In(x=1)])",
        "def main():\n    BaseExperiment(experiment=double).allocate([In(x=1)])\n\n\nmain()",
    ],
)
def test_a_script_without_a_guard_is_refused_before_the_run_with_its_line(folder: Path, body: str) -> None:
    text = MODULE + SCRIPT.format(body=body)
    (folder / "script.py").write_text(text)
    done = run(sys.executable, "script.py", cwd=folder)
    line = len(text.rstrip().splitlines())
    assert f"script.py:{line}  starts a run whenever the file is imported" in done.stderr
    assert not (folder / "scythe-runs").exists()


def test_a_script_whose_function_is_elsewhere_needs_no_guard(folder: Path) -> None:
    (folder / "script.py").write_text(
        "from exp import In, double\n"
        + SCRIPT.format(body="BaseExperiment(experiment=double).allocate([In(x=1)])[1].result()")
    )
    done = run(sys.executable, "script.py", cwd=folder)
    assert done.returncode == 0, done.stderr

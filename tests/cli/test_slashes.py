"""Runs whose name has slashes, as users of scythe-engine have them: every command."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import FILE, project, runs, scythe

NAME = "city/baseline"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a name with a slash, with a spec that failed."""
    file = FILE.replace("name: doubles", f"name: {NAME}")
    folder = project(tmp_path_factory.mktemp("home"), "x,how\n1,well\n2,badly\n", file=file)
    assert scythe("allocate", cwd=folder).code == 1
    return folder


def test_the_folder_has_the_name(home: Path) -> None:
    (run,) = runs(home, NAME)
    assert run.parents[2] == home / "scythe-runs" / "city"


@pytest.mark.parametrize("form", ["city/baseline", "city/baseline/v1", "city/baseline/v1.0.0"])
def test_status_knows_every_form(home: Path, form: str) -> None:
    done = scythe("status", form, "--json", cwd=home)
    assert done.json("status")["run"] == f"{NAME}/v1.0.0/{runs(home, NAME)[0].name}"


def test_status_lists_it(home: Path) -> None:
    assert f"{NAME}/v1.0.0/" in scythe("status", cwd=home).out


def test_status_knows_its_address(home: Path) -> None:
    (run,) = runs(home, NAME)
    assert scythe("status", run, "--json", cwd=home.parent).json("status")["failed"] == 1


def test_download_makes_a_folder_with_dashes(home: Path) -> None:
    assert scythe("download", NAME, cwd=home).code == 0
    assert (home / "city-baseline-v1.0.0" / "final" / "scalars.pq").is_file()


def test_a_resume_and_a_gather_find_it(home: Path) -> None:
    assert scythe("allocate", "--resume", NAME, cwd=home).code == 1
    assert scythe("gather", NAME, cwd=home).code == 0


@pytest.mark.parametrize("name", ["city/v1.0.0", "a/b/c/d/e", "city//base", "../city", "city/2026-01-31_12-00-00"])
def test_a_bad_name_is_refused(tmp_path: Path, name: str) -> None:
    folder = project(tmp_path, file=FILE.replace("name: doubles", f"name: {name}"))
    done = scythe("allocate", cwd=folder)
    assert done.code == 2
    assert f"name is '{name}': must be" in done.err
    assert not (folder / "scythe-runs").exists()

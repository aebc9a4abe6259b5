"""`engine: slurm` on a real Slurm: `make live-slurm` starts one. All runs are submitted together."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from claims import Project

from scythe_cli.engines.slurm import jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif("SCYTHE_TEST_SLURM" not in os.environ, reason="make live-slurm")
N = 24


def begun(folder: Path, name: str, rows: list[dict[str, Any]], slurm: str) -> Project:
    """A run that was submitted from a folder of its own."""
    (folder / name).mkdir()
    project = Project(folder / name, str(folder / name / "runs"))
    project.write(rows, f"slurm: {{{slurm}}}\n")
    project.scythe("allocate", "--engine", "slurm")
    return project


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Project]]:
    """All runs, submitted at once."""
    patch = pytest.MonkeyPatch()
    patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    folder = tmp_path_factory.mktemp("slurm")
    quick = [{"x": x, "seconds": 0.1} for x in range(N)]
    yield {
        "whole": begun(folder, "$(touch x) 'whole'", quick, "tasks: 20, time: 5m"),
        "walltime": begun(folder, "walltime", [{"x": x, "seconds": 4.0} for x in range(40)], "tasks: 2, time: 1m"),
        "cancelled": begun(folder, "cancelled", [{"x": x, "do": "wait"} for x in range(4)], "tasks: 1, resubmit: 0"),
    }
    patch.undo()


def test_an_array_within_max_array_size(projects: dict[str, Project]) -> None:
    project = projects["whole"]
    assert "--array=0-3\n" in project.run.store.read("control/slurm-1.sh").decode()
    project.scythe("wait", "work", "--timeout", "2m")
    assert project.table("scalars").height == N
    assert "slurm" in project.table("execution")["worker"][0]


def test_tasks_that_were_cancelled_from_outside(projects: dict[str, Project]) -> None:
    project = projects["cancelled"]
    project.wait_for(lambda: "1 running" in project.scythe("status", "work"))
    subprocess.run(["scancel", *jobs.jobs_of(project.run, 1)], check=True)
    project.wait_for(lambda: "Slurm has no task of it" in project.scythe("status", "work"))
    (project.folder / "go").touch()
    project.scythe("worker", "--run", "work")
    assert project.table("scalars").height == 4


def test_what_the_walltime_cut_short_is_submitted_again(projects: dict[str, Project]) -> None:
    project = projects["walltime"]
    project.scythe("wait", "work", "--timeout", "4m")
    assert project.table("scalars").height == 40
    assert project.table("errors").height == 0
    assert len(jobs.submissions(project.run, 1)) > 1

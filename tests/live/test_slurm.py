"""`engine: slurm`, with stand-ins for Slurm's commands; see `slurm_standin/slurm.py` for what they do not do."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from claims import Project

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.engines.generation.follow import Situation
from scythe_cli.engines.slurm import jobs
from scythe_cli.engines.slurm.commands import Tasks
from scythe_cli.engines.slurm.engine import SlurmWatch
from scythe_cli.engines.slurm.next_job import follow_up
from scythe_cli.run import lease
from scythe_cli.run.state import list_marks

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDIN = Path(__file__).parents[1] / "slurm_standin" / "slurm.py"
SETTINGS = (
    "slurm: {tasks: 20, cpus_per_task: 2, time: 10m, setup: 'export FROM_SETUP=1', options: ['--comment=$(x) y']}\n"
)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the stand-ins, which are on the path."""
    home, programs = tmp_path / "slurm", tmp_path / "bin"
    home.mkdir()
    programs.mkdir()
    for name in ("sbatch", "squeue", "scancel", "scontrol"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STANDIN}" {name} "$@"\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("STANDIN_SLURM", str(home))
    return home


@pytest.fixture
def project(tmp_path: Path, cluster: Path) -> Iterator[Project]:
    """A project in a folder whose name a shell would run."""
    folder = tmp_path / "of $(touch run) 'me'"
    folder.mkdir()
    found = Project(folder, str(folder / "runs"))
    yield found
    found.close()


@pytest.mark.slow
def test_from_allocate_to_the_tables(project: Project, cluster: Path) -> None:
    project.write([{"x": x, "seconds": 0.02} for x in range(12)], SETTINGS)
    printed = project.scythe("allocate", "--engine", "slurm", "--dry-run")
    assert "#SBATCH --array=0-4\n" in printed
    assert not (project.folder / "runs").exists()
    said = project.scythe("allocate", "--engine", "slurm")
    assert "see  Slurm job 1\n" in said
    assert "the cluster" not in said
    script = (cluster / "1.sh").read_text()
    assert project.run.store.read("control/slurm-1.sh").decode() == script
    assert "#SBATCH --array=0-4\n" in script, "MaxArraySize is 5"
    assert "#SBATCH --signal=B:TERM@120\n" in script
    assert "\nexport FROM_SETUP=1\n" in script
    version, moment = project.run.id.rsplit("/", 2)[1:]
    assert script.replace(version, "<version>").replace(moment, "<time>") in printed
    project.scythe("wait", "work")
    assert project.table("scalars").height == 12
    assert "slurm-1_" in project.table("execution")["worker"][0]
    assert not (project.folder / "run").exists()
    assert not list(project.folder.parent.glob("run"))
    logs = project.folder / "runs" / project.run.id / "logs"
    project.wait_for(lambda: "nothing is left" in "".join(path.read_text() for path in logs.glob("slurm-1_*.log")))


def test_an_sbatch_that_refuses_begins_nothing(project: Project, cluster: Path) -> None:
    project.write([{"x": 1}], SETTINGS)
    (cluster / "refuse").write_text("Batch job submission failed: Invalid account")
    said = project.scythe("allocate", "--engine", "slurm", code=4)
    assert "Batch job submission failed: Invalid account" in said
    assert "scythe allocate --resume" in said
    marks = list_marks(project.run.store)
    assert Mark.GENERATION not in marks
    assert Mark.PLAN not in marks
    assert "not started" in project.scythe("status", "work")


def test_a_refusal_of_the_job_that_follows_is_printed(project: Project, cluster: Path) -> None:
    project.write([{"x": 1}], SETTINGS)
    (cluster / "refuse-dependent").write_text("Job dependency problem")
    said = project.scythe("allocate", "--engine", "slurm")
    assert "see  Slurm job 1; no job follows it, so nothing submits it again: " in said
    assert "Job dependency problem" in said
    project.scythe("wait", "work")
    assert project.table("scalars").height == 1


@pytest.mark.slow
def test_status_and_cancel_know_the_tasks(project: Project) -> None:
    project.write([{"x": x, "do": "wait"} for x in range(6)], SETTINGS)
    project.scythe("allocate", "--engine", "slurm")
    project.wait_for(lambda: "worker vm" in (said := project.scythe("status", "work")) or "2 slots" in said)
    said = project.scythe("status", "work")
    assert "Slurm: 0 pending, 5 running, job 1" in said
    refused = project.scythe("allocate", "--resume", "work", "--engine", "local", code=5)
    assert "Slurm: 0 pending" in refused
    project.scythe("cancel", "work")
    project.wait_for(lambda: "running" not in project.scythe("status", "work"))
    project.wait_for(lambda: jobs.tasks_of(project.run, 1) == Tasks({}, 0))


def test_whoever_follows_asks_squeue_at_most_every_few_seconds(project: Project, cluster: Path) -> None:
    project.write([{"x": 1}], SETTINGS)
    project.scythe("allocate", "--engine", "slurm", "--set", 'slurm.setup=test -z "$SLURM_ARRAY_TASK_ID"')
    watch = SlurmWatch(project.run)
    for _ in range(20):
        watch.verdict(Situation(1, {}, done=0, failed=0, total=1), held=False)
    assert len((cluster / "asked").read_text().splitlines()) == 1


@pytest.mark.slow
def test_what_is_left_is_submitted_again_as_often_as_allowed(project: Project, cluster: Path) -> None:
    project.write([{"x": x} for x in range(3)], SETTINGS.replace("}", ", resubmit: 1}"))
    project.scythe("allocate", "--engine", "slurm", "--set", 'slurm.setup=test -z "$SLURM_ARRAY_TASK_ID"')
    project.wait_for(lambda: (cluster / "4.json").exists() and '"COMPLETED"' in (cluster / "4.json").read_text())
    assert [note["job"] for note in jobs.submissions(project.run, 1)] == ["1", "3"]
    code, why = follow_up(project.run, 1)
    assert code == 5
    assert "3 specs are left" in why


IDLE = 'slurm.setup=test -z "$SLURM_ARRAY_TASK_ID"'
"""A task of the array that begins no worker."""


@pytest.mark.slow
def test_rows_that_run_again_are_left_until_they_have_run(project: Project, cluster: Path) -> None:
    project.write([{"x": x, "do": "fail until go"} for x in range(3)], SETTINGS.replace("}", ", resubmit: 0}"))
    project.scythe("allocate", "--engine", "local", code=1)
    project.scythe("allocate", "--resume", "work", "--engine", "slurm", "--set", IDLE)
    project.wait_for(lambda: (cluster / "2.json").exists() and '"COMPLETED"' in (cluster / "2.json").read_text())
    code, why = follow_up(project.run, 2)
    assert code == 5
    assert "3 specs are left" in why
    assert list_marks(project.run.store).get(Mark.ENDED, []) == [1]


@pytest.mark.slow
def test_an_array_that_no_job_follows_is_noted_all_the_same(project: Project, cluster: Path) -> None:
    project.write([{"x": x} for x in range(3)], SETTINGS.replace("}", ", resubmit: 3}"))
    (cluster / "refuse-dependent").write_text("Job dependency problem")
    project.scythe("allocate", "--engine", "slurm", "--set", IDLE)
    code, what = follow_up(project.run, 1)
    assert code == 0
    assert what.startswith("3 specs are left: submitted again as job 2; no job follows it: ")
    assert [note["job"] for note in jobs.submissions(project.run, 1)] == ["1", "2"]


@pytest.mark.slow
def test_a_damaged_part_of_an_earlier_generation_needs_a_resume(project: Project, cluster: Path) -> None:
    project.write([{"x": 0}, {"x": 1, "do": "fail until go"}], SETTINGS.replace("}", ", resubmit: 0}"))
    project.scythe("allocate", "--engine", "local", code=1)
    project.scythe("allocate", "--resume", "work", "--engine", "slurm", "--set", IDLE)
    (project.folder / "go").touch()
    for entry in project.run.store.list(f"{layout.OUTPUT}/0"):
        data = bytearray(project.run.store.read(entry.key))
        data[len(data) // 2] ^= 0xFF
        project.run.store.write(entry.key, bytes(data))
    with lease.hold(project.run.store):  # so that the worker builds no tables
        project.scythe("worker", "--run", "work")
    code, why = follow_up(project.run, 2)
    assert code == 5
    assert "1 of 2 specs have no outcome yet" in why
    assert "could not be read" in why
    assert why.endswith(f"next: scythe allocate --resume {project.run.id}")
    assert len(jobs.submissions(project.run, 2)) == 1
    assert sorted(list_marks(project.run.store)[Mark.ENDED]) == [1, 2]

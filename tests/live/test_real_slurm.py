"""`engine: slurm` on a real Slurm: `make live-slurm` starts one. Runs are submitted together, as far as they can be."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from claims import SCYTHE, Project

from scythe_cli.engines.slurm import jobs
from scythe_cli.run.find import find
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif("SCYTHE_TEST_SLURM" not in os.environ, reason="make live-slurm")
N = 24
SOME = [{"x": 0, "do": "wait"}, {"x": 1, "do": "wait"}, {"x": 2, "do": "fail"}]
SOME += [{"x": x, "seconds": 0.1} for x in range(3, N)]
"""Specs of a run that lasts until it is told to go on, one of which fails by itself."""
HOUR = 3600.0
OLD_SECONDS = 12.0
"""Slurm repeats tasks of a node that restarts only if they began so long before: MessageTimeout and five seconds."""


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
        "walltime": begun(folder, "walltime", [{"x": x, "seconds": 4.0} for x in range(30)], "tasks: 2, time: 1m"),
        "cancelled": begun(folder, "cancelled", [{"x": x, "do": "wait"} for x in range(4)], "tasks: 1, resubmit: 0"),
        "requeued": begun(folder, "requeued", SOME, "tasks: 2, time: 10m, resubmit: 0"),
        "late": begun(folder, "late", SOME, "tasks: 3, resubmit: 0, options: [--hold]"),
    }
    patch.undo()


def slurm(*command: str) -> str:
    """What one of Slurm's commands prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def restarts(project: Project) -> int:
    """How often Slurm has repeated the tasks of a run."""
    told = slurm("scontrol", "show", "job", jobs.jobs_of(project.run, 1)[-1])
    return sum(int(word.partition("=")[2]) for word in told.split() if word.startswith("Restarts="))


def at_work(project: Project, tasks: int) -> Callable[[], bool]:
    """Whether so many tasks have a worker that has announced itself."""
    return lambda: project.scythe("status", "work").count("worker ") >= tasks


def check_whole(project: Project) -> None:
    """Every spec has its outcome, and none but the one that fails by itself has failed."""
    (project.folder / "go").touch()
    project.scythe("wait", "work", "--timeout", "100s", code=1)
    assert project.table("scalars").height == N - 1
    assert project.table("errors")["message"].to_list() == ["as asked"]
    assert len(jobs.submissions(project.run, 1)) == 1


def test_an_array_within_max_array_size(projects: dict[str, Project]) -> None:
    project = projects["whole"]
    assert "--array=0-3\n" in project.run.store.read("control/slurm-1.sh").decode()
    project.scythe("wait", "work", "--timeout", "2m")
    assert project.table("scalars").height == N
    assert "slurm" in project.table("execution")["worker"][0]


def test_tasks_that_were_cancelled_from_outside(projects: dict[str, Project]) -> None:
    project = projects["cancelled"]
    project.wait_for(lambda: "1 running" in project.scythe("status", "work"))
    slurm("scancel", *jobs.jobs_of(project.run, 1))
    project.wait_for(lambda: "Slurm has no task of it" in project.scythe("status", "work"))
    (project.folder / "go").touch()
    project.scythe("worker", "--run", "work")
    assert project.table("scalars").height == 4


def test_tasks_that_are_requeued_and_preempted_start_again(projects: dict[str, Project]) -> None:
    """Slurm sends SIGTERM to all of their processes. A job of the partition `urgent` takes all cores of the node."""
    project = projects["requeued"]
    project.wait_for(at_work(project, 2))
    slurm("scontrol", "requeue", f"{jobs.jobs_of(project.run, 1)[0]}_0")
    project.wait_for(lambda: "1 pending (it may not start yet" in project.scythe("status", "work"))
    project.wait_for(at_work(project, 2))
    before = restarts(project)
    slurm("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    project.wait_for(lambda: restarts(project) >= before + 2)
    project.wait_for(at_work(project, 2))
    check_whole(project)


def test_tasks_that_start_hours_apart(projects: dict[str, Project]) -> None:
    """The first is killed with specs in hand; the second comes two hours later; the third when nothing is left."""
    project = projects["late"]
    assert "3 pending (held by its user: scontrol release)" in project.scythe("status", "work")
    (job,) = jobs.jobs_of(project.run, 1)
    slurm("scontrol", "release", f"{job}_0")
    project.wait_for(at_work(project, 1))
    slurm("scancel", "--signal=KILL", "--full", f"{job}_0")
    project.wait_for(lambda: "Slurm: 2 pending" in project.scythe("status", "work"))
    age(Path(project.storage), 2 * HOUR)
    slurm("scontrol", "release", f"{job}_1")
    check_whole(project)
    age(Path(project.storage), HOUR)
    slurm("scontrol", "release", f"{job}_2")
    log = Path(project.storage) / project.run.id / "logs" / f"slurm-{job}_2.log"
    project.wait_for(lambda: log.exists() and "nothing is left" in log.read_text())


def age(folder: Path, seconds: float) -> None:
    """Make all files older, as if nobody had worked for so long."""
    for path in folder.rglob("*"):
        found = path.stat()
        os.utime(path, (found.st_atime - seconds, found.st_mtime - seconds))


def test_what_a_user_sees_when_sbatch_refuses_and_squeue_is_missing(tmp_path: Path) -> None:
    project = Project(tmp_path, str(tmp_path / "runs"))
    project.write(SOME, "slurm: {tasks: 2, partition: nowhere}\n")
    refused = project.scythe("allocate", "--engine", "slurm", code=4)
    assert "Invalid partition name specified" in refused
    assert "not started" in project.scythe("status", "work")
    resume = next(line for line in refused.splitlines() if line.startswith("hint: ")).split()[1:5]
    assert resume[:3] == ["scythe", "allocate", "--resume"]
    project.scythe(*resume[1:], "--set", "slurm.partition=main")
    project.wait_for(at_work(project, 1))
    nowhere = {**os.environ, "PATH": str(Path(SCYTHE).parent)}
    done = subprocess.run(
        [SCYTHE, "status", "work"], cwd=tmp_path, env=nowhere, capture_output=True, text=True, check=True
    )
    assert "squeue cannot be asked from here" in done.stdout
    project.scythe("cancel", "work")
    project.wait_for(lambda: not slurm("squeue", "--noheader", "--jobs", *jobs.jobs_of(project.run, 1)).strip())


def test_what_the_walltime_cut_short_is_submitted_again(projects: dict[str, Project]) -> None:
    project = projects["walltime"]
    project.scythe("wait", "work", "--timeout", "4m")
    assert project.table("scalars").height == 30
    assert project.table("errors").height == 0
    assert len(jobs.submissions(project.run, 1)) > 1


def test_a_node_that_restarts(projects: dict[str, Project], tmp_path: Path) -> None:
    """First only slurmd: its tasks live on. Then all of the node: its tasks start again."""
    assert projects, "those are over by now: all of their tasks would die with the node"
    project = begun(tmp_path, "restarts", SOME, "tasks: 2, time: 10m, resubmit: 0")
    project.wait_for(at_work(project, 2))
    end_slurmd()
    slurm("slurmd")
    project.wait_for(lambda: "2 running" in project.scythe("status", "work"))
    assert restarts(project) == 0
    began = time.monotonic()
    project.wait_for(lambda: time.monotonic() - began > OLD_SECONDS)
    reboot()
    project.wait_for(lambda: restarts(project) == 2)
    project.wait_for(lambda: "2 running" in project.scythe("status", "work"))
    check_whole(project)


def end_slurmd() -> None:
    """Kill it and wait for its end."""
    pid = int(Path(os.environ["SLURM_CONF"]).with_name("slurmd.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, pid
        time.sleep(0.05)


def reboot() -> None:
    """Kill all that Slurm has started on this machine, and start slurmd as after a boot of the machine."""
    table = [line.split() for line in slurm("scontrol", "listpids").splitlines()[1:]]
    tasks = {int(row[0]) for row in table if row and int(row[0]) > 0}
    parents = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in tasks}
    end_slurmd()
    for pid in (parents - tasks - {1}) | tasks:
        os.kill(pid, signal.SIGKILL)
    spool = Path(os.environ["SLURM_CONF"]).with_name("spool")
    for folder in spool.glob("job*"):  # a reboot empties it
        shutil.rmtree(folder)
    slurm("slurmd", "-b")


def test_a_run_that_waits_for_its_tables(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    project = Project(tmp_path, str(tmp_path / "runs"))
    project.write(SOME, "slurm: {tasks: 2}\n")
    said = project.scythe("allocate", "--engine", "slurm", "--wait", code=1)
    assert "see  Slurm job " in said
    assert f"{N - 1} succeeded, 1 failed in " in said
    assert find(open_store(project.storage), "work").id in said

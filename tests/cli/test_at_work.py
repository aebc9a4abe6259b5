"""A run of `engine: shared` before, while and after workers are at work: each command knows whether somebody works."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

import pytest
from command import FILE, SCYTHE, Done, environment, project, runs, scythe

COMMANDS = {
    "list": ["status"],
    "status": ["status", "doubles"],
    "show": ["show", "doubles"],
    "spec": ["show", "doubles", "2"],
    "gather": ["gather", "doubles"],
    "download": ["download", "doubles"],
}


@dataclass
class Life:
    """What the commands say, by when they were called."""

    run: str
    before: dict[str, Done]
    during: dict[str, Done]
    after: dict[str, Done]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    folder = project(
        tmp_path_factory.mktemp("shared"),
        "x,how\n1,well\n2,slowly\n3,slowly\n",
        file=FILE + "engine: shared\n",
    )
    assert scythe("allocate", "--set", "run.flush=10ms", cwd=folder).code == 0

    def say() -> dict[str, Done]:
        return {name: scythe(*arguments, cwd=folder) for name, arguments in COMMANDS.items()}

    before = say()
    worker = subprocess.Popen(
        [SCYTHE, "worker", "--run", "doubles"], cwd=folder, env=environment(), stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not list(folder.glob("scythe-runs/*/*/*/scatter-gather/output/*/*.pq")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    during = say()
    worker.kill()
    worker.wait()
    after = say() | {"wait": scythe("wait", "doubles", cwd=folder)}
    (run,) = runs(folder)
    return Life(f"doubles/v1.0.0/{run.name}", before, during, after)


def in_list(done: Done) -> str:
    """The state in the list of runs."""
    return done.out.splitlines()[1].partition("  ")[2].partition("  ")[0].strip()


def test_the_list_and_the_status_agree(life: Life) -> None:
    assert life.before["status"].out.startswith(f"{life.run}   not started (no worker has begun)\n")
    assert in_list(life.before["list"]) == "not started"
    assert life.before["show"].out.startswith(f"{life.run}   not started\n")
    assert in_list(life.during["list"]) == "running"
    assert life.after["status"].out.startswith(f"{life.run}   stopped before the end (no worker is at work)\n")
    assert in_list(life.after["list"]) == "stopped before the end"
    assert life.after["show"].out.startswith(f"{life.run}   stopped before the end\n")


def test_gather_names_what_works(life: Life) -> None:
    without = f"to build the tables without them:   scythe gather {life.run} --partial"
    worker = f"scythe worker --run {life.run}"
    assert life.before["gather"].err.endswith(f"\nhint: {worker}   or, {without}\n")
    assert life.during["gather"].err.endswith(f"\nhint: scythe wait {life.run}   or, {without}\n")
    assert life.after["gather"].err.endswith(f"\nhint: {worker}   or, {without}\n")


def test_a_spec_without_a_result_names_what_works(life: Life) -> None:
    assert life.during["spec"].err == f"next: scythe wait {life.run}\n"
    assert life.after["spec"].err == f"next: scythe worker --run {life.run}\n"


def test_download_names_what_works(life: Life) -> None:
    assert life.before["download"].err.endswith(f"\nhint: scythe worker --run {life.run}\n")
    assert life.during["download"].err.endswith(f"\nhint: scythe wait {life.run}\n")
    assert life.after["download"].err.endswith(f"\nhint: scythe worker --run {life.run}\n")


def test_wait_ends_when_all_workers_are_gone(life: Life) -> None:
    done = life.after["wait"]
    assert done.code == 5
    assert done.err.endswith(
        f"error: no process works on {life.run}: no worker is at work; 1 of 3 specs are done and kept\n"
        f"hint: scythe worker --run {life.run}\n"
    )

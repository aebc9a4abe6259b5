"""Cores and threads that a process may use, by mask, batch system, container and environment; limits of the shell."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

import pytest

from scythe_cli.core import machine
from scythe_cli.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    for name in machine.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(machine, "cpu_quota", lambda: None)


def test_cores_follow_the_affinity_mask() -> None:
    assert machine.cores() == 8


@pytest.mark.parametrize(("text", "cores"), [("3", 3), ("64", 8), ("0", 8), ("many", 8), ("", 8)])
def test_cores_follow_slurm(monkeypatch: pytest.MonkeyPatch, text: str, cores: int) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", text)
    assert machine.cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [(0.5, 1), (2.0, 2), (2.5, 3), (90.0, 8)])
def test_cores_follow_the_containers_quota(monkeypatch: pytest.MonkeyPatch, quota: float, cores: int) -> None:
    monkeypatch.setattr(machine, "cpu_quota", lambda: quota)
    assert machine.cores() == cores


def quota(folder: Path, line: str, **files: str) -> float | None:
    for name, text in files.items():
        file = folder / name.replace("__", "/").replace("_max", ".max").replace("cfs", "cpu.cfs")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "membership").write_text(line)
    return quota_of(folder, folder / "membership")


quota_of = machine.cpu_quota


def test_the_lowest_quota_of_the_groups_above_counts(tmp_path: Path) -> None:
    found = quota(tmp_path, "0::/a/b", a__b__cpu_max="400000 100000", a__cpu_max="150000 100000", cpu_max="max 100000")
    assert found == 1.5


def test_without_a_quota_there_is_none(tmp_path: Path) -> None:
    assert quota(tmp_path, "0::/a", a__cpu_max="max 100000") is None


def test_older_control_groups_have_a_quota_too(tmp_path: Path) -> None:
    line = "4:cpu,cpuacct:/x\n3:memory:/x"
    assert quota(tmp_path, line, cpu__x__cfs_quota_us="200000", cpu__x__cfs_period_us="100000") == 2.0
    assert quota(tmp_path, line, cpu__x__cfs_quota_us="-1", cpu__x__cfs_period_us="100000") is None


def test_each_worker_has_one_thread_where_there_is_one_for_each_core() -> None:
    assert set(machine.thread_settings(8)) == set(machine.THREAD_VARIABLES)
    assert set(machine.thread_settings(8).values()) == {"1"}


def test_fewer_workers_keep_their_threads() -> None:
    assert machine.thread_settings(4) == {}


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert machine.thread_settings(8) == {}
    assert machine.threads_in(os.environ) == {"OMP_NUM_THREADS": "4"}


def test_too_little_memory_is_refused_with_the_limits_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2_000_000 << 10, 2_000_000 << 10))
    with pytest.raises(EngineError, match="`ulimit -v` = 2000000 KiB"):
        machine.require_memory()


def test_without_a_limit_of_memory_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    machine.require_memory()


def test_too_few_files_are_refused_with_the_limits_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (24, 24))
    with pytest.raises(EngineError, match="`ulimit -n` = 24, is too low: 4 workers need"):
        machine.require_files(4)


def test_a_low_soft_limit_of_files_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (24, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    machine.require_files(4)
    assert asked == [(machine.FILES_NEEDED + 4 * machine.FILES_FOR_A_WORKER, 4096)]


def test_a_worker_is_called_what_the_machine_is_called() -> None:
    assert machine.machine_name({"AWS_BATCH_JOB_ID": "abc:7", "AWS_BATCH_JOB_ATTEMPT": "2"}).startswith(
        "batch-abc-7-2-"
    )
    assert machine.machine_name({"ECS_CONTAINER_METADATA_URI_V4": "http://x/v4/f00"}).startswith("ecs-f00-")
    assert machine.machine_name({"FLY_MACHINE_ID": "m1", "FLY_REGION": "ams"}).startswith("fly-ams-m1-")
    assert "-slurm-9_4-" in machine.machine_name(
        {"SLURM_JOB_ID": "13", "SLURM_ARRAY_JOB_ID": "9", "SLURM_ARRAY_TASK_ID": "4"}
    )
    assert machine.machine_name({}).rpartition("-")[2].isdecimal()

"""Why nothing runs, in one sentence, from what the engine knows of its workers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from scythe_cli.engines.hatchet.client.diagnosis import NO_TASK, Stillness, why_nothing_runs
from scythe_cli.engines.hatchet.labels import CODE, FAN, STORAGE, STORAGE_AT
from scythe_cli.run.engine import WorkerSeen

HASH = "aaaabbbbcccc0000"


def plan(**labels: str) -> Any:
    run = SimpleNamespace(
        id="e/v1.0.0/t",
        name="e",
        store=SimpleNamespace(locate=lambda _: "/mine/e/v1.0.0/t/"),
        manifest=SimpleNamespace(experiment_name="scythe_experiment_e"),
    )
    return SimpleNamespace(run=run, labels={STORAGE: "here", **labels}, source_hash=HASH)


def worker(*, lanes: int = 2, busy: int = 0, code: str = HASH[:12], storage: str = "here") -> WorkerSeen:
    own = {STORAGE: storage, STORAGE_AT: f"/{storage}", FAN: "true", f"{CODE}_e": code}
    return WorkerSeen("w", lanes, busy, own, serves=True)


def why(workers: list[WorkerSeen], *, queued: int = 1, running: int = 1, **labels: str) -> str | None:
    return why_nothing_runs(plan(**labels), workers, Stillness(queued, running))


def test_a_worker_that_fits_is_no_reason() -> None:
    assert why([worker()]) is None


def test_no_worker() -> None:
    assert str(why([])).startswith("no worker is connected")


def test_other_code_is_told_with_both_hashes() -> None:
    told = str(why([worker(code="ddddeeeeffff")]))
    assert HASH[:12] in told
    assert "ddddeeeeffff" in told


def test_other_storages_are_shown_with_the_way_to_map_a_path() -> None:
    told = str(why([worker(storage="theirs")]))
    assert "/mine" in told
    assert "/theirs" in told
    assert f"--label {STORAGE_AT}=/mine" in told


def test_a_label_that_nobody_has() -> None:
    assert why([worker()], has_gpu="true") == "no worker of e has the label has_gpu=true"


@pytest.mark.parametrize(("busy", "running", "told"), [(2, 1, True), (1, 1, False), (4, 5, False)])
def test_workers_that_others_keep_busy(busy: int, running: int, told: bool) -> None:
    found = why([worker(lanes=2, busy=busy)], running=running)
    assert (found == "the only worker that could take e is busy with other runs") is told


@pytest.mark.parametrize(("busy", "running", "told"), [(2, 2, True), (1, 2, False), (1, 1, True), (0, 1, False)])
def test_one_task_of_another_run_may_have_all_lanes(busy: int, running: int, told: bool) -> None:
    now = Stillness(0, running, begun=False)
    found = why_nothing_runs(plan(), [worker(lanes=2, busy=busy)], now)
    assert (found == "the only worker that could take e is busy with other runs") is told


def test_an_engine_that_has_no_task_of_the_run() -> None:
    assert why_nothing_runs(plan(), [worker()], Stillness(0, 0, abandoned=True)) == NO_TASK

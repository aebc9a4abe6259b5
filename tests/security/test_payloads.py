"""Who may enqueue tasks: a payload ends its own task at most, and writes nothing into a run that is not the task's."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hatchet_sdk import NonRetryableException
from hostile import HALF, RUN, Storage

from scythe_cli.core.row_ranges import Range
from scythe_cli.engines.generation.plan import GenerationPlan, read_plan
from scythe_cli.engines.hatchet.names import TaskPayload
from scythe_cli.engines.hatchet.worker import declarations
from scythe_cli.engines.hatchet.worker.leaf_task import run_leaf
from scythe_cli.engines.hatchet.worker.payload_check import check_leaf, check_range
from scythe_cli.errors import BrokenRun, InputError, NotFoundError, ScytheError
from scythe_cli.run.run import Run, open_run
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from pathlib import Path


def plan_of(run: Run) -> GenerationPlan:
    return GenerationPlan(run, 1, [Range(0, 23)], run.experiment_file(), run.manifest.source_hash, {}, 0, 0)


@pytest.fixture
def plan(storage: Storage) -> GenerationPlan:
    """Of a run of 24 rows."""
    return plan_of(open_run(open_store(storage.root), HALF))


def payload(first: int, last: int, **more: int) -> TaskPayload:
    return TaskPayload(run=HALF, generation=1, first=first, last=last, **more)


def test_a_leaf_of_the_run(plan: GenerationPlan) -> None:
    check_leaf(payload(0, 23), plan, plan.run.manifest.experiment_name)


def test_a_leaf_of_another_experiment_is_refused(plan: GenerationPlan) -> None:
    with pytest.raises(InputError, match="a run of scythe_experiment_fill, and this task is scythe_experiment_other"):
        check_leaf(payload(0, 23), plan, "scythe_experiment_other")


@pytest.mark.parametrize(("first", "last"), [(5, 4), (-1, 3), (-9, -3), (0, 24), (24, 24), (0, 1 << 70)])
def test_rows_that_are_not_the_runs_are_refused(plan: GenerationPlan, first: int, last: int) -> None:
    with pytest.raises(InputError, match="must be a range of 0 to 23"):
        check_range(payload(first, last), plan)
    with pytest.raises(InputError, match="must be a range of 0 to 23"):
        check_leaf(payload(first, last), plan, plan.run.manifest.experiment_name)


def test_a_leaf_of_two_blocks_is_refused(plan: GenerationPlan) -> None:
    run = plan.run
    large = replace(plan, run=Run(run.store, run.manifest.model_copy(update={"n_specs": 9000})))
    with pytest.raises(InputError, match="are not in one block"):
        check_leaf(payload(4000, 5000), large, run.manifest.experiment_name)
    check_range(payload(0, 8999), large)


@pytest.mark.parametrize("more", [{"tries": -1}, {"tries": 1 << 40}, {"depth": -1}, {"depth": 1 << 40}])
def test_numbers_that_no_task_has_are_refused(plan: GenerationPlan, more: dict[str, int]) -> None:
    with pytest.raises(InputError, match="no task has so many"):
        check_range(payload(0, 23, **more), plan)


class Context:
    """As much of a worker as a refused leaf meets."""

    runners: dict[str, Any]

    def __init__(self, plan: GenerationPlan) -> None:
        self._plan = plan
        self.warned: list[str] = []

    async def plan(self, _: TaskPayload) -> tuple[GenerationPlan, None]:
        return self._plan, None

    def warn(self, message: str) -> None:
        self.warned.append(message)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_refused_leaf_writes_nothing(plan: GenerationPlan, storage: Storage) -> None:
    before = files(storage.root)
    context: Any = Context(plan)
    with pytest.raises(InputError, match="is a run of"):
        asyncio.run(run_leaf(context, "scythe_experiment_other", payload(0, 23), None))
    assert files(storage.root) == before


@pytest.mark.parametrize("error", [NotFoundError("no such run"), BrokenRun("it is cut")])
def test_an_unknown_run_holds_a_slot_for_seconds(
    plan: GenerationPlan, error: ScytheError, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def fail() -> None:
        raise error

    monkeypatch.setattr(asyncio, "sleep", sleep)
    context: Any = Context(plan)
    for retries in range(declarations.ABSENT_TRIES):
        with pytest.raises(type(error)):
            asyncio.run(declarations._run_task(context, fail, retries))
    with pytest.raises(NonRetryableException):
        asyncio.run(declarations._run_task(context, fail, declarations.ABSENT_TRIES))
    assert sum(slept) < 10


@pytest.mark.parametrize("text", ["5-3", "0-99", "3-5,4-6", "7-9,0-2", "many", "-1-3"])
def test_a_generation_of_wrong_rows_is_broken(storage: Storage, text: str) -> None:
    mark = storage.half / "control" / "generation-1.yml"
    mark.write_text(mark.read_text() + f"rows: '{text}'\nsettings: 'experiment: a:b'\nsource_hash: x\nlabels: {{}}\n")
    with pytest.raises(BrokenRun, match=r"generation-1\.yml is empty, cut or changed"):
        read_plan(open_store(storage.root), HALF, 1)


def test_a_copy_under_another_name_is_not_the_run(storage: Storage) -> None:
    (storage.half / "manifest.yml").write_text((storage.run / "manifest.yml").read_text())
    with pytest.raises(InputError, match=f"holds a copy of {RUN}"):
        read_plan(open_store(storage.root), HALF, 1)

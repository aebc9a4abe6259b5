"""Hatchet workflows as experiments: each spec of a run is one run of the workflow, served beside the worker."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from fleet import FIELD, Fleet, table, until

from scythe_cli.core.layout import Mark
from scythe_cli.engines.hatchet.client.engine import HatchetEngine
from scythe_cli.engines.local import LocalEngine
from scythe_cli.experiment import config, experiment
from scythe_cli.operations import allocate
from scythe_cli.operations.cancel import cancel
from scythe_cli.operations.gather import gather
from scythe_cli.preparation.prepare import prepare
from scythe_cli.run.state import read_state
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.run.engine import Work


pytestmark = pytest.mark.slow


@pytest.fixture
def gardener(workers: Fleet) -> Iterator[Fleet]:
    """A worker that was started with the module of the workflows; what else it runs is no concern of theirs."""
    workers.start("gardener", target="pipeline", slots=3)
    try:
        yield workers
    finally:
        workers.terminate("gardener")  # an engine hands tasks to a killed worker for half a minute
        sys.modules.pop("pipeline", None)


def begin(fleet: Fleet, target: str, engine: str, sizes: list[int], **run: object) -> Work:
    values: dict[str, object] = {"experiment": target, "storage": str(fleet.storage), "engine": engine}
    found = experiment.load(target, FIELD)
    values |= {f"run.{key}": value for key, value in {"retries": 0, **run}.items()}
    loaded = config.from_values(values, folder=FIELD).with_name(found.name)
    prepared = prepare(loaded, found, specs=pl.DataFrame({"size": sizes}))
    return allocate.first_work(allocate.begin(prepared, open_store(fleet.storage)), prepared)


def under_way(work: Work) -> int:
    """Tasks that the engine has under way for a run, its own and those of the workflow."""
    return sum(HatchetEngine()._api.counts(f"{work.run.id}/{work.generation}"))


def heights(work: Work) -> dict[Any, Any]:
    return dict(table(work.run, "scalars").select("size", "height").rows())


def test_specs_are_runs_of_a_workflow_and_fail_alone(gardener: Fleet) -> None:
    work = begin(gardener, "pipeline:pipeline", "hatchet", [1, 2, 3, 4])
    assert HatchetEngine().submit(work).wait(lambda _: None) is None, gardener.logs()
    assert heights(work) == {1: 11, 2: 21, 4: 41}
    errors = table(work.run, "errors")
    assert errors.select("size", "kind").rows() == [(3, "exception")]
    assert "frost" in errors["traceback"][0]
    assert "Hatchet run " in errors["log"][0]


def test_a_task_that_stands_alone_is_one_too_and_the_local_engine_can_wait_for_it(gardener: Fleet) -> None:
    work = begin(gardener, "pipeline:alone", "local", [1, 5])
    assert LocalEngine(2).submit(work).wait(lambda _: None) is None, gardener.logs()
    gather(work.run)
    assert heights(work) == {1: -1, 5: -5}


@pytest.mark.parametrize("engine", ["hatchet", "local"])
def test_cancel_reaches_the_runs_of_a_workflow_and_they_are_no_failures(gardener: Fleet, engine: str) -> None:
    work = begin(gardener, "pipeline:pipeline", engine, [1, *range(101, 111)], flush=0.1, grace=4, leaf_size=11)
    ticket = HatchetEngine().submit(work) if engine == "hatchet" else LocalEngine(3).submit(work)
    with ThreadPoolExecutor(1) as waiting:
        ended = waiting.submit(ticket.wait, lambda _: None)
        try:
            until(lambda: under_way(work) >= 3, "runs", state=gardener.logs)
            until(lambda: read_state(work.run).done == 1, "a result", state=lambda: f"{read_state(work.run)}")
            cancel(work.run)
            if engine == "hatchet":
                HatchetEngine().cancel(work.run)
            reason = ended.result(60)
        finally:
            ticket.stop()
            ticket.stop()
    assert reason is not None and reason.reason == "cancelled"
    until(lambda: under_way(work) == 0, "nothing on the engine", state=gardener.logs)
    until(lambda: 1 in read_state(work.run).marks.get(Mark.ENDED, []), "the end's mark", state=gardener.logs)
    other = begin(gardener, "pipeline:pipeline", "hatchet", [2])
    assert HatchetEngine().submit(other).wait(lambda _: None) is None, "lanes are busy with what was cancelled"
    found = read_state(work.run)
    assert (found.done, found.failed) == (1, 0)

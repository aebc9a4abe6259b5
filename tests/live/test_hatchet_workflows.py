"""Hatchet workflows as experiments: each spec of a run is one run of the workflow, served beside the worker."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from fleet import FIELD, Fleet, table

from scythe_cli import allocate, config, experiment
from scythe_cli.backends import open_store
from scythe_cli.engines.hatchet import HatchetEngine
from scythe_cli.engines.local import LocalEngine
from scythe_cli.gather import gather

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.engines.base import Work


@pytest.fixture
def gardener(workers: Fleet) -> Iterator[Fleet]:
    """A worker that was started with the module of the workflows; what else it runs is no concern of theirs."""
    workers.start("gardener", target="pipeline", slots=3)
    try:
        yield workers
    finally:
        workers.kill("gardener")
        sys.modules.pop("pipeline", None)


def begin(fleet: Fleet, target: str, engine: str, sizes: list[int]) -> Work:
    values: dict[str, object] = {"experiment": target, "storage": str(fleet.storage), "engine": engine}
    found = experiment.load(target, FIELD)
    loaded = config.from_values(values | {"run.retries": 0}, folder=FIELD).with_name(found.name)
    prepared = allocate.prepare(loaded, found, specs=pl.DataFrame({"size": sizes}))
    return allocate.first_work(allocate.begin(prepared, open_store(fleet.storage)), prepared)


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

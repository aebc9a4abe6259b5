"""Settings and forms that were made for one machine, on Hatchet: an order of the specs, and functions of many specs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from desk import Desk
from fleet import Fleet, until

from scythe_cli.core.layout import Mark
from scythe_cli.run import state
from scythe_cli.run.find import find
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.run.run import Run


pytestmark = pytest.mark.slow

OWN = ["experiment_id", "workflow_run_id", "root_workflow_run_id"]
MANY = """
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class Row(ExperimentInputSpec):
    seed: int
    calls: str

class Crop(ExperimentOutputSpec):
    weight: float

@ExperimentRegistry.Register(batch=8)
def reap(specs: list[Row]) -> list[Crop]:
    with open(specs[0].calls, "a") as calls:
        calls.write(" ".join(str(spec.seed) for spec in specs) + "\\n")
    if any(spec.seed == 5 for spec in specs):
        raise ValueError("a stone")
    return [Crop(weight=spec.seed * 1.5) for spec in specs]
"""


@pytest.fixture
def desk(tmp_path: Path, workers: Fleet) -> Desk:
    """A folder beside an engine with workers, whose runs begin with the longest specs where somebody knows them."""
    found = Desk(tmp_path, workers, name=tmp_path.name)
    found.write(40, seconds=0.2, diary=str(tmp_path / "diary"))
    return found


def run_of(desk: Desk) -> Run:
    return find(open_store(desk.fleet.storage), desk.name)


def scalars(run: Run) -> pl.DataFrame:
    return pl.read_parquet(run.store.read("final/scalars.pq")).drop(OWN)


def executed(desk: Desk) -> list[int]:
    return sorted(map(int, (desk.folder / "diary").read_text().split()))


LONGEST = ("--set", "run.order=longest")


def test_the_order_of_a_run_is_that_of_the_table_and_is_said_to_be(desk: Desk) -> None:
    done = desk.scythe("allocate", "--wait", *LONGEST)
    assert done.code == 0, done.err
    assert "only the local engine begins with the longest specs" in done.err
    assert executed(desk) == [*range(40)]


def test_a_resume_with_the_longest_first_runs_what_is_left(desk: Desk) -> None:
    assert desk.scythe("allocate", *LONGEST).code == 0
    until(lambda: state.read_state(run_of(desk)).done, "a first part", state=desk.fleet.logs)
    assert desk.scythe("cancel", desk.name).code == 0
    kept = state.read_state(run_of(desk)).done
    assert 0 < kept < 40
    done = desk.scythe("allocate", "--resume", desk.name, "--wait")
    assert done.code == 0, done.err
    run = run_of(desk)
    assert sorted(state.list_marks(run.store)[Mark.GENERATION]) == [1, 2]
    assert set(executed(desk)) == {*range(40)}
    assert len(executed(desk)) < 80
    assert scalars(run)["weight"].to_list() == [seed * 1.5 for seed in range(40)]


def test_a_run_that_reuses_another_runs_only_what_is_new(desk: Desk) -> None:
    assert desk.scythe("allocate", "--wait", *LONGEST).code == 0
    desk.write(60, seconds=0.2, diary=str(desk.folder / "diary"))
    done = desk.scythe("allocate", "--wait", "--reuse", "latest", "--bump", "minor", *LONGEST)
    assert done.code == 0, done.err
    assert "40 of 60 specs reused" in done.err + done.out
    assert executed(desk) == [*range(60)]
    assert scalars(run_of(desk))["weight"].to_list() == [seed * 1.5 for seed in range(60)]


@pytest.fixture
def many(tmp_path: Path, workers: Fleet) -> Iterator[Desk]:
    """A folder whose function takes eight specs a call, and a worker that serves it."""
    found = Desk(tmp_path, workers, name="reap")
    (tmp_path / "many.py").write_text(MANY)
    rows = "".join(f"{seed},{tmp_path / 'calls'}\n" for seed in range(32))
    (tmp_path / "specs.csv").write_text("seed,calls\n" + rows)
    settings = {"experiment": "many:reap", "engine": "hatchet", "specs": "specs.csv", "run": {"retries": 0}}
    (tmp_path / "experiment.yml").write_text(json.dumps({**settings, "storage": str(workers.storage)}))
    workers.start("reaper", target="many:reap", cwd=tmp_path)
    yield found
    workers.kill("reaper")


def test_a_call_that_fails_is_halved_until_the_guilty_spec_is_alone(many: Desk) -> None:
    done = many.scythe("allocate", "--wait")
    assert done.code == 1, done.err
    run = run_of(many)
    errors = pl.read_parquet(run.store.read("final/errors.pq"))
    assert errors.select("seed", "kind", "message").rows() == [(5, "exception", "a stone")]
    assert scalars(run)["weight"].to_list() == [seed * 1.5 for seed in range(32) if seed != 5]
    calls = [line.split() for line in (many.folder / "calls").read_text().splitlines()]
    assert sorted((len(call) for call in calls if "5" in call), reverse=True) == [8, 4, 2, 1]

"""A spec's own random numbers depend on its inputs, the seed and its place among equal rows, and on nothing else."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from enum import Enum
from typing import TYPE_CHECKING

import pytest

from scythe_cli import ExperimentInputSpec, FileReference
from scythe_cli.core import spec_random

if TYPE_CHECKING:
    from collections.abc import Iterator


class Colour(Enum):
    RED = "red"


class Case(ExperimentInputSpec):
    a: float = 1.0
    tags: frozenset[str] = frozenset()
    day: date = date(2026, 1, 1)
    colour: Colour = Colour.RED
    weather: FileReference | None = None


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    spec_random.CURRENT.seed, spec_random.CURRENT.repeats = 0, {}


def draw(spec: ExperimentInputSpec) -> float:
    return float(spec.rng().random())


def test_the_same_inputs_give_the_same_numbers() -> None:
    assert draw(Case(a=2)) == draw(Case(a=2.0))


def test_each_call_begins_them_again() -> None:
    spec = Case()
    assert draw(spec) == draw(spec)


def test_other_inputs_give_others() -> None:
    assert len({draw(Case(a=value)) for value in range(100)}) == 100


def test_another_seed_gives_others() -> None:
    before = draw(Case())
    spec_random.CURRENT.seed = 7
    assert draw(Case()) != before


def test_the_next_of_equal_rows_gets_others() -> None:
    spec_random.CURRENT.repeats = {5: 1}
    assert draw(Case(sort_index=5)) != draw(Case(sort_index=4))


def test_ids_do_not_count() -> None:
    ids = {"sort_index": 9, "experiment_id": "x/v1/t", "workflow_run_id": "w", "root_workflow_run_id": "r"}
    assert draw(Case(**ids)) == draw(Case())


def test_a_file_counts_by_its_name() -> None:
    assert draw(Case(weather="s3://bucket/run/artifacts/weather/a.epw")) == draw(Case(weather="/cache/objects/1/a.epw"))
    assert draw(Case(weather="a.epw")) != draw(Case(weather="b.epw"))


def test_numbers_that_are_not_finite_count() -> None:
    assert len({draw(Case(a=float(text))) for text in ("nan", "inf", "-inf")}) == 3


SCRIPT = """
from scythe_cli import ExperimentInputSpec
class Case(ExperimentInputSpec):
    tags: set[str]
print(Case(tags=set("abcdefgh")).rng().random())
"""


def run(hash_seed: str) -> str:
    environment = {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_they_are_the_same_in_each_process() -> None:
    assert run("1") == run("2")

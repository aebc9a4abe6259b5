"""Ranges partition: what is left, what covers it, groups of neighbours; and plans and workers' settings."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scythe_cli.core.layout import BLOCK
from scythe_cli.core.row_ranges import Range, covers, ranges_of, read_ranges, spans, subtract, within, write_ranges
from scythe_cli.engines.hatchet.plan import is_run_id
from scythe_cli.engines.hatchet.worker.worker import WorkerSettings, machine_name
from scythe_cli.errors import ConfigError

ROWS = st.sets(st.integers(0, 3 * BLOCK), max_size=60)
SOME = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 40)).map(lambda p: Range(p[0], p[0] + p[1])), max_size=8)


def rows(ranges: list[Range]) -> list[int]:
    return [row for one in ranges for row in one]


@given(st.sets(st.integers(0, 240)), SOME)
def test_what_is_left_is_what_no_other_range_holds(todo: set[int], done: list[Range]) -> None:
    assert rows(subtract(ranges_of(sorted(todo)), done)) == sorted(todo - set(rows(done)))


@given(ROWS, st.integers(1, 20))
def test_covers_hold_every_row_once_in_one_block_each(todo: set[int], size: int) -> None:
    ranges = ranges_of(sorted(todo))
    found = covers(ranges, size)
    assert rows([part for one in found for part in within(ranges, one)]) == sorted(todo)
    for one in found:
        assert one.first // BLOCK == one.last // BLOCK
        assert 1 <= sum(map(len, within(ranges, one))) <= size


@given(st.lists(st.integers(), min_size=1, max_size=50), st.integers(1, 20))
def test_spans_are_neighbours_of_nearly_one_size(items: list[int], most: int) -> None:
    ranges = [Range(at, at) for at in range(len(items))]
    groups = spans(ranges, most)
    assert list(itertools.chain(*groups)) == ranges
    assert len(groups) <= most
    assert max(map(len, groups)) - min(map(len, groups)) <= 1


@given(ROWS)
def test_ranges_round_trip_as_text(todo: set[int]) -> None:
    ranges = ranges_of(sorted(todo))
    assert read_ranges(write_ranges(ranges)) == ranges


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("energy/v1.2.0/2026-01-31_12-00-00", True),
        ("../v1.2.0/2026-01-31_12-00-00", False),
        ("energy/v1.2.0/2026-01-31_12-00-00/..", False),
        ("energy/v1.2/2026-01-31_12-00-00", False),
        ("/etc/v1.0.0/2026-01-31_12-00-00", False),
        ("energy/v1.2.0/2026-01-31_12-00-00\n", False),
        ("", False),
    ],
)
def test_only_a_runs_id_is_looked_for(text: str, is_one: bool) -> None:
    assert is_run_id(text) is is_one


def test_the_environment_sets_a_worker() -> None:
    found = WorkerSettings.from_environment(
        {"SCYTHE_WORKER_NAME": "n", "SCYTHE_WORKER_SLOTS": "3", "SCYTHE_WORKER_HAS_GPU": "true"}
        | {"SCYTHE_WORKER_HIGH_CPU": "false", "SCYTHE_WORKER_DOES_FAN": "0", "SCYTHE_WORKER_DURABLE_SLOTS": "7"}
    )
    assert (found.name, found.slots, found.durable_slots) == ("n", 3, 7)
    assert found.labels == {"has_gpu": "true"}
    assert found.roles == {"leaf"}


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"SCYTHE_WORKER_SLOTS": "many"}, "whole number"),
        ({"SCYTHE_WORKER_HAS_GPU": "perhaps"}, "true or false"),
        ({"SCYTHE_WORKER_SLOT": "3"}, "SCYTHE_WORKER_SLOT is not a setting"),
        ({"SCYTHE_WORKER_DOES_FAN": "no", "SCYTHE_WORKER_DOES_LEAF": "no"}, "do nothing"),
    ],
)
def test_what_makes_no_sense_is_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        WorkerSettings.from_environment(environ)


def test_a_worker_is_called_what_the_machine_is_called() -> None:
    assert machine_name({"AWS_BATCH_JOB_ID": "abc:7", "AWS_BATCH_JOB_ATTEMPT": "2"}).startswith("batch-abc-7-2-")
    assert machine_name({"ECS_CONTAINER_METADATA_URI_V4": "http://x/v4/f00"}).startswith("ecs-f00-")
    assert machine_name({"FLY_MACHINE_ID": "m1", "FLY_REGION": "ams"}).startswith("fly-ams-m1-")
    assert "-slurm-9_4-" in machine_name({"SLURM_JOB_ID": "13", "SLURM_ARRAY_JOB_ID": "9", "SLURM_ARRAY_TASK_ID": "4"})
    assert machine_name({}).rpartition("-")[2].isdecimal()

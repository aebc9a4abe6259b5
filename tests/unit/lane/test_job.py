"""How many attempts a spec has, by the kind of its failure."""

from pathlib import Path

import pytest
from supervised import run_work

from scythe_cli.lane.job import Job
from scythe_cli.run.outcomes import FailureKind
from scythe_cli.run.parts import PartWriter

RETRIED = (FailureKind.EXCEPTION, FailureKind.TIMEOUT, FailureKind.MEMORY, FailureKind.CRASH)


def job(retries: int | None) -> Job:
    return Job("k", "n/v1.0.0/t", "/runs", "/outbox", retries, "worker")


def test_without_a_number_only_a_crash_is_tried_again() -> None:
    assert {kind: job(None).max_attempts(kind) for kind in RETRIED} == {
        FailureKind.EXCEPTION: 1,
        FailureKind.TIMEOUT: 1,
        FailureKind.MEMORY: 1,
        FailureKind.CRASH: 2,
    }


@pytest.mark.parametrize("kind", RETRIED)
@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_number_is_for_all_kinds(kind: FailureKind, retries: int) -> None:
    assert job(retries).max_attempts(kind) == 1 + retries


@pytest.mark.parametrize("kind", [FailureKind.INVALID_OUTPUT, FailureKind.LOST])
def test_what_is_not_cured_by_another_attempt_has_one(kind: FailureKind) -> None:
    assert job(3).max_attempts(kind) == 1


def test_rows_that_are_claimed_again_are_of_the_same_generation(tmp_path: Path) -> None:
    run = run_work(tmp_path)
    writer = PartWriter(run.info.store, generation=1, flush=60.0)
    first, second = (run.leaf("leaf", writer, block=0, rows=5, claim=claim).job for claim in (1, 2))
    assert first.key != second.key
    assert (second.experiment_id, second.generation) == (first.experiment_id, first.generation)

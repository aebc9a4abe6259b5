"""How many attempts a spec has, by the kind of its failure."""

import pytest

from scythe_cli.lane.job import Job
from scythe_cli.run.outcomes import FailureKind

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

"""When a run has failed so often that it stops."""

from __future__ import annotations

from typing import Any

from scythe_cli.core.units import MaxFailures
from scythe_cli.lane.messages import FailureSample
from scythe_cli.run.engine import Ended, EndReason
from scythe_cli.supervisor.failure_limits import CANARY, FailureLimits


def sample(row: int = 0, kind: str = "exception") -> FailureSample:
    return FailureSample(row, kind, "ValueError", "work (a.py:3)")


def check(limits: FailureLimits, samples: list[FailureSample], **counts: int) -> Ended | None:
    held: dict[str, Any] = {"done_before": 0, "failed_before": 0, "total": 1000} | counts
    return limits.check(samples, **held)


def test_the_canary_stops_a_run_whose_first_specs_all_fail_alike() -> None:
    ended = check(FailureLimits(MaxFailures(), canary=True), [sample()], done=CANARY, failed=CANARY)
    assert ended == Ended(
        EndReason.CANARY, "the first 20 specs all failed alike: ValueError (exception) in work (a.py:3)"
    )


def test_the_canary_waits_for_enough_specs() -> None:
    assert check(FailureLimits(MaxFailures(), canary=True), [sample()], done=CANARY - 1, failed=CANARY - 1) is None


def test_one_success_silences_the_canary() -> None:
    limits = FailureLimits(MaxFailures(), canary=True)
    assert check(limits, [sample()], done=CANARY, failed=CANARY - 1) is None
    assert not limits.canary


def test_two_kinds_of_failure_silence_the_canary() -> None:
    both = [sample(), sample(kind="crash")]
    assert check(FailureLimits(MaxFailures(), canary=True), both, done=CANARY, failed=CANARY) is None


def test_without_a_canary_all_may_fail_alike() -> None:
    assert check(FailureLimits(MaxFailures()), [sample()], done=CANARY, failed=CANARY) is None


def test_max_failures_counts_those_of_earlier_generations() -> None:
    limits = FailureLimits(MaxFailures(count=5))
    assert check(limits, [], done=10, failed=3, failed_before=2, done_before=4) is None
    ended = check(limits, [], done=10, failed=3, failed_before=3, done_before=4)
    assert ended is not None
    assert ended.reason is EndReason.MAX_FAILURES

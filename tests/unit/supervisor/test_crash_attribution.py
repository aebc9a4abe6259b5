"""Which row the end of a lane counts for, and what its failure says."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, cast

import pytest
from supervised import run_work

from scythe_cli.supervisor.chunk import Chunk
from scythe_cli.supervisor.crash_attribution import SERVER_CRASHES, TERMINATIONS, CrashCounter, failed_outcome
from scythe_cli.supervisor.lane_exit import ExitInfo, LaneExit
from scythe_cli.supervisor.lane_handle import LaneEndReason

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def chunk(tmp_path: Path) -> Chunk:
    return Chunk(run_work(tmp_path), 0, range(10))


def ended(chunk: Chunk, row: int | None, reason: LaneEndReason | None, status: int = -11, **more: Any) -> LaneExit:
    return LaneExit(cast("Any", None), [chunk], row, 1.5, ExitInfo(status, reason, **more), "printed")


def test_a_crash_counts_for_the_row_at_work(chunk: Chunk) -> None:
    assert CrashCounter().attributes(chunk, ended(chunk, 4, None))


def test_a_crash_between_rows_counts_for_none(chunk: Chunk) -> None:
    assert not CrashCounter().attributes(chunk, ended(chunk, None, None))


def test_a_crash_does_not_count_for_a_chunk_that_waits(chunk: Chunk) -> None:
    waiting = Chunk(chunk.run, 0, range(10, 20))
    assert not CrashCounter().attributes(waiting, ended(chunk, 4, None))


def test_the_end_of_a_run_counts_for_none(chunk: Chunk) -> None:
    assert not CrashCounter().attributes(chunk, ended(chunk, 4, LaneEndReason.STOPPED))


def test_a_row_is_the_cause_when_it_was_at_work_each_time_a_server_died(chunk: Chunk) -> None:
    counter, crash = CrashCounter(), ended(chunk, 4, LaneEndReason.NO_SERVER)
    counted = [counter.attributes(chunk, crash) for _ in range(SERVER_CRASHES)]
    assert counted == [False] * (SERVER_CRASHES - 1) + [True]


def test_sigterm_counts_when_it_comes_again_for_the_same_row(chunk: Chunk) -> None:
    counter, crash = CrashCounter(), ended(chunk, 4, None, -signal.SIGTERM)
    counted = [counter.attributes(chunk, crash) for _ in range(TERMINATIONS)]
    assert counted == [False] * (TERMINATIONS - 1) + [True]
    assert counter.attributes(chunk, ended(chunk, 5, LaneEndReason.TIMEOUT, -signal.SIGTERM))


def test_another_row_has_a_count_of_its_own(chunk: Chunk) -> None:
    counter = CrashCounter()
    for row in range(SERVER_CRASHES):
        assert not counter.attributes(chunk, ended(chunk, row, LaneEndReason.NO_SERVER))


@pytest.mark.parametrize(
    ("row", "reason", "more", "kind", "message"),
    [
        (4, None, {}, "crash", "the process ended with signal SIGSEGV"),
        (4, None, {"status": 3}, "crash", "the process ended with exit code 3"),
        (4, LaneEndReason.TIMEOUT, {"status": -signal.SIGKILL}, "timeout", "timeout after 2 s"),
        (4, LaneEndReason.MEMORY, {}, "memory", "the spec's processes held more than 1 MiB"),
        (4, None, {"out_of_memory": True}, "memory", "the kernel killed the process"),
        (4, LaneEndReason.PROTOCOL_ERROR, {}, "crash", "the process wrote into its connection"),
        (None, None, {}, "lost", "the process ended each time before it sent the outcome: signal SIGSEGV"),
    ],
)
def test_the_failure_says_what_ended_the_process(
    chunk: Chunk, row: int | None, reason: LaneEndReason | None, more: dict[str, Any], kind: str, message: str
) -> None:
    chunk.run._blocks._sort_indexes = (0, cast("Any", _Numbers()))
    outcome = failed_outcome(ended(chunk, row, reason, **more), chunk.run, 4, attempt=3, folder="/user")
    assert outcome.failure.kind == kind
    assert outcome.failure.message.startswith(message)
    assert outcome.attempts == 3
    assert outcome.log == "printed"
    assert outcome.failure.place == "work (t.py:1)"


class _Numbers:
    """A column of sort indexes that are the rows."""

    def __getitem__(self, row: int) -> Any:
        return type("Cell", (), {"as_py": staticmethod(lambda: row)})

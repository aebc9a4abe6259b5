"""Calls whose results come in their order, a few at a time; more where each of them waits."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from scythe_cli.reuse import in_turn as in_turn_module
from scythe_cli.reuse.in_turn import FEW, in_turn

if TYPE_CHECKING:
    from collections.abc import Iterator


class Gauge:
    """Calls that wait, and how many were under way at once."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._now = self.most = 0

    def __call__(self, at: int) -> int:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(self._seconds)
        with self._lock:
            self._now -= 1
        return at


def test_results_come_in_the_order_of_the_calls() -> None:
    assert list(in_turn(lambda at: at * at, ((at,) for at in range(50)), threads=4)) == [at * at for at in range(50)]


def test_no_calls() -> None:
    assert list(in_turn(lambda: 1, [], threads=4)) == []


def test_calls_that_wait_are_made_at_once() -> None:
    gauge = Gauge(0.05)
    assert list(in_turn(gauge, ((at,) for at in range(40)), threads=8)) == [*range(40)]
    assert gauge.most == 8


def test_quick_calls_are_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_turn_module, "LATE_SECONDS", 60.0)  # so that a busy machine makes no call late
    gauge = Gauge(0.001)
    assert len(list(in_turn(gauge, ((at,) for at in range(100)), threads=8))) == 100
    assert gauge.most <= FEW + 1


def test_calls_are_taken_when_there_is_room() -> None:
    taken: list[int] = []

    def calls() -> Iterator[tuple[int]]:
        for at in range(100):
            taken.append(at)
            yield (at,)

    with closing(in_turn(lambda at: at, calls(), threads=4)) as results:
        assert next(results) == 0
        assert len(taken) <= FEW + 1


@pytest.mark.parametrize("bad", [0, 5, 19])
def test_an_error_comes_at_its_place_and_ends_the_threads(bad: int) -> None:
    before = threading.active_count()
    found: list[float] = []
    with (
        pytest.raises(ZeroDivisionError),
        closing(in_turn(lambda at: 1 / (at - bad), ((at,) for at in range(20)), threads=4)) as results,
    ):
        found.extend(results)
    assert len(found) == bad
    assert threading.active_count() == before

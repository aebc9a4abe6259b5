"""Many workers of one run, with a clock that the test turns: who gets what, how often they look, who is dead."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest

from scythe_cli.core import processes
from scythe_cli.core.row_ranges import Range
from scythe_cli.engines.shared import liveness
from scythe_cli.engines.shared.claim_board import ClaimBoard
from scythe_cli.engines.shared.claim_names import Step
from scythe_cli.engines.shared.claimer import SLOWEST, Claimer
from scythe_cli.engines.shared.liveness import IDLE_PULSE_SECONDS, PULSE_SECONDS, STILL_SECONDS, PulseWatch
from scythe_cli.engines.shared.range_plan import RangePlan, cut
from scythe_cli.engines.shared.worker import MARKS_SECONDS, WORKERS_A_SECOND
from scythe_cli.errors import KeyExists, KeyMissing
from scythe_cli.storage.base import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class Memory:
    """A store that counts operations and has no clock."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.folders: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
        self.operations: Counter[str] = Counter()

    address = "memory"

    def read(self, key: str, *, limit: int | None = None) -> bytes:
        self.operations["read"] += 1
        if key not in self.objects:
            raise KeyMissing(key)
        return self.objects[key]

    def write(self, key: str, data: bytes, *, new: bool = False) -> None:
        self.operations["create" if new else "write"] += 1
        if new and key in self.objects:
            raise KeyExists(key)
        self.objects[key] = self.folders[key.rpartition("/")[0]][key] = data

    def list(self, prefix: str = "") -> Iterator[Entry]:
        self.operations["list"] += 1
        for key, data in list(self.folders[prefix].items()):
            yield Entry(key, len(data), data.decode())


class Clock:
    """Seconds that pass when the test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Fleet:
    """Workers of one run on as many machines."""

    def __init__(self, ranges: list[Range], workers: int) -> None:
        self.memory = Memory()
        store: Any = self.memory
        self.clock = Clock()
        self.names = [f"{number:08x}-7-7-{number:08x}" for number in range(workers)]
        plan = RangePlan([ranges[at : at + 200] for at in range(0, len(ranges), 200)])
        for name in self.names:
            self.pulse(name)
        self.claimers = []
        for name in self.names:
            watch = PulseWatch(store, 1, clock=self.clock)
            watch.look()
            board = ClaimBoard(store, 1, plan)
            about = {"worker": name}
            self.claimers.append(Claimer(board, watch, store=store, generation=1, about=about, clock=self.clock))
        self.memory.operations.clear()

    def pulse(self, name: str) -> None:
        """Raise a worker's number."""
        key = f"scatter-gather/claims/1/workers/{name}.yml"
        before = self.memory.objects.get(key, b"number: 0")
        self.memory.write(key, b"number: %d" % (int(before.split()[1]) + 1))


def test_each_range_is_claimed_once_with_three_operations() -> None:
    fleet = Fleet(cut([Range(0, 99_999)]), 12)
    claims, idle = [], 0
    while idle < len(fleet.claimers):
        idle = 0
        for claimer in fleet.claimers:
            claim = claimer.claim() if not claimer.in_tail else None
            if claim is None:
                idle += 1
                continue
            claims.append(claim)
            claimer.note(claim, Step.DONE, len(claim.rows), 0)
            fleet.clock.now += 0.1
    assert sorted(claim.rows for claim in claims) == cut([Range(0, 99_999)])
    assert {claim.number for claim in claims} == {1}
    assert fleet.memory.operations["read"] == 0
    races_and_the_look_at_the_end = 3 * len(fleet.claimers) + 0.1 * len(claims)
    assert fleet.memory.operations.total() <= 3 * len(claims) + races_and_the_look_at_the_end


@pytest.mark.parametrize("workers", [1, 4, 12])
@pytest.mark.parametrize("seconds", [0.002, 0.02])
def test_workers_whose_ranges_take_no_time_rarely_want_the_same(workers: int, seconds: float) -> None:
    fleet = Fleet(cut([Range(0, 999_999)]), workers)
    claims = 0
    while working := [claimer for claimer in fleet.claimers if not claimer.in_tail]:
        for claimer in working:
            if (claim := claimer.claim()) is not None:
                claimer.note(claim, Step.DONE, len(claim.rows), 0)
                claims += 1
                fleet.clock.now += seconds
    assert claims == len(cut([Range(0, 999_999)]))
    looks_at_the_end = 3 * workers
    assert fleet.memory.operations.total() <= 3 * claims + looks_at_the_end
    assert fleet.memory.operations["create"] <= 1.5 * claims


def test_twelve_workers_that_start_at_once_get_different_ranges() -> None:
    fleet = Fleet(cut([Range(0, 999)]), 12)
    claims = [claimer.claim() for claimer in fleet.claimers]
    assert len({claim.rows for claim in claims if claim is not None}) == 12


def test_two_hundred_workers_without_work_cost_less_than_fifty_operations_a_second() -> None:
    step, seconds, segments = 1.0, 80.0, 3
    fleet = Fleet([Range(at, at) for at in range(200 * segments)], 200)
    held = [claim for _ in range(200 * segments) if (claim := fleet.claimers[0].claim()) is not None]
    for claim in held:
        if claim.rows.first % 200:
            fleet.claimers[0].note(claim, Step.DONE, 1, 0)
    fleet.memory.operations.clear()
    counts: list[int] = []
    while len(counts) * step < seconds:
        before = fleet.memory.operations.total()
        tick = len(counts)
        for number, claimer in enumerate(fleet.claimers[1:], 1):
            assert claimer.claim() is None
            if (tick + number) % int(IDLE_PULSE_SECONDS / step) == 0:
                fleet.pulse(fleet.names[number])
            if (tick + number) % int(2 * max(MARKS_SECONDS, 200 / WORKERS_A_SECOND) / step) == 0:
                fleet.memory.operations["list"] += 1
        if tick % int(PULSE_SECONDS / step) == 0:
            fleet.pulse(fleet.names[0])
        fleet.clock.now += step
        counts.append(fleet.memory.operations.total() - before)
    settled = counts[int(SLOWEST / step) :]
    assert sum(settled) / (len(settled) * step) < 50
    for claim in held:
        fleet.claimers[0].note(claim, Step.DONE, 1, 0)
    began = fleet.clock.now
    while not all(claimer.board.is_finished for claimer in fleet.claimers):
        fleet.clock.now += step
        for claimer in fleet.claimers:
            claimer.claim()
    assert fleet.clock.now - began <= 30


def test_rows_of_a_dead_worker_are_claimed_again_and_those_of_a_slow_one_are_not() -> None:
    fleet = Fleet([Range(0, 9), Range(10, 19)], 3)
    dead, slow, idle = fleet.claimers
    first, second = dead.claim(), slow.claim()
    assert first is not None
    assert second is not None
    again = None
    began = fleet.clock.now
    while again is None:
        fleet.clock.now += 1
        if int(fleet.clock.now) % int(PULSE_SECONDS) == 0:
            fleet.pulse(fleet.names[1])
            fleet.pulse(fleet.names[2])
        again = idle.claim()
        assert fleet.clock.now - began < 2 * STILL_SECONDS
    assert fleet.clock.now - began >= STILL_SECONDS
    assert (again.rows, again.number, again.died) == (first.rows, 2, 1)
    assert not dead.is_mine(first)
    assert slow.is_mine(second)


def test_an_outage_for_all_is_nobodys_death() -> None:
    fleet = Fleet([Range(0, 9)], 2)
    assert fleet.claimers[0].claim() is not None
    fleet.clock.now += 1
    assert fleet.claimers[1].claim() is None
    fleet.clock.now += STILL_SECONDS + 1  # no look succeeds meanwhile
    fleet.claimers[1].watch.restart()
    assert fleet.claimers[1].claim() is None


def test_a_worker_of_this_machine_that_has_ended_is_dead_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet([Range(0, 9)], 2)
    assert fleet.claimers[0].claim() is not None
    monkeypatch.setattr(liveness, "machine", lambda: "00000000")
    monkeypatch.setattr(processes, "is_alive", lambda pid, started: False)  # noqa: ARG005
    fleet.clock.now += 2
    claim = fleet.claimers[1].claim()
    assert claim is not None
    assert (claim.number, claim.died) == (2, 1)


def test_what_was_cut_off_or_given_back_is_claimed_by_others() -> None:
    fleet = Fleet([Range(0, 99)], 2)
    one, other = fleet.claimers
    claim = one.claim()
    assert claim is not None
    one.note(claim, Step.CUT, 49, 99)
    rest = other.claim()
    assert rest is not None
    assert (rest.rows, rest.number) == (Range(50, 99), 1)
    other.note(rest, Step.FREE)
    fleet.clock.now += 30
    again = one.claim()
    assert again is not None
    assert (again.rows, again.number, again.died) == (Range(50, 99), 2, 0)

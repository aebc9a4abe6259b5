"""How many parts are read at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from scythe_cli.final_tables.read_budget import ReadBudget

DEADLINE = 60


def most_at_a_time(budget: ReadBudget, threads: int) -> int:
    """How many of some threads have room at a time; each leaves when no other can come."""
    inside, most = 0, 0
    changed = threading.Condition()

    def read() -> None:
        nonlocal inside, most
        with budget.room():
            with changed:
                inside += 1
                most = max(most, inside)
                changed.notify_all()
                changed.wait_for(lambda: most == threads, timeout=0.2)
            with changed:
                inside -= 1

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(read) for _ in range(threads)]:
            done.result(DEADLINE)
    return most


def test_large_objects_are_read_a_few_at_a_time() -> None:
    assert most_at_a_time(ReadBudget(64, expected=30), 6) == 2


def test_one_that_is_larger_than_the_budget_is_read() -> None:
    assert most_at_a_time(ReadBudget(64, expected=1000), 2) == 1


def test_small_objects_let_more_in() -> None:
    budget = ReadBudget(64, expected=30)
    for _ in range(20):
        budget.saw(1)
    assert most_at_a_time(budget, 6) == 6

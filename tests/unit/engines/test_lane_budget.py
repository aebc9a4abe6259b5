"""Experiments of one worker share its lanes."""

from __future__ import annotations

from scythe_cli.engines.generation.lane_budget import LaneBudget


def test_one_experiment_may_use_all_lanes() -> None:
    assert LaneBudget(8).ask("a", 0, 8, wants=True) == 8


def test_an_experiment_without_leaves_gets_none() -> None:
    assert LaneBudget(8).ask("a", 0, 8, wants=False) == 0


def test_lanes_that_others_use_are_not_given() -> None:
    budget = LaneBudget(8)
    budget.ask("a", 0, 8, wants=True)
    assert budget.ask("b", 0, 8, wants=True) == 0


def test_an_experiment_that_waits_gets_its_share_when_lanes_are_free() -> None:
    budget = LaneBudget(8)
    budget.ask("a", 0, 8, wants=True)
    budget.ask("b", 0, 8, wants=True)
    assert budget.ask("a", 3, 5, wants=True) == 1
    assert budget.ask("b", 0, 8, wants=True) == 4


def test_an_experiment_that_is_done_leaves_its_lanes_to_the_others() -> None:
    budget = LaneBudget(8)
    budget.ask("a", 0, 8, wants=True)
    budget.ask("a", 0, 8, wants=False)
    assert budget.ask("b", 0, 8, wants=True) == 8

"""Which generators a block makes without a seed, and what a lane does with them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from scythe_cli.lane.random_state import Unseeded


def drawn_before_and_after(make: Any, draw: Any) -> tuple[Any, Any]:
    """The same generator's next number, without and with a new seed between."""
    import copy

    unseeded = Unseeded()
    with unseeded.watch():
        generator = make()
    twin = copy.deepcopy(generator)
    unseeded.reseed()
    return draw(twin), draw(generator)


@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (np.random.default_rng, lambda g: g.random()),
        (np.random.RandomState, lambda g: g.rand()),
        (lambda: np.random.Generator(np.random.SFC64()), lambda g: g.random()),
        (random.Random, lambda g: g.random()),
        (np.random.SeedSequence, lambda g: g.generate_state(1)[0]),
    ],
)
def test_one_without_a_seed_gets_new_numbers(make: Any, draw: Any) -> None:
    before, after = drawn_before_and_after(make, draw)
    assert before != after


@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (lambda: np.random.default_rng(5), lambda g: g.random()),
        (lambda: np.random.RandomState(5), lambda g: g.rand()),
        (lambda: random.Random(5), lambda g: g.random()),
        (lambda: np.random.default_rng(2**127 + 1), lambda g: g.random()),
    ],
)
def test_one_with_a_seed_keeps_its_numbers(make: Any, draw: Any) -> None:
    before, after = drawn_before_and_after(make, draw)
    assert before == after


def test_a_seed_given_later_counts() -> None:
    unseeded = Unseeded()
    with unseeded.watch():
        generator = random.Random()
        generator.seed(5)
    unseeded.reseed()
    assert generator.random() == random.Random(5).random()


def test_nothing_is_watched_afterwards() -> None:
    seed = random.Random.seed
    with Unseeded().watch():
        assert random.Random.seed is not seed
    assert random.Random.seed is seed

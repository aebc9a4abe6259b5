"""How long specs may take, estimated from those that were measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from scythe_cli.order.expected import expected


def column(values: list[Any]) -> Any:
    return pa.chunked_array([pa.array(values)])


def test_specs_of_a_slow_kind_are_expected_to_be_slow() -> None:
    kinds = column(["slow", "quick"] * 20)
    found = expected([kinds], 40, np.arange(6), np.array([9.0, 1.0] * 3))
    assert set(np.flatnonzero(found > found.mean())) == set(range(0, 40, 2))


def test_the_effects_of_fields_add_up() -> None:
    rng = np.random.default_rng(0)
    kind, size = rng.integers(0, 3, 300), rng.random(300)
    seconds = 10.0 ** (kind + size)
    found = expected([column(list(map(str, kind))), column(size.tolist())], 300, np.arange(60), seconds[:60])
    rest = slice(60, None)
    assert np.corrcoef(found[rest], np.log(seconds[rest]))[0, 1] > 0.95


def test_a_measured_spec_counts_as_it_was() -> None:
    found = expected([column(["a", "a", "a"])], 3, np.array([1]), np.array([7.0]))
    assert found[1] == np.log(7.0)


def test_missing_values_and_names_of_their_own_do_not_hurt() -> None:
    names = column([f"case {at}" for at in range(80)])
    found = expected([names, column([None, 1.0] * 40)], 80, np.array([0, 1]), np.array([5.0, 1.0]))
    assert found[2] > found[3]


def test_a_model_without_fields() -> None:
    found = expected([], 3, np.array([2]), np.array([7.0]))
    assert found.tolist() == [np.log(7.0)] * 3

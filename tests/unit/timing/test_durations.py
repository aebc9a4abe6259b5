"""The median of many durations is counted in little memory."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from scythe_cli.core import layout
from scythe_cli.run.outcomes import DURATION
from scythe_cli.timing import durations
from scythe_cli.timing.durations import DurationCounter


def count(seconds: np.ndarray[tuple[int], np.dtype[np.float64]]) -> DurationCounter:
    """A counter that got them in blocks."""
    counter = DurationCounter()
    for first in range(0, len(seconds), 1000):
        block = seconds[first : first + 1000]
        numbers = pa.array(range(first, first + len(block)))
        counter.add(pa.table({layout.SORT_INDEX: numbers, DURATION: pa.array(block, from_pandas=True)}))
    return counter


def test_few_durations_have_their_exact_median() -> None:
    found = count(np.array([4.0, 1.0, 2.5, 3.0])).result()
    assert found is not None
    assert (found.median, found.slowest, found.slowest_spec, found.specs) == (2.75, 4.0, 0, 4)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 86_400.0])
def test_many_durations_have_the_median_to_one_in_four_thousand(scale: float) -> None:
    seconds = np.random.default_rng(1).lognormal(size=3 * durations.HELD + 17) * scale
    found = count(seconds).result()
    assert found is not None
    assert found.median == pytest.approx(np.median(seconds), rel=1 / 4096)
    assert (found.slowest, found.slowest_spec) == (float(seconds.max()), int(seconds.argmax()))
    assert found.specs == len(seconds)


def test_durations_out_of_range_count_at_the_ends() -> None:
    seconds = np.array([0.0, 1e-300, 1e300] * durations.HELD)
    found = count(seconds).result()
    assert found is not None
    assert (found.median, found.slowest) == (durations.LEAST, 1e300)


def test_specs_without_a_duration_do_not_count() -> None:
    assert count(np.array([np.nan, np.nan])).result() is None
    assert count(np.array([])).result() is None


def test_memory_does_not_grow_with_the_specs() -> None:
    counter = count(np.full(5 * durations.HELD, 0.1))
    assert sum(map(len, counter._seconds)) <= durations.HELD

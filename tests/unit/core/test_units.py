"""Durations, sizes and failure limits: what is read, what is refused, and that texts and numbers go round."""

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scythe_cli.core.units import MaxFailures, format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30),
        ("10m", 600),
        ("1h30m", 5400),
        ("2d", 172800),
        ("500ms", 0.5),
        ("1.5h", 5400),
        (45, 45),
        (0.25, 0.25),
        (timedelta(minutes=2), 120),
    ],
)
def test_a_duration_is_seconds(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    ["", "10", "10 m", "10 minutes", "m", "30s10m", "-5s", "1h 30m", "5M", -1, math.inf, math.nan, True, None, []],
)
def test_a_wrong_duration_is_refused_with_the_rule(written: object) -> None:
    with pytest.raises(ValueError, match=r"must be a duration such as 45 \(seconds\), 30s, 10m or 1h30m"):
        parse_duration(written)


@given(st.one_of(st.floats(0, 1e9), st.integers(0, 10**7).map(lambda n: n / 1000)))
def test_durations_go_round(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("written", "size"),
    [("4GiB", 4 << 30), ("500MB", 500_000_000), ("1.5 GiB", 3 << 29), ("10kb", 10_000), ("7B", 7), (4096, 4096)],
)
def test_a_size_is_bytes(written: object, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize("written", ["", "4", "4G", "GiB", "-4GiB", "4XB", 1.5, -1, True, None])
def test_a_wrong_size_is_refused_with_the_rule(written: object) -> None:
    with pytest.raises(ValueError, match="must be a size such as 500MB or 4GiB"):
        parse_size(written)


@given(st.integers(0, 10**21))
def test_sizes_go_round(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        (12, MaxFailures(count=12)),
        (0, MaxFailures(count=0)),
        ("5%", MaxFailures(percent=5.0)),
        ("0.5 %", MaxFailures(percent=0.5)),
        ("all", MaxFailures(off=True)),
        ("none", MaxFailures()),
        (None, MaxFailures()),
    ],
)
def test_a_limit_is_read_and_written(written: object, limit: MaxFailures) -> None:
    assert MaxFailures.parse(written) == limit
    assert MaxFailures.parse(limit.as_setting()) == limit


@pytest.mark.parametrize("written", ["5", "101%", "five", 0.05, -1, True, "-5%", []])
def test_a_wrong_limit_is_refused_with_the_rule(written: object) -> None:
    with pytest.raises(ValueError, match="must be a number of specs such as 12, a percentage such as 5%, all or none"):
        MaxFailures.parse(written)


@given(st.floats(0, 100))
def test_percentages_go_round(percent: float) -> None:
    assert MaxFailures.parse(MaxFailures(percent=percent).as_setting()) == MaxFailures(percent=percent)


@pytest.mark.parametrize(
    ("written", "failed", "finished", "exceeded"),
    [
        (3, 3, 3, False),
        (3, 4, 4, True),
        (0, 1, 1, True),
        ("5%", 19, 19, False),  # a percentage counts once 20 have finished
        ("5%", 1, 20, False),
        ("5%", 2, 20, True),
        ("0%", 1, 20, True),
        ("100%", 50, 50, False),
        ("all", 50, 50, False),
        (None, 50, 50, False),
        (3, 100, 100, False),  # nothing is left to stop
    ],
)
def test_a_limit_stops_a_run(written: object, failed: int, finished: int, exceeded: bool) -> None:
    assert MaxFailures.parse(written).exceeded(failed, finished, total=100) is exceeded


@pytest.mark.parametrize(
    ("written", "failed", "finished", "told"),
    [
        (3, 28, 40, "28 specs failed, more than max_failures (3) allows"),
        (0, 1, 1, "1 spec failed, more than max_failures (0) allows"),
        ("0.5%", 1200, 9000, "1,200 of 9,000 finished specs failed, more than max_failures (0.5%) allows"),
    ],
)
def test_what_is_exceeded_is_told_with_the_limit(written: object, failed: int, finished: int, told: str) -> None:
    assert MaxFailures.parse(written).message(failed, finished) == told

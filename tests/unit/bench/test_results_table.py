"""The page on costs shows what was measured, and each measurement can be started."""

from __future__ import annotations

from importlib import import_module

import pytest

from bench.__main__ import ALL
from bench.results_table import PAGE, figure, print_table, read_results, with_tables


def test_the_page_shows_the_results() -> None:
    page = PAGE.read_text()
    assert with_tables(page) == page, "python -m bench --table writes docs/performance.md again"


@pytest.mark.parametrize("name", ALL)
def test_each_measurement_has_a_main_and_says_what_it_is(name: str) -> None:
    module = import_module(f"bench.{name}")
    assert callable(module.main)
    assert (module.__doc__ or "").strip()


def test_what_missed_its_target_is_said_last(capsys: pytest.CaptureFixture[str]) -> None:
    missed = [row["measure"] for result in read_results().values() for row in result["rows"] if not row["met"]]
    assert print_table() == len(missed)
    last = capsys.readouterr().out.rpartition("targets were missed:")[2]
    assert all(measure in last for measure in missed)


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(0.8567, "x", "0.857x"), (504, "", "504"), (0.471, "GB", "0.471 GB"), (2700.4, "s", "2,700 s")],
)
def test_a_figure_has_three_digits_and_its_unit(value: float, unit: str, shown: str) -> None:
    assert figure({"value": value, "unit": unit}, "value") == shown

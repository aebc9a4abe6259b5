"""What failed specs have in common is told where it is rare elsewhere, and not where chance explains it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from scythe_cli.core import layout
from scythe_cli.failures.common_inputs import MOST_GROUPS, with_common_inputs
from scythe_cli.operations.failure_groups import Common, FailureGroup
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from pathlib import Path

N = 200


def run_with(folder: Path, columns: dict[str, Any]) -> Any:
    """A run of which there is nothing but its specs."""
    frame = pl.DataFrame({layout.SORT_INDEX: range(N), **columns})
    frame.write_parquet(folder / layout.SPECS)
    return SimpleNamespace(store=open_store(str(folder)), manifest=SimpleNamespace(index=frame.columns))


def group(specs: list[int]) -> FailureGroup:
    """Failures of these specs."""
    return FailureGroup("exception", "ValueError", "a.py:1", len(specs), specs[0], "no", 1, {}, "", "", specs=specs)


def common(run: Any, specs: list[int]) -> list[Common]:
    """What is found of one group."""
    (found,) = with_common_inputs(run, [group(specs)])
    return found.common


def test_a_value_that_only_failed_specs_have(tmp_path: Path) -> None:
    systems = ["heatpump" if at < 10 else "gas" for at in range(N)]
    run = run_with(tmp_path, {"system": systems, "floors": [at % 7 for at in range(N)]})
    (found,) = with_common_inputs(run, [group(list(range(10)))])
    assert found.common == [Common("system", value="heatpump", share=1.0)]
    assert (found.failed_such, found.such) == (10, 10)


def test_a_value_that_nearly_all_failed_specs_have(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"system": ["heatpump" if at < 10 else "gas" for at in range(N)]})
    assert common(run, [*range(9), 150]) == [Common("system", value="heatpump", share=0.9)]


def test_a_range_that_only_failed_specs_are_in(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"u_value": [at / 100 for at in range(N)]})
    assert common(run, list(range(190, 200))) == [Common("u_value", low=1.9, high=1.99)]


@pytest.mark.parametrize(
    ("columns", "specs"),
    [
        pytest.param({"system": ["gas"] * N}, [1, 5, 9], id="a value that all specs have"),
        pytest.param({"u_value": [at / 100 for at in range(N)]}, [0, 100, 199], id="a range of all specs"),
        pytest.param({"system": ["heatpump", "gas"] * (N // 2)}, [3, 4], id="two specs that differ"),
        pytest.param({"notes": [[at] for at in range(N)]}, [0, 1, 2], id="lists"),
        pytest.param({"system": [None] * N}, [0, 1, 2], id="no values"),
        pytest.param({"system": ["heatpump" if at < 10 else "gas" for at in range(N)]}, [3], id="a group of one"),
    ],
)
def test_what_is_not_told(tmp_path: Path, columns: dict[str, Any], specs: list[int]) -> None:
    assert common(run_with(tmp_path, columns), specs) == []


def test_groups_past_the_first_ones_stay_as_they_are(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"system": ["heatpump" if at < 10 else "gas" for at in range(N)]})
    found = with_common_inputs(run, [group(list(range(10)))] * (MOST_GROUPS + 1))
    assert [bool(one.common) for one in found] == [True] * MOST_GROUPS + [False]


def test_groups_stay_as_they_are_where_the_specs_cannot_be_read(tmp_path: Path) -> None:
    run = run_with(tmp_path, {})
    (tmp_path / layout.SPECS).write_bytes(b"PAR1")
    groups = [group([0, 1])]
    assert with_common_inputs(run, groups) == groups

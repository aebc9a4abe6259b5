"""Designs: bounds kept, choices balanced, smaller designs at the beginning of larger ones, the same for a seed."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from scythe_cli import ExperimentInputSpec, FileReference
from scythe_cli.core import extras
from scythe_cli.designs.design import Design, make_design
from scythe_cli.errors import ConfigError
from scythe_cli.experiment.settings import DesignSettings

SAMPLED = ("sobol", "halton", "lhs", "random")
NESTED = ("sobol", "halton", "random")


class Glazing(Enum):
    SINGLE = "single"
    DOUBLE = "double"


class Wall(ExperimentInputSpec):
    r_value: float = Field(ge=0.5, le=10)
    share: float = Field(gt=0, lt=1)
    floors: int = Field(ge=1, le=3)
    economizer: Literal["NoEconomizer", "DifferentialDryBulb"]
    glazing: Glazing
    heated: bool
    extra: float | None = Field(ge=1, le=2)
    month: int = 1


class Office(ExperimentInputSpec):
    lpd: float = Field(ge=0)
    opened: dt.date
    weather_file: FileReference


def design(
    method: Any = "sobol", n: int | None = 16, model: Any = Wall, base: Path = Path(), **sections: Any
) -> Design:
    return make_design(model, DesignSettings(design=method, n=n, **sections), base)


def refused(*args: Any, **sections: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        design(*args, **sections)
    return caught.value.message


@pytest.mark.parametrize("method", SAMPLED)
def test_bounds_of_the_model_are_kept(method: str) -> None:
    table = design(method, 64).table
    assert table["r_value"].is_between(0.5, 10).all()
    assert table["share"].is_between(0, 1, closed="none").all()
    assert table["extra"].is_between(1, 2).all()
    assert set(table["floors"]) == {1, 2, 3}


@pytest.mark.parametrize("method", SAMPLED)
def test_n_counts_points(method: str) -> None:
    assert design(method, 11).table.height == 11


@pytest.mark.parametrize("method", [*SAMPLED, "morris", "saltelli"])
def test_every_row_is_an_instance_of_the_model(method: str) -> None:
    rows = design(method, 4).table.to_dicts()
    assert [Wall(**row).floors for row in rows] == [row["floors"] for row in rows]


def test_fields_with_a_default_are_left_to_the_model() -> None:
    assert "month" not in design().table.columns


def test_columns_are_in_the_model_s_order() -> None:
    assert design(space={"month": [1, 12]}).table.columns == [
        *("r_value", "share", "floors", "economizer", "glazing", "heated", "extra", "month"),
    ]


@pytest.mark.parametrize("name", ["economizer", "glazing", "heated"])
def test_choices_are_balanced(name: str) -> None:
    counts = Counter(design("sobol", 64).table[name].to_list())
    assert set(counts.values()) == {32}


def test_whole_numbers_have_no_bias_at_the_ends() -> None:
    counts = Counter(design("sobol", 1024, space={"month": [1, 4]}).table["month"].to_list())
    assert counts == {1: 256, 2: 256, 3: 256, 4: 256}


@pytest.mark.parametrize("method", NESTED)
@given(small=st.integers(1, 40), more=st.integers(0, 40), seed=st.integers(0, 99))
def test_a_larger_design_begins_with_the_smaller(method: str, small: int, more: int, seed: int) -> None:
    head = design(method, small, seed=seed).table
    assert design(method, small + more, seed=seed).table.head(small).equals(head)


def test_a_larger_design_begins_with_the_smaller_also_when_crossed() -> None:
    small = design("sobol", 4, cross={"month": [1, 7]}).table
    assert design("sobol", 8, cross={"month": [1, 7]}).table.head(8).equals(small)


def test_lhs_says_that_a_larger_one_has_other_points() -> None:
    assert design("lhs", 8).notes == [
        "a larger lhs design has other points; to add points later, use sobol, halton or random"
    ]


@pytest.mark.parametrize("method", [*SAMPLED, "morris", "saltelli"])
def test_the_same_seed_gives_the_same_points(method: str) -> None:
    assert design(method, 8, seed=3).table.equals(design(method, 8, seed=3).table)


@pytest.mark.parametrize("method", SAMPLED)
def test_another_seed_gives_other_points(method: str) -> None:
    assert not design(method, 8, seed=3).table.equals(design(method, 8, seed=4).table)


def test_a_number_that_is_not_a_power_of_two_gets_a_note() -> None:
    note = "n = 100 is not a power of two: a sobol design is balanced at 64 or 128 points"
    assert (design("sobol", 100).notes, design("sobol", 128).notes) == ([note], [])


@given(mean=st.floats(-5, 15), std=st.floats(3, 20))
def test_a_distribution_is_cut_to_the_bounds(mean: float, std: float) -> None:
    table = design("sobol", 64, space={"r_value": {"normal": {"mean": mean, "std": std}}}).table
    assert table["r_value"].is_between(0.5, 10).all()


@pytest.mark.parametrize(
    ("law", "mean"),
    [
        ({"normal": {"mean": 5, "std": 0.5}}, 5),
        ({"lognormal": {"mean": 5, "std": 0.5}}, 5),
        ({"uniform": {"low": 2, "high": 4}}, 3),
        ({"triangular": {"low": 1, "mode": 2, "high": 6}}, 3),
    ],
)
def test_a_distribution_has_its_mean(law: dict[str, Any], mean: float) -> None:
    found = design("sobol", 4096, space={"r_value": law}).table["r_value"].to_numpy().mean()
    assert math.isclose(found, mean, rel_tol=0.01)


def test_whole_numbers_may_follow_a_distribution() -> None:
    table = design("sobol", 512, space={"floors": {"normal": {"mean": 2, "std": 1}}}).table
    counts = Counter(table["floors"].to_list())
    assert set(counts) == {1, 2, 3}
    assert counts[2] > counts[1]


def test_levels_are_taken_as_they_are() -> None:
    table = design("sobol", 8, space={"r_value": {"levels": [1.5, 2.5]}}).table
    assert set(table["r_value"]) == {1.5, 2.5}


def test_a_grid_has_every_combination() -> None:
    space = {name: {"levels": [1.0]} for name in ("r_value", "extra")} | {"share": {"levels": [0.2, 0.4]}}
    assert design("grid", None, space=space).table.height == 2 * 3 * 2 * 2 * 2


def test_a_grid_needs_levels() -> None:
    assert "specs.space.r_value: a grid needs levels: write r_value: {levels: [1.0, 2.0]}" in refused("grid", None)


def test_one_at_a_time_changes_one_field_in_each_row() -> None:
    rows = design("one_at_a_time", None).table.to_dicts()
    changed = [sum(row[name] != rows[0][name] for name in row) for row in rows]
    assert changed == [0] + [1] * (len(rows) - 1)


def test_one_at_a_time_goes_to_both_ends() -> None:
    assert set(design("one_at_a_time", None).table["r_value"]) == {0.5, 5.25, 10.0}


def test_one_at_a_time_has_the_levels_of_one_field_after_those_of_another() -> None:
    space = {"r_value": {"levels": [1.0, 2.0, 3.0]}, "floors": [1, 3]}
    fixed = {"share": 0.5, "economizer": "NoEconomizer", "glazing": "single", "heated": True, "extra": 1.0}
    table = design("one_at_a_time", None, space=space, fixed=fixed).table
    assert table["r_value"].to_list() == [2.0, 1.0, 3.0, 2.0, 2.0]
    assert table["floors"].to_list() == [2, 2, 2, 1, 3]


def test_one_at_a_time_of_a_wide_range_is_refused_before_its_levels_are_listed() -> None:
    class Wide(ExperimentInputSpec):
        seed: int = Field(ge=0, le=10**12)

    message = "specs.design: the design has 1,000,000,000,001 specs; at most 100,000,000 are made"
    assert refused("one_at_a_time", None, Wide) == message


@pytest.mark.parametrize("method", ["sobol", "halton", "lhs", "random", "morris", "saltelli"])
def test_a_sampled_design_needs_a_field_that_varies(method: str) -> None:
    class Months(ExperimentInputSpec):
        month: int

    only = "name one here, or take the design grid, which has each combination of cross once"
    message = f"specs.space: no field varies for the {method} design: {only}"
    assert refused(method, 8, Months, cross={"month": [1, 7]}) == message
    assert design("grid", None, Months, cross={"month": [1, 7]}).table["month"].to_list() == [1, 7]


def test_a_cross_multiplies_the_points(tmp_path: Path) -> None:
    for name in ("chicago.epw", "miami.epw"):
        (tmp_path / name).write_text(name)
    table = design(
        model=Office,
        n=4,
        base=tmp_path,
        space={"lpd": [0, 10], "opened": ["2026-01-01", "2026-12-31"]},
        cross={"weather_file": "*.epw"},
    ).table
    assert table["weather_file"].to_list() == ["chicago.epw", "miami.epw"] * 4
    assert table["lpd"].n_unique() == 4
    assert table["opened"].dtype == pl.Date


def test_a_fixed_value_is_in_every_row() -> None:
    assert set(design(fixed={"month": 6}).table["month"]) == {6}


def test_the_record_makes_the_table_again() -> None:
    first = design("halton", 9, seed=5, space={"r_value": [1, 2]})
    record = first.record
    again = design(record["method"], record["n"], seed=record["seed"], space=record["space"])
    assert again.table.equals(first.table)
    assert set(record["versions"]) == {"numpy", "scipy"}


def test_saltelli_and_morris_say_how_many_points_they_make() -> None:
    assert design("morris", 3).table.height == 3 * 8
    assert design("saltelli", 4).notes == ["saltelli makes 64 points of n = 4"]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"space": {"r_valu": [1, 2]}}, "specs.space.r_valu is not a field of the model. Did you mean 'r_value'?"),
        ({"space": {"r_value": [1, 20]}}, "specs.space.r_value: 20 is not a value of the field: "),
        ({"space": {"r_value": [2, 1]}}, "specs.space.r_value: 2 is not below 1"),
        ({"space": {"r_value": [1, 2, 3]}}, "for single values write {levels: [1, 2, 3]}"),
        ({"space": {"r_value": 4}}, "specs.space.r_value is 4: write [low, high]"),
        ({"space": {"r_value": {"levels": [1, 99]}}}, "specs.space.r_value.levels: 99 is not a value of the field"),
        ({"space": {"r_value": {"levels": []}}}, "levels must be a list of values"),
        ({"space": {"r_value": {"levels": [1, 1]}}}, "a level is given twice"),
        ({"space": {"r_value": {"nomal": {}}}}, "'nomal' is not a distribution. Did you mean 'normal'?"),
        ({"space": {"r_value": {"normal": {"mean": 1}}}}, "normal takes mean and std: write {normal: {mean: 1.0, std"),
        ({"space": {"r_value": {"normal": {"mean": 1, "std": 0}}}}, "std must be above 0"),
        ({"space": {"r_value": {"normal": {"mean": 9e9, "std": 1}}}}, "no values within the field's bounds, 0.5 to 10"),
        ({"fixed": {"month": "May"}}, "specs.fixed.month: 'May' is not a value of the field"),
        ({"fixed": {"month": 1}, "space": {"month": [1, 2]}}, "specs.fixed.month is under space too"),
        ({"cross": {"month": []}}, "specs.cross.month must be a list of values"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(sections: dict[str, Any], message: str) -> None:
    assert message in refused(**sections)


def test_a_field_without_bounds_is_named_with_how_to_give_them() -> None:
    message = refused(model=Office)
    assert "specs.space.lpd: the field has no bounds in the model: write lpd: [low, high]" in message
    assert "specs.space.weather_file: a file has no bounds: name files, as in cross:" in message


def test_a_cross_of_no_files_is_refused(tmp_path: Path) -> None:
    space = {"lpd": [0, 1], "opened": ["2026-01-01", "2026-02-01"]}
    message = refused(model=Office, base=tmp_path, space=space, cross={"weather_file": "*.epw"})
    assert message == f"specs.cross.weather_file: no file matches '*.epw' in {tmp_path}"


def test_n_is_needed_by_what_samples_and_refused_by_what_lists() -> None:
    assert refused("halton", None) == "specs.n is missing: how many points the halton design has, as in n: 64"
    assert "leave n out" in refused("grid", 8)


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name=name.partition(".")[0])

    monkeypatch.setattr(extras, "import_module", absent)
    assert refused() == "a design of specs needs scipy, which is not installed: pip install 'scythe-runner[design]'"


def test_points_are_spread_evenly() -> None:
    """A coarse check that columns are columns: each of 16 equal bins of a sobol design of 64 has 4 points."""
    shares = (design("sobol", 64).table["r_value"].to_numpy() - 0.5) / 9.5
    assert set(np.bincount((shares * 16).astype(int)).tolist()) == {4}

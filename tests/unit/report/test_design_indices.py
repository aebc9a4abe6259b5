"""The indices of morris and saltelli designs: of functions whose indices are known. No run is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scythe_cli.designs.points import sampled_points
from scythe_cli.report.design_indices import DesignOutputs
from scythe_cli.report.rows import ReportBlock

FIELDS = ["a", "b", "c"]


def design(method: str, n: int, points: int) -> dict[str, Any]:
    return {"method": method, "n": n, "seed": 3, "points": points, "space": {name: [0.0, 10.0] for name in FIELDS}}


def chunk(inputs: np.ndarray, output: np.ndarray, rows: np.ndarray) -> ReportBlock:
    return ReportBlock(
        block=0,
        rows=rows,
        inputs=[inputs[:, at] for at in range(inputs.shape[1])],
        outputs=[output],
        failed=~np.isfinite(output),
        durations=np.ones(len(rows)),
        specs=None,
        outcomes=None,
    )


def indices(method: str, n: int, *, repeats: int = 1, lost: int = 0, twisted: bool = False) -> Any:
    """Of y = 3 a + b b over 0 to 1, at points that are `repeats` times in the table."""
    unit = sampled_points(method, 3, n, 3)
    points = np.repeat(unit, repeats, axis=0)
    output = 3 * points[:, 0] + points[:, 1] ** 2
    output[:lost] = np.nan
    made = DesignOutputs(design(method, n, len(unit)), len(points), FIELDS, [0])
    inputs = 10 * (points[::-1] if twisted else points)
    for rows in np.array_split(np.arange(len(points)), 3):
        made.add(chunk(inputs[rows], output[rows], rows))
    return made.indices(), made.notes


@pytest.mark.parametrize("repeats", [1, 2])
def test_saltelli_gives_the_shares_of_the_variance(repeats: int) -> None:
    """Var(3 a) = 9 / 12, Var(b b) = 4 / 45: shares 0.894 and 0.106."""
    found, notes = indices("saltelli", 512, repeats=repeats)
    assert notes == []
    assert found[0]["a"]["S1"] == pytest.approx(0.894, abs=0.03)
    assert found[0]["b"]["ST"] == pytest.approx(0.106, abs=0.03)
    assert found[0]["c"]["ST"] == pytest.approx(0.0, abs=1e-9)
    assert set(found[0]["a"]) == {"S1", "S1_conf", "ST", "ST_conf"}


def test_morris_gives_the_effects_over_the_whole_range() -> None:
    found, notes = indices("morris", 20)
    assert notes == []
    assert found[0]["a"]["mu_star"] == pytest.approx(3.0)
    assert found[0]["a"]["sigma"] == pytest.approx(0.0, abs=1e-9)
    assert found[0]["b"]["mu_star"] == pytest.approx(1.0, abs=0.3)
    assert found[0]["b"]["sigma"] > 0.1
    assert found[0]["c"]["mu_star"] == 0


@pytest.mark.parametrize("method", ["saltelli", "morris"])
def test_sets_with_a_failed_spec_are_left_out_as_a_whole(method: str) -> None:
    whole, _ = indices(method, 64)
    some, notes = indices(method, 64, lost=3)
    assert notes == []
    assert some[0].keys() == whole[0].keys()
    key = "S1" if method == "saltelli" else "mu_star"
    assert some[0]["a"][key] == pytest.approx(whole[0]["a"][key], abs=0.1)


def test_too_few_whole_sets_are_no_indices_and_a_note() -> None:
    found, notes = indices("morris", 4, lost=5)
    assert found == {}
    assert notes == ["too few complete sets of specs for morris indices"]


def test_a_table_that_the_design_did_not_make_is_noticed() -> None:
    found, notes = indices("saltelli", 64, twisted=True)
    assert found == {}
    assert notes == ["the specs are not those of the saltelli design: no saltelli indices"]


def test_a_part_of_a_design_and_other_designs_have_none() -> None:
    part = DesignOutputs(design("morris", 20, 80), 79, FIELDS, [0])
    assert part.indices() == {}
    assert part.notes == ["the run does not have all specs of its morris design: no morris indices"]
    assert DesignOutputs(design("sobol", 64, 64), 64, FIELDS, [0]).indices() == {}
    assert DesignOutputs(None, 64, FIELDS, [0]).notes == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"points": "many"},
        {"points": 0},
        {"n": 10**12},
        {"seed": -1},
        {"seed": "x"},
        {"space": ["a"]},
        {"space": None},
        {"method": ["morris"]},
    ],
)
def test_a_manifest_that_somebody_wrote_is_no_crash(wrong: dict[str, Any]) -> None:
    made = DesignOutputs(design("morris", 20, 80) | wrong, 80, FIELDS, [0])
    made.add(chunk(np.zeros((80, 3)), np.zeros(80), np.arange(80)))
    assert made.indices() == {}

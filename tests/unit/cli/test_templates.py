"""The templates of `scythe init`: `examples/` links to them, and what they compute is right."""

import csv
import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
TEMPLATES = ROOT / "scythe_cli" / "templates"


@pytest.mark.parametrize("template", ["minimal", "energy"])
def test_an_example_is_its_template(template: str) -> None:
    assert (ROOT / "examples" / template).resolve() == TEMPLATES / template


@pytest.fixture(scope="module")
def epidemic() -> ModuleType:
    spec = importlib.util.spec_from_file_location("epidemic", TEMPLATES / "minimal" / "epidemic.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["epidemic"] = module
    spec.loader.exec_module(module)
    return module


def cases() -> list[dict[str, Any]]:
    with (TEMPLATES / "minimal" / "specs.csv").open(newline="") as table:
        return list(csv.DictReader(table))


def test_the_minimal_template_has_24_cases() -> None:
    assert len(cases()) == 24


@pytest.mark.parametrize("case", cases(), ids=lambda case: " ".join(case.values()))
def test_an_epidemic_ends_at_the_final_size(epidemic: ModuleType, case: dict[str, Any]) -> None:
    """The final size relation of the SIR model, ln(s0 / s) = r0 (1 - vaccinated - s), exact when the last i is 0."""
    spec = epidemic.EpidemicInput(**case)
    wave = epidemic.simulate_epidemic(spec)
    susceptible = 1 - spec.vaccinated - wave.attack_rate
    exact = math.log((1 - spec.vaccinated - epidemic.FIRST) / susceptible)
    assert exact == pytest.approx(spec.r0 * wave.attack_rate, rel=1e-3, abs=2e-5)
    assert wave.peak_day < wave.duration


def test_a_disease_that_cannot_spread_has_no_wave(epidemic: ModuleType) -> None:
    wave = epidemic.simulate_epidemic(epidemic.EpidemicInput(r0=2, infectious_period=5, vaccinated=0.6))
    assert (wave.peak_day, wave.peak_prevalence) == (0, epidemic.FIRST)

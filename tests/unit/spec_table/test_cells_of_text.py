"""Cells that mean a number in a way of their own: looked up by a validator, decimal commas of an Enum, flags."""

from __future__ import annotations

from enum import Enum, IntFlag
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BeforeValidator, create_model, model_validator
from spec_tables import made_again, refused, write

from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.experiment.settings import SpecsFile
from scythe_cli.spec_table.read import read_specs

WALLS = {"brick_wall": 0.5, "glass": 2.0}


class Wall(ExperimentInputSpec):
    u: Annotated[float, BeforeValidator(lambda cell: WALLS.get(cell, cell))]


class WallOfRow(ExperimentInputSpec):
    u: float

    @model_validator(mode="before")
    @classmethod
    def _look_up(cls, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "u": WALLS.get(row["u"], row["u"])}


class Checked(ExperimentInputSpec):
    @model_validator(mode="after")
    def _same(self) -> Checked:
        return self


class Share(float, Enum):
    HALF = 0.5
    MORE = 1.5


class Rights(IntFlag):
    READ = 1
    WRITE = 2


def having(base: Any, **fields: Any) -> Any:
    """A model with some fields."""
    return create_model("Having", __base__=base, **fields)


@pytest.mark.parametrize("model", [Wall, WallOfRow])
def test_a_validator_may_look_up_a_name_with_an_underscore(tmp_path: Path, model: Any) -> None:
    specs = read_specs(write(tmp_path, "u\nbrick_wall\nglass\n3.5\n"), model)
    assert [spec.u for spec in made_again(specs)] == [0.5, 2.0, 3.5]
    assert refused(write(tmp_path, "u\n1_000\n"), model)[0] == (
        "specs.csv:2  u = '1_000': must be a number, without _ between its digits"
    )


@pytest.mark.parametrize("base", [ExperimentInputSpec, Checked])
def test_a_decimal_comma_is_read_in_an_enum_of_numbers(tmp_path: Path, base: Any) -> None:
    model = having(base, share=(Share, ...), x=(float, ...))
    write(tmp_path, "share;x\n0,5;1,25\n1,5;2\n")
    specs = read_specs(SpecsFile(file="specs.csv", separator=";", decimal=","), model, base=tmp_path)
    assert [(spec.share, spec.x) for spec in made_again(specs)] == [(Share.HALF, 1.25), (Share.MORE, 2.0)]


@pytest.mark.parametrize("base", [ExperimentInputSpec, Checked])
def test_a_combination_of_flags_is_read_from_text(tmp_path: Path, base: Any) -> None:
    model = having(base, rights=(Rights, ...))
    specs = read_specs(write(tmp_path, "rights\n1\n3\n0\n"), model)
    assert [spec.rights for spec in made_again(specs)] == [Rights.READ, Rights.READ | Rights.WRITE, Rights(0)]

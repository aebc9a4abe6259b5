"""The names of columns against the names and aliases of fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unicodedata import normalize

import pyarrow as pa
import pytest
from pydantic import AliasChoices, ConfigDict, Field, model_validator
from spec_tables import made_again, refused, write

from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.experiment.settings import SpecsFile
from scythe_cli.spec_table.read import read_specs


class Glass(ExperimentInputSpec):
    u_value: float = Field(alias="U-Value")


class GlassByName(ExperimentInputSpec):
    model_config = ConfigDict(populate_by_name=True)

    u_value: float = Field(alias="U-Value")


@pytest.mark.parametrize("model", [Glass, GlassByName])
def test_the_alias_and_the_name_of_one_field_are_one_column(tmp_path: Path, model: type[ExperimentInputSpec]) -> None:
    wanted = "columns 'U-Value' and 'u_value' are both the field u_value: delete one of them"
    assert refused(write(tmp_path, "U-Value,u_value\n1,2\n3,4\n"), model)[0] == f"specs.csv  {wanted}"
    assert refused(pa.table({"U-Value": [1.0], "u_value": [2.0]}), model)[0] == f"specs  {wanted}"
    assert refused([{"U-Value": 1.0}, {"u_value": 2.0}], model)[0] == f"specs  {wanted}"


class Tall(ExperimentInputSpec):
    höhe: float  # noqa: PLC2401 - what people write
    µ: float  # noqa: PLC2401 - Python itself makes the Greek letter of the micro sign


def test_names_are_compared_as_python_compares_them(tmp_path: Path) -> None:
    header = f"{normalize('NFD', 'höhe')},\u00b5\n"
    table = read_specs(write(tmp_path, header + "1,2\n"), Tall).table
    assert table.column_names == ["sort_index", "höhe", normalize("NFKC", "\u00b5")]
    lines = refused(write(tmp_path, "höhe," + header + "1,2,3\n"), Tall)
    assert lines[0].endswith("are both the field höhe: delete one of them")


class Choices(ExperimentInputSpec):
    u: float = Field(validation_alias=AliasChoices("u-val", "uval"))


class CheckedChoices(Choices):
    xs: list[int] = Field(default_factory=list)

    @model_validator(mode="after")
    def _same(self) -> CheckedChoices:
        return self


@pytest.mark.parametrize("model", [Choices, CheckedChoices])
@pytest.mark.parametrize("name", ["u-val", "uval"])
def test_every_alias_of_a_field_is_a_name_of_its_column(tmp_path: Path, model: Any, name: str) -> None:
    for given in [write(tmp_path, f"{name}\n1\n"), [{name: 1.0}]]:
        assert [spec.u for spec in made_again(read_specs(given, model))] == [1.0]


def test_excels_line_about_the_separator_says_what_to_write(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeffsep=;\r\nhöhe;µ\r\n1;2\r\n")
    assert refused(path, Tall) == [
        "specs.csv begins with `sep=;`, a line for Excel alone: delete it, and write "
        '`specs: {file: specs.csv, separator: ";"}`'
    ]
    assert refused(SpecsFile(file=str(path), separator=";"), Tall) == [
        "specs.csv begins with `sep=;`, a line for Excel alone: delete it"
    ]


class Wide(ExperimentInputSpec):
    model_config = ConfigDict(extra="allow")

    a: int


def test_a_column_with_a_name_of_ours_is_refused(tmp_path: Path) -> None:
    wanted = "specs.csv  column '_given' has a name that scythe uses itself: rename it"
    assert refused(write(tmp_path, "a,_given\n1,2\n"), Wide)[0] == wanted

"""Models whose fields have other names in a table: an alias generator, a path as an alias."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasPath, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from spec_tables import made_again, refused, write

from scythe_cli.columns.rows import make_specs
from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.spec_table.read import read_specs


class Camel(ExperimentInputSpec):
    model_config = ConfigDict(alias_generator=to_camel)

    wall_area: float
    costs: list[Decimal] = Field(default_factory=list)


class CamelByName(Camel):
    model_config = ConfigDict(populate_by_name=True)


class CheckedCamel(Camel):
    @model_validator(mode="after")
    def _same(self) -> CheckedCamel:
        return self


@pytest.mark.parametrize("model", [Camel, CamelByName, CheckedCamel])
def test_an_alias_generator_leaves_the_ids_alone(tmp_path: Path, model: type[Camel]) -> None:
    path = write(tmp_path, 'sort_index,wallArea,costs\n4,1.5,"[1]"\n2,2.5,\n')
    specs = read_specs(path, model)
    ids = {"experiment_id": "a/v1", "root_workflow_run_id": "r"}
    made: list[Any] = make_specs(specs.table, model, ids)
    assert [(one.sort_index, one.wall_area, one.costs) for one in made] == [(2, 2.5, []), (4, 1.5, [Decimal(1)])]
    assert {one.experiment_id for one in made} == {"a/v1"}
    assert [one.wall_area for one in made_again(specs)] == [2.5, 1.5]
    assert [one.sort_index for one in made_again(read_specs(made, model))] == [2, 4]


class Inside(ExperimentInputSpec):
    a: int = Field(validation_alias=AliasPath("p", "a"))


class InsideList(Inside):
    xs: list[int] = Field(default_factory=list)


class InsideByName(Inside):
    model_config = ConfigDict(populate_by_name=True)

    xs: list[int] = Field(default_factory=list)


@pytest.mark.parametrize("model", [Inside, InsideList])
def test_an_alias_inside_of_another_value_is_refused(tmp_path: Path, model: type[Inside]) -> None:
    made = model.model_validate({"p": {"a": 1}})
    for given in [write(tmp_path, "a\n2\n"), [made]]:
        (line, _) = refused(given, model)
        assert line.endswith(
            f"field a of {model.__name__} has the alias AliasPath(path=['p', 'a']), and a column cannot be inside of "
            "another: give it an alias of text, such as Field(alias='a')"
        )


def test_an_alias_inside_of_another_value_is_not_needed_where_the_name_is_read(tmp_path: Path) -> None:
    assert [one.a for one in made_again(read_specs(write(tmp_path, "a\n2\n"), InsideByName))] == [2]

"""The names of columns against the names and aliases of fields."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ConfigDict, Field
from spec_tables import refused, write

from scythe_cli.experiment.models import ExperimentInputSpec


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

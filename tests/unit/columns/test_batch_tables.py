"""A call's specs as a table, and the table that came back."""

from __future__ import annotations

import math
from typing import Any, Literal

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pydantic import Field, computed_field

from scythe_cli.columns.batch_tables import BadTable, OutputColumns, from_table, to_table
from scythe_cli.experiment.models import ExperimentInputSpec, ExperimentOutputSpec
from scythe_cli.experiment.signature import Form
from scythe_cli.run.outcomes import scalar_schema


class Case(ExperimentInputSpec):
    width: float
    use: Literal["office", "retail"]
    floors: int | None = None


class Size(ExperimentOutputSpec):
    area: float = Field(ge=0)
    floors_out: int | None = None
    tags: list[str] = Field(default_factory=list)
    note: str = "none"


class Doubled(ExperimentOutputSpec):
    area: float

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no property inside of it
    @property
    def twice(self) -> float:
        return 2 * self.area


class Plain(ExperimentOutputSpec):
    area: float = Field(ge=0)
    count: int = 1
    note: str | None = None


SPECS = pa.table(
    {
        "workflow_run_id": ["a", "b", "c"],
        "sort_index": [4, 5, 6],
        "width": [1.0, 2.0, 3.0],
        "use": ["office"] * 3,
        "floors": pa.array([1, None, 3]),
    }
)
INDEXES = pa.array([4, 5, 6])
AREAS = [1.0, 4.0, 9.0]


def read(value: Any, model: Any = Plain) -> OutputColumns:
    return from_table(value, INDEXES, model, scalar_schema(model))


@pytest.mark.parametrize(
    ("form", "kind"), [(Form.POLARS, pl.DataFrame), (Form.PYARROW, pa.Table), (Form.PANDAS, pd.DataFrame)]
)
def test_the_function_gets_its_own_kind_of_table(form: Form, kind: Any) -> None:
    table: Any = to_table(SPECS, Case, form)
    assert isinstance(table, kind)
    arrow: Any = pa.table(table)
    assert arrow.select(["sort_index", "width"]).to_pydict() == {"sort_index": [4, 5, 6], "width": [1.0, 2.0, 3.0]}
    assert arrow.column_names == ["sort_index", "width", "use", "floors"]


@pytest.mark.parametrize("made", [pl.DataFrame, pa.table, pd.DataFrame])
def test_a_table_of_any_library_becomes_columns(made: Any) -> None:
    found = read(made({"area": AREAS, "note": ["x", "y", "z"]}))
    assert found.needs_validation == []
    assert [column.to_pylist() for column in found.columns] == [AREAS, [1, 1, 1], ["x", "y", "z"]]


def test_types_that_hold_the_same_values_fit() -> None:
    narrow = pl.DataFrame({"area": [1, 4, 9], "count": [2.0, 3.0, 4.0]}, schema={"area": pl.Int32, "count": pl.Float32})
    found = read(narrow.with_columns(note=pl.Series(["a", "b", "a"], dtype=pl.Categorical)))
    assert found.needs_validation == []
    assert [column.to_pylist() for column in found.columns] == [AREAS, [2, 3, 4], ["a", "b", "a"]]


@pytest.mark.parametrize(
    "columns",
    [
        {"area": [1.0, -1.0, 9.0]},
        {"area": [1.0, math.nan, 9.0]},
        {"area": [1.0, None, 9.0]},
        {"area": AREAS, "count": [1.0, 1.5, 2.0]},
    ],
)
def test_only_a_row_that_does_not_fit_is_doubtful(columns: dict[str, list[float]]) -> None:
    assert read(pl.DataFrame(columns)).needs_validation == [1]


def test_text_for_a_number_is_the_models_to_judge() -> None:
    assert read(pl.DataFrame({"area": ["1", "4", "x"]})).needs_validation == [0, 1, 2]


def test_missing_whole_numbers_of_pandas_are_none() -> None:
    frame = pd.DataFrame({"area": AREAS, "floors_out": [1.0, math.nan, 3.0], "tags": [["a"], [], ["b"]]})
    found = read(frame, Size)
    assert found.columns[1].to_pylist() == [1, None, 3]
    assert found.given["floors_out"].to_pylist() == [1.0, None, 3.0]


def test_a_default_that_a_function_makes_is_the_models() -> None:
    assert read(pl.DataFrame({"area": AREAS}), Size).needs_validation == [0, 1, 2]


def test_computed_fields_are_the_models() -> None:
    assert read(pl.DataFrame({"area": AREAS}), Doubled).needs_validation == [0, 1, 2]


@pytest.mark.parametrize(
    ("value", "says", "splits"),
    [
        (None, "returned None, not a table", False),
        ([1, 2, 3], "returned builtins.list, not a table", False),
        (pl.DataFrame({"area": [1.0, 2.0]}), "returned 2 outputs for 3 specs", True),
        (pl.DataFrame({"aera": AREAS}), r"no column 'area', a field of Plain. Did you mean 'aera'\?", False),
        (pl.DataFrame({"area": AREAS, "dataframes": AREAS}), "frames need a function of a list", False),
        (pl.DataFrame({"area": AREAS, "sort_index": [5, 4, 6]}), "not in the order of the specs", False),
        (pd.DataFrame({"area": AREAS}, index=[2, 0, 1]), "its index is not 0, 1, 2", False),
        (pd.DataFrame([AREAS], index=["area"]).T.rename(columns={"area": 3}), "names are text", False),
    ],
)
def test_what_is_not_one_row_for_each_spec(value: Any, says: str, *, splits: bool) -> None:
    with pytest.raises(BadTable, match=says) as raised:
        read(value)
    assert raised.value.splits is splits


def test_the_inputs_may_come_back_too() -> None:
    table: Any = to_table(SPECS, Case, Form.POLARS)
    assert read(table.with_columns(area=pl.col("width") ** 2)).columns[0].to_pylist() == AREAS

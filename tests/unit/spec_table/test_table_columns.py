"""Arrow types of other programs: a UUID of DuckDB, JSON, booleans of a byte."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import create_model, model_validator
from spec_tables import made_again, refused

from scythe_cli.errors import TableError
from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.spec_table.read import read_specs
from scythe_cli.spec_table.readers.table_columns import refuse_periods


class Checked(ExperimentInputSpec):
    @model_validator(mode="after")
    def _same(self) -> Checked:
        return self


ONE = uuid.UUID("550e8400-e29b-41d4-a716-446655440001")
IDS = pa.array([ONE.bytes, None], pa.uuid())
LISTED = pa.ListArray.from_arrays([0, 1, 2], pa.array([ONE.bytes, ONE.bytes], pa.uuid()))


def having(kind: Any, base: Any = ExperimentInputSpec) -> Any:
    """A model with one field of a type."""
    return create_model("Having", __base__=base, a=(kind, ...))


def stored(kind: Any, storage: pa.Array[Any]) -> pa.Array[Any]:
    return pa.ExtensionArray.from_storage(kind, storage)


@pytest.mark.parametrize("base", [ExperimentInputSpec, Checked])
@pytest.mark.parametrize(
    ("kind", "column", "wanted"),
    [
        (uuid.UUID | None, IDS, [ONE, None]),
        (str | None, IDS, [str(ONE), None]),
        (uuid.UUID | None, pa.DictionaryArray.from_arrays(pa.array([None, 0, 0]), IDS.slice(0, 1)), [None, ONE, ONE]),
        (list[uuid.UUID], LISTED, [[ONE], [ONE]]),
        (dict[str, int], stored(pa.json_(), pa.array(['{"x": 1}'])), [{"x": 1}]),
        (bool, stored(pa.bool8(), pa.array([0, 1, 5], pa.int8())), [False, True, True]),
    ],
)
def test_an_extension_type_is_the_type_that_it_stands_for(
    tmp_path: Path, base: Any, kind: Any, column: Any, wanted: list[Any]
) -> None:
    model = having(kind, base)
    table = pa.table({"a": column})
    given: list[Any] = [table]
    if not pa.types.is_dictionary(column.type):  # pyarrow writes that and cannot read it
        pq.write_table(table, tmp_path / "a.parquet")
        given.append(tmp_path / "a.parquet")
    for one in given:
        assert [spec.a for spec in made_again(read_specs(one, model))] == wanted


def test_objects_of_polars_are_read_as_objects() -> None:
    model = having(Path)
    frame = pl.DataFrame({"a": pl.Series([Path("/x")], dtype=pl.Object)})
    assert read_specs(frame, model).table["a"].to_pylist() == ["/x"]


def test_periods_of_pandas_are_refused_whether_pandas_is_there_or_not(tmp_path: Path) -> None:
    wanted = "column 'a' has periods of pandas, which no column holds: give df['a'].astype(str), or .dt.to_timestamp()"
    frame = pd.DataFrame({"a": pd.period_range("2024-01", periods=2, freq="M")})
    frame.to_parquet(tmp_path / "a.parquet")
    noted = pa.field("a", pa.int64(), metadata={b"ARROW:extension:name": b"pandas.period"})
    for given in [frame, tmp_path / "a.parquet"]:
        [line] = refused(given, having(int))
        assert line.endswith(wanted)
    with pytest.raises(TableError, match="has periods of pandas"):
        refuse_periods(pa.schema([noted]), "specs")

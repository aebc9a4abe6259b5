"""The named index of a pandas frame is a column, in memory and in a file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from spec_tables import refused

from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.spec_table.read import read_specs


class Site(ExperimentInputSpec):
    a: int = 5
    b: float = 1.0
    path: Path | None = None


SPACED = pd.DataFrame({"b": [1.0, 2.0, 3.0]}, index=pd.RangeIndex(10, 40, 10, name="a"))


def test_an_index_of_evenly_spaced_numbers_is_a_column(tmp_path: Path) -> None:
    SPACED.to_parquet(tmp_path / "a.parquet")
    SPACED.to_feather(tmp_path / "a.feather")
    pq.write_table(pa.Table.from_pandas(SPACED), tmp_path / "groups.parquet", row_group_size=2)
    set_index = pd.DataFrame({"a": [10, 20, 30], "b": [1.0, 2.0, 3.0]}).set_index("a")
    files = ["a.parquet", "a.feather", "groups.parquet"]
    for given in [SPACED, set_index, pa.Table.from_pandas(SPACED), *files]:
        table = read_specs(given, Site, base=tmp_path).table
        assert table["a"].to_pylist() == [10, 20, 30]
        assert table["b"].to_pylist() == [1.0, 2.0, 3.0]
    assert read_specs(tmp_path / "a.parquet", Site, limit=2).table["a"].to_pylist() == [10, 20]


def test_each_file_of_a_folder_has_an_index_of_its_own(tmp_path: Path) -> None:
    SPACED.to_parquet(tmp_path / "1.parquet")
    (SPACED.iloc[::-1]).to_parquet(tmp_path / "2.parquet")
    assert read_specs(tmp_path, Site).table["a"].to_pylist() == [10, 20, 30, 30, 20, 10]


@pytest.mark.parametrize("rows", [[0, 1], [0, 1, 2, 0]])
def test_an_index_of_other_rows_is_refused(rows: list[int]) -> None:
    table = pa.Table.from_pandas(SPACED).take(pa.array(rows))
    assert refused(table, Site) == [
        "specs has other rows than the 3 for which pandas noted the index 'a': write the index as a column, with "
        "df.reset_index()"
    ]


def test_an_index_without_a_name_is_left_out(tmp_path: Path) -> None:
    frame = pd.DataFrame({"b": [1.0, 2.0]})
    frame.to_parquet(tmp_path / "a.parquet")
    for given in [frame, tmp_path / "a.parquet"]:
        assert read_specs(given, Site).table["a"].to_pylist() == [5, 5]


def test_the_index_of_a_frame_with_objects_is_a_column() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [3.0, 4.0], "path": [Path("/x"), Path("/y")]})
    for given in [frame, frame.set_index("a"), frame.set_index(["b", "a"]), frame.set_index("a", drop=False)]:
        table = read_specs(given, Site).table
        assert table["a"].to_pylist() == [1, 2]
        assert table["b"].to_pylist() == [3.0, 4.0]
        assert table["path"].to_pylist() == ["/x", "/y"]

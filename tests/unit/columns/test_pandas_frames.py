"""Pandas frames become tables of text names, and pandas reads its labels, levels and types again."""

import datetime as dt
import io
import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scythe_cli.columns import frames
from scythe_cli.columns.column_blocks import own_columns, unpack
from scythe_cli.columns.frame_header import PLACE, read_header
from scythe_cli.columns.pandas_metadata import PANDAS, arrow_metadata, pandas_metadata, to_categories

HOURS = pd.date_range("2026-01-01", periods=40, freq="h")


def written(table: pa.Table) -> io.BytesIO:
    """The table as a final table is written."""
    header = read_header(table.schema)
    plain = unpack(table).replace_schema_metadata(None)
    levels = header.pandas.index_levels if header.pandas else ()
    names = {column: name for column, name in levels if column in plain.column_names}
    metadata = {PANDAS: pandas_metadata(plain.schema, names, read_header(unpack(table).schema))}
    metadata = arrow_metadata(plain.schema, header, metadata)
    sink = io.BytesIO()
    for column, (values, _) in (header.pandas.categories if header.pandas else {}).items():
        at = plain.column_names.index(column)
        plain = plain.set_column(at, column, to_categories(plain.column(column), values))
    with pq.ParquetWriter(sink, plain.schema, store_schema=False) as writer:
        writer.write_table(plain)
        writer.add_key_value_metadata(metadata)  # type: ignore[arg-type]  # bytes are fine
    sink.seek(0)
    return sink


def again(frame: pd.DataFrame, index: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """What pandas reads of a frame that was taken over and written."""
    return pd.read_parquet(written(frames.to_arrow("t", frame, index or {})))


DAY = dt.date(2026, 1, 31)
MORNING = pd.Timestamp(DAY)


@pytest.mark.parametrize(
    ("value", "column", "same"),
    [
        (DAY, [MORNING, MORNING], True),
        (DAY, [MORNING, MORNING + pd.Timedelta("1h")], False),
        (True, [True, True], True),
        (True, [1, 2], False),
        (1, [1.0, 1.0], True),
        (1, [1.0, 1.5], False),
        (1.5, [1.5, None], False),
        (None, [None, None], True),
        ("a", pd.Categorical(["a", "a"]), True),
        ("a", ["a", None], False),
    ],
)
def test_a_column_that_is_called_as_an_input_repeats_its_value_exactly(value: Any, column: Any, same: bool) -> None:
    frame = pd.DataFrame({"v": [1, 2], "x": column})
    if same:
        assert frames.to_arrow("t", frame, {"x": value}).column_names == ["v"]
        return
    with pytest.raises(frames.BadFrame, match="column 'x' has the name of an index column but other values"):
        frames.to_arrow("t", frame, {"x": value})


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["a", b"b"], "text and bytes"),
        ([DAY, dt.datetime(2026, 1, 31, 12)], "dates and moments"),
        ([MORNING, MORNING.tz_localize("Asia/Tokyo")], "moments with and without a time zone"),
        ([dt.time(12, tzinfo=dt.UTC)], "times of day with a zone"),
        ([pd.Timestamp("2026-01-31 12:00:00.000000001")], "objects with nanoseconds"),
    ],
)
def test_objects_that_arrow_would_change_are_refused(values: list[Any], problem: str) -> None:
    with pytest.raises(frames.BadFrame, match=f"column 'x' has {problem}"):
        frames.to_arrow("t", pd.DataFrame({"x": pd.Series(values, dtype=object)}), {})


def test_objects_of_one_kind_and_missing_ones_are_kept() -> None:
    values = [dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC), None, pd.NaT]
    table = frames.to_arrow("t", pd.DataFrame({"x": pd.Series(values, dtype=object)}), {})
    assert table["x"].null_count == 2


@pytest.mark.parametrize("name", ["_row", "_block_double"])
def test_a_level_with_a_name_of_scythes_is_refused(name: str) -> None:
    frame = pd.DataFrame(np.zeros((2, 40)), columns=[f"c{at}" for at in range(40)], index=pd.Index([1, 2], name=name))
    with pytest.raises(frames.BadFrame, match=f"the name '{name}' of an index level belongs to scythe; rename it"):
        frames.to_arrow("t", frame, {})


def test_seconds_that_parquet_does_not_hold_are_refused() -> None:
    frame = pd.DataFrame({"v": np.array([2**62], "M8[s]")})
    with pytest.raises(frames.BadFrame, match=r"column 'v' of type timestamp\[s\]"):
        frames.to_arrow("t", frame, {})


@pytest.mark.parametrize(
    ("kinds", "read_as"),
    [
        (("Int64", "float64"), "Float64"),
        (("Float32", "float64"), "Float64"),
        (("UInt8", "int64"), "Int64"),
        (("Int64", "Int64"), "Int64"),
        (("int32[pyarrow]", "float64"), "float64"),
    ],
)
def test_a_column_that_another_spec_made_wider_is_read_in_a_type_that_holds_it(kinds: Any, read_as: str) -> None:
    made = [frames.to_arrow("t", pd.DataFrame({"v": pd.Series([at], dtype=kind)}), {}) for at, kind in enumerate(kinds)]
    stacked, apart = frames.stack(made)
    assert apart == []
    found = pd.read_parquet(written(stacked))
    assert (found["v"].tolist(), str(found["v"].dtype)) == ([0, 1], read_as)


def test_labels_of_one_level_of_a_multiindex_are_labels_of_an_index() -> None:
    """As pandas has it: a column of such a frame has a label, and not a tuple of one."""
    columns = pd.MultiIndex.from_arrays([["a", "b"]], names=["kind"])
    found = again(numbers(columns))
    assert found.columns.to_list() == ["a", "b"]
    assert found.columns.names == ["kind"]
    assert frames.to_arrow("t", numbers(columns), {}).column_names == ["a", "b"]


def numbers(columns: Any, rows: int = 2) -> pd.DataFrame:
    count = len(columns)
    return pd.DataFrame(np.arange(rows * count, dtype="float64").reshape(rows, count), columns=columns)


COLUMNS = {
    "text": pd.Index(["a", "b"]),
    "a name": pd.Index(["a", "b"], name="EDH Type"),
    "whole numbers": pd.Index([1, 2]),
    "fractions": pd.Index([0.1, 0.5]),
    "times": HOURS[:2],
    "times in a zone": HOURS[:2].tz_localize("Europe/Berlin"),
    "four levels": pd.MultiIndex.from_tuples(
        [("Energy", "Raw", "Lighting", 1), ("Energy", "Raw", "Heating", 12)],
        names=["Measurement", "Aggregation", "Meter", "Month"],
    ),
    "hours": pd.MultiIndex.from_product([["Temp", "Load"], HOURS], names=["Meter", "Timestep"]),
    "hours in a zone": pd.MultiIndex.from_product([["T"], HOURS.tz_localize("Europe/Berlin")], names=["Meter", None]),
    "a level without a name": pd.MultiIndex.from_tuples([("+", "x"), ("-", "y")], names=["sign", None]),
    "a missing label": pd.MultiIndex.from_tuples([("a", 1.0), ("b", np.nan)]),
    "durations": pd.MultiIndex.from_product([["a"], pd.to_timedelta([1, 2], unit="h")]),
    "a slash in a label": pd.MultiIndex.from_tuples([("a/b", "c"), ("a", "b/c")]),
}


@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS)
def test_pandas_has_its_labels_again(columns: pd.Index) -> None:
    frame = numbers(columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas asks whether the frequency of times counts
        pd.testing.assert_frame_equal(again(frame), frame, check_freq=False, check_column_type=True)


def test_others_see_text_names() -> None:
    table = pl.read_parquet(written(frames.to_arrow("t", numbers(COLUMNS["four levels"]), {})))
    assert table.columns == ["Energy/Raw/Lighting/1", "Energy/Raw/Heating/12"]


def test_a_slash_inside_a_label_is_escaped() -> None:
    table = frames.to_arrow("t", numbers(COLUMNS["a slash in a label"]), {})
    assert table.column_names == ["a\\/b/c", "a/b\\/c"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (pd.Index([1, "1"]), "the labels 1 and '1' give one column name, '1'"),
        (pd.MultiIndex.from_tuples([("a", 1), ("a", "1")]), r"the labels \('a', 1\) and \('a', '1'\) give one column"),
        (pd.Index(["a", "a"]), "column 'a' is there twice"),
    ],
)
def test_two_labels_of_one_name_are_refused(columns: pd.Index, said: str) -> None:
    with pytest.raises(frames.BadFrame, match=said):
        frames.to_arrow("t", numbers(columns), {})


def test_labels_of_equal_value_and_other_type_are_not_mixed_up() -> None:
    assert frames.to_arrow("t", numbers(pd.Index([1, 2])), {}).column_names == ["1", "2"]
    assert frames.to_arrow("t", numbers(pd.Index([1.0, 2.0])), {}).column_names == ["1.0", "2.0"]
    named = numbers(pd.Index([1, 2]))
    named.columns.name = "month"
    assert again(named).columns.name == "month"
    named.columns.name = "m"
    assert again(named).columns.name == "m"


SPEC = {"sort_index": 3, "name": "office", "wwr": 0.4, "note": None, "flag": True}


def spec_index(rows: int, **more: list[Any]) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(pd.DataFrame({name: [value] * rows for name, value in SPEC.items()} | more))


def test_levels_that_repeat_the_spec_are_dropped() -> None:
    frame = numbers(["v"]).set_index(spec_index(2))
    assert frames.to_arrow("t", frame, SPEC).column_names == ["v"]


def test_a_level_that_differs_from_the_spec_is_refused() -> None:
    frame = numbers(["v"]).set_index(spec_index(2).set_levels(["shop"], level="name"))
    with pytest.raises(frames.BadFrame, match="index level 'name' has the name of an index column but other values"):
        frames.to_arrow("t", frame, SPEC)


def test_own_levels_stay_levels() -> None:
    frame = numbers(["v"]).set_index(spec_index(2, zone=["core", "north"])).set_index(pd.Index([7, 8]), append=True)
    table = frames.to_arrow("t", frame, SPEC)
    assert table.column_names == ["v", "zone", "level_1"]
    found = pd.read_parquet(written(table))
    assert found.index.names == ["zone", None]
    assert found.index.to_list() == [("core", 7), ("north", 8)]


@pytest.mark.parametrize(
    "index",
    [
        pd.Index([5, 6]),
        pd.Index([5, 6], name="hour"),
        pd.RangeIndex(5, 7),
        pd.RangeIndex(0, 2, name="hour"),
        HOURS[:2].tz_localize("Europe/Berlin"),
        pd.CategoricalIndex(["b", "a"], categories=["b", "a"], ordered=True, name="c"),
    ],
)
def test_an_index_that_is_not_numbered_is_a_level(index: pd.Index) -> None:
    found = again(numbers(["v"]).set_index(index))
    assert found.index.to_list() == index.to_list()
    assert found.index.name == index.name
    assert str(found.index.dtype) == str(index.dtype)


def test_a_numbered_index_is_left_out() -> None:
    assert frames.to_arrow("t", numbers(["v"]), {}).column_names == ["v"]


def test_the_place_in_the_spec_is_asked_for() -> None:
    table = frames.to_arrow("t", numbers(["v"]).set_index(spec_index(2, sort_subindex=[0, 1])), SPEC)
    header = read_header(table.schema)
    assert table.column_names == ["v"]
    assert header.pandas is not None
    assert header.pandas.index_levels == ((PLACE, PLACE),)


def test_a_place_that_is_not_counted_is_kept() -> None:
    table = frames.to_arrow("t", numbers(["v"]).set_index(spec_index(2, sort_subindex=[4, 9])), SPEC)
    assert table.column(PLACE).to_pylist() == [4, 9]


def test_a_level_called_like_a_column_has_another_name() -> None:
    frame = numbers(["v"]).set_index(pd.Index([7, 8], name="v"))
    assert frames.to_arrow("t", frame, {}).column_names == ["v", "v_1"]
    assert again(frame).index.name == "v"


def test_pandas_own_types_come_back() -> None:
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, None], dtype="Int64"),
            "truth": pd.array([True, None], dtype="boolean"),
            "zone": HOURS[:2].tz_localize("Europe/Berlin"),
            "plain": HOURS[:2],
            "kind": pd.Categorical(["b", "a"], categories=["c", "b", "a"], ordered=True),
            "text": ["x", None],
            "small": np.array([1, 2], dtype="int8"),
        }
    )
    pd.testing.assert_frame_equal(again(frame), frame)


def test_categories_are_text_for_others() -> None:
    table = frames.to_arrow("t", pd.DataFrame({"c": pd.Categorical(["x", "y"])}), {})
    assert table.schema.field("c").type == pa.string()


def test_many_columns_are_one_block() -> None:
    frame = numbers(COLUMNS["hours"])
    frame.iloc[0, 3] = np.nan
    frame.insert(1, ("what", "ever"), ["a", "b"])
    table = frames.to_arrow("t", frame, {})
    assert len(own_columns(table.schema)) == 81
    assert table.num_columns == 2
    found = unpack(table)
    assert found.column_names == own_columns(table.schema)
    assert found.column(0).to_pylist() == [0, 80]
    assert found.column("what/ever").to_pylist() == ["a", "b"]
    assert found.column(4).to_pylist() == [None, 83]


def test_a_frame_that_changes_after_it_was_returned_is_kept_as_it_was() -> None:
    values = np.ones((2, 50))
    table = frames.to_arrow("t", pd.DataFrame(values), {})
    values[:] = 2
    assert unpack(table).column(0).to_pylist() == [1, 1]


def test_the_json_of_the_metadata_names_the_label() -> None:
    table = frames.to_arrow("t", numbers(COLUMNS["four levels"]), {})
    metadata = json.loads(pandas_metadata(table.schema, {}, read_header(table.schema)))
    assert metadata["columns"][0]["name"] == "('Energy', 'Raw', 'Lighting', '1')"

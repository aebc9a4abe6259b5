"""Frames of several specs become one: labels, levels, categories and blocks of columns."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from scythe_cli.columns import frames
from scythe_cli.columns.column_blocks import own_columns, pack, unpack
from scythe_cli.columns.frame_header import read_header

MONTHS = pd.MultiIndex.from_product([["Energy"], [1, 2]], names=["Meter", "Month"])
FEW = ["a", "b"]


def taken(*given: Any) -> list[pa.Table]:
    return [frames.to_arrow("t", frame, {}) for frame in given]


def labels(table: pa.Table) -> dict[str, str | None]:
    columns = read_header(table.schema).columns
    return dict(zip(columns.names or (), columns.labels or (), strict=True))


def test_text_and_bytes_do_not_go_together() -> None:
    stacked, apart = frames.stack([pa.table({"v": ["a"]}), pa.table({"v": [b"b"]}), pa.table({"v": ["c"]})])
    assert (stacked["v"].to_pylist(), apart) == (["a", "c"], [1])


def test_frames_of_one_kind_are_put_together_as_they_are() -> None:
    wide = pd.DataFrame(np.ones((2, 100)))
    stacked, apart = frames.stack(taken(wide, wide))
    assert apart == []
    assert stacked.num_columns == 1
    assert len(own_columns(stacked.schema)) == 100


def test_blocks_of_other_columns_are_united_by_name_and_packed_again() -> None:
    one, other = (
        pd.DataFrame(np.full((1, 50), at), columns=[f"c{at}"] + [f"v{n}" for n in range(49)]) for at in (1.0, 2.0)
    )
    stacked, _ = frames.stack(taken(one, other))
    assert stacked.num_columns == 1
    plain = unpack(stacked)
    assert plain.column("c1.0").to_pylist() == [1.0, None]
    assert plain.column("c2.0").to_pylist() == [None, 2.0]
    assert plain.column("v48").to_pylist() == [1.0, 2.0]


def test_blocks_of_other_types_widen() -> None:
    whole, fractions = pd.DataFrame(np.ones((1, 50), dtype="int64")), pd.DataFrame(np.full((1, 50), 0.5))
    plain = unpack(frames.stack(taken(whole, fractions))[0])
    assert plain.column("7").to_pylist() == [1.0, 0.5]


def test_whole_numbers_that_are_missing_are_not_packed() -> None:
    table = pa.table({f"c{at}": pa.array([at, None]) for at in range(40)})
    assert pack(table).num_columns == 40


def test_nan_of_other_libraries_stays_nan() -> None:
    table = pack(pl.DataFrame({f"c{at}": [float("nan"), 1.0] for at in range(40)}).to_arrow())
    assert table.num_columns == 1
    column = unpack(table).column(3)
    assert column.null_count == 0
    assert np.isnan(column[0].as_py())


def test_columns_of_two_frames_have_the_labels_of_both() -> None:
    winter = pd.DataFrame([[1.0]], columns=MONTHS[:1])
    summer = pd.DataFrame([[2.0]], columns=MONTHS[1:])
    stacked, apart = frames.stack(taken(winter, summer))
    assert apart == []
    assert labels(stacked) == {"Energy/1": "('Energy', '1')", "Energy/2": "('Energy', '2')"}


def test_polars_frames_go_with_the_labels_of_pandas() -> None:
    stacked, apart = frames.stack(taken(pl.DataFrame({"Energy/1": [1.0]}), pd.DataFrame([[2.0, 3.0]], columns=MONTHS)))
    assert apart == []
    assert stacked.column("Energy/1").to_pylist() == [1.0, 2.0]
    assert labels(stacked)["Energy/2"] == "('Energy', '2')"


def test_a_column_that_pandas_does_not_know_has_a_label_of_its_name() -> None:
    stacked, _ = frames.stack(taken(pd.DataFrame([[2.0, 3.0]], columns=MONTHS), pl.DataFrame({"note": ["x"]})))
    assert labels(stacked)["note"] == "('note', None)"


def test_other_levels_of_columns_do_not_go_together() -> None:
    plain, months = pd.DataFrame([[1.0]], columns=["a"]), pd.DataFrame([[2.0, 3.0]], columns=MONTHS)
    assert frames.stack(taken(plain, months, plain))[1] == [1]
    assert frames.stack(taken(months, months.rename_axis(columns=["Meter", "M"])))[1] == [1]


def test_other_levels_of_the_index_do_not_go_together() -> None:
    zones = pd.DataFrame({"v": [1]}, index=pd.Index(["core"], name="zone"))
    assert frames.stack(taken(zones, zones.reset_index(), zones.rename_axis("room")))[1] == [1, 2]


def test_frames_without_rows_have_no_levels_that_count() -> None:
    zones = pd.DataFrame({"v": [1]}, index=pd.Index(["core"], name="zone"))
    assert frames.stack(taken(pd.DataFrame(), zones))[1] == []


def test_a_numbered_index_goes_with_one_without_a_name() -> None:
    picked, whole = pd.DataFrame({"v": [1, 2, 3]})[1:], pd.DataFrame({"v": [7, 8]})
    stacked, apart = frames.stack(taken(whole, picked, pl.DataFrame({"v": [9]})))
    assert apart == []
    assert stacked.column("index").to_pylist() == [0, 1, 1, 2, None]


def test_categories_of_all_frames_are_kept() -> None:
    one, other = (pd.DataFrame({"c": pd.Categorical(values)}) for values in (["b", "a"], ["a", "z"]))
    pandas = read_header(frames.stack(taken(one, other))[0].schema).pandas
    assert pandas is not None
    assert pandas.categories == {"c": (("a", "b", "z"), False)}


def test_categories_that_are_plain_text_elsewhere_are_text() -> None:
    categories, text = pd.DataFrame({"c": pd.Categorical(["b"])}), pl.DataFrame({"c": ["x"]})
    for order in ([categories, text], [text, categories], [categories, text, categories]):
        pandas = read_header(frames.stack(taken(*order))[0].schema).pandas
        assert pandas is not None
        assert pandas.categories == {}

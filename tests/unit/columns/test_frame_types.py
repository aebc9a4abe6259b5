"""The types of frames: what they are kept as is written, handed over and read by everybody; the rest is refused."""

from __future__ import annotations

import datetime as dt
import io
import re
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from scythe_cli.columns import frame_types, frames
from scythe_cli.lane.encode import _stream
from scythe_cli.run.parts import decode, encode

ROWS: dict[str, Any] = {
    "null": pa.nulls(1),
    "half": pa.array([1.5], pa.float16()),
    "uint64": pa.array([2**64 - 1], pa.uint64()),
    "decimal32": pa.array([Decimal("1.5")], pa.decimal32(5, 2)),
    "decimal of 76 digits": pa.array([Decimal("1e30")], pa.decimal256(76, 2)),
    "decimal of a negative scale": pa.array([Decimal(100)], pa.decimal128(5, -2)),
    "date64": pa.array([dt.date(2026, 1, 1)], pa.date64()),
    "time": pa.array([dt.time(1)], pa.time32("s")),
    "timestamp": pa.array([dt.datetime(2026, 1, 1)], pa.timestamp("s", "UTC")),
    "timestamp with an offset": pa.array([dt.datetime(2026, 1, 1)], pa.timestamp("us", "+14:00")),
    "timestamp of a place": pa.array([dt.datetime(2026, 1, 1)], pa.timestamp("ns", "Europe/Paris")),
    "duration": pa.array([1], pa.duration("s")),
    "text": pa.array(["x"], pa.large_string()),
    "view": pa.array([b"x"], pa.binary_view()),
    "bytes of no length": pa.array([b""], pa.binary(0)),
    "list": pa.array([["x"]], pa.large_list(pa.string_view())),
    "list view": pa.array([[{"a": "x"}]], pa.list_view(pa.struct([("a", pa.string_view())]))),
    "list of a size": pa.array([["x", "y"]], pa.list_(pa.string_view(), 2)),
    "list of no size": pa.array([[]], pa.list_(pa.int64(), 0)),
    "struct": pa.array([{"a": 1}], pa.struct([pa.field("a", pa.int64(), nullable=False)])),
    "map": pa.array([[("k", ["x"])]], pa.map_(pa.large_string(), pa.large_list(pa.string()))),
    "category": pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), pa.array(["x"], pa.string_view())),
    "category of lists": pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), pa.array([[1]])),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), pa.array(["x"], pa.large_string())),
    "json": pa.array(['{"a":1}'], pa.json_()),
    "uuid": pa.array([bytes(16)], pa.uuid()),
    "bool8": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1], pa.int8())),
}


def deep(levels: int) -> Any:
    array: Any = pa.array([1])
    for _ in range(levels):
        array = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), array)
    return array


@pytest.mark.parametrize("array", [*ROWS.values(), deep(frame_types.DEEPEST)], ids=[*ROWS, "deep"])
def test_a_kept_type_is_read_alike_by_all(array: Any) -> None:
    table = frames.to_arrow("t", pa.table({"a": array}), {})
    assert decode(_stream(table)).equals(table)
    data = encode(table)
    read = pl.read_parquet(io.BytesIO(data)), pd.read_parquet(io.BytesIO(data))
    assert [len(one) for one in read] == [1, 1]
    assert table.column(0).null_count == array.null_count
    assert frame_types.storable(table.schema.field(0).type) == table.schema.field(0).type


@pytest.mark.parametrize("array", [*ROWS.values(), deep(frame_types.DEEPEST)], ids=[*ROWS, "deep"])
def test_a_column_that_is_absent_is_null_in_any_type(array: Any) -> None:
    one = frames.to_arrow("t", pa.table({"a": array}), {})
    united, apart = frames.stack([one, pa.table({"b": [1]}), pa.table({"a": pa.nulls(1)})])
    assert (united.num_rows, apart) == (3, [])


@pytest.mark.parametrize(
    "array",
    [
        pa.array([{}], pa.struct([])),
        pa.array([[{}]], pa.list_(pa.struct([]))),
        pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]),
        pa.array([None], pa.month_day_nano_interval()),
        pa.array([[None]], pa.list_(pa.month_day_nano_interval())),
        pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
        pa.array([[[1]]], pa.list_(pa.list_view(pa.int64()))),
        pa.array([Decimal("1e70")], pa.decimal256(76, 2)),
        pa.array([1]).view(pa.date64()),
        pa.array([b"\xff"]).view(pa.string()),
        pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array([b"\xff"]).view(pa.string())),
        pa.FixedShapeTensorArray.from_storage(
            pa.fixed_shape_tensor(pa.int64(), [2]), pa.array([[1, 2]], pa.list_(pa.int64(), 2))
        ),
        deep(frame_types.DEEPEST + 1),
    ],
    ids=lambda array: str(array.type)[:40],
)
def test_what_cannot_be_kept_is_refused_by_its_column(array: Any) -> None:
    with pytest.raises(frames.BadFrame, match=r"^dataframes\['t'\]: column 'a' "):
        frames.to_arrow("t", pa.table({"a": array}), {})


def test_views_of_lists_keep_every_value() -> None:
    make: Any = pa.ListViewArray.from_arrays
    views = make([2, 0, 0, 1], [2, 1, 0, 3], pa.array([1, 2, 3, 4]), mask=pa.array([False, False, True, False]))
    lists = frames.to_arrow("t", pa.table([pa.chunked_array([views, views[1:3]])], names=["a"]), {}).column("a")
    assert lists.to_pylist() == [[3, 4], [1], None, [2, 3, 4], [1], None]


def test_an_extension_type_that_nobody_registered() -> None:
    field = pa.field("a", pa.int64(), metadata={"ARROW:extension:name": "company.angle"})
    with pytest.raises(frames.BadFrame, match=r"column 'a' is of the extension type company\.angle"):
        frames.to_arrow("t", pa.table([pa.array([1])], schema=pa.schema([field])), {})


@pytest.mark.parametrize("zone", ["Mars/Olympus", "Europe", "+05:30", "Z"])
@pytest.mark.parametrize("wrap", [lambda kind: kind, pa.list_], ids=["plain", "list"])
def test_a_time_zone_that_some_library_does_not_know_is_refused(zone: str, wrap: Any) -> None:
    """One such column, and polars reads nothing of the final table."""
    frame = pa.table({"a": pa.array([None], wrap(pa.timestamp("us", zone)))})
    told = rf"^dataframes\['t'\]: column 'a' has the time zone '{re.escape(zone)}'.* give it in UTC"
    with pytest.raises(frames.BadFrame, match=told):
        frames.to_arrow("t", frame, {})


def test_any_zone_is_kept_where_no_list_of_zones_is(monkeypatch: pytest.MonkeyPatch) -> None:
    frame_types.is_zone.cache_clear()
    monkeypatch.setattr("zoneinfo.ZoneInfo", {}.__getitem__)
    assert frame_types.is_zone("Europe/Paris")
    frame_types.is_zone.cache_clear()


@pytest.mark.parametrize(
    ("digits", "scale", "floats", "fits"),
    [
        ("0.10", 2, pa.float64(), True),
        ("0.1", 20, pa.float64(), True),
        ("1e20", 2, pa.float64(), True),
        ("123456789012345.6", 2, pa.float64(), True),
        ("12345678901234567.89", 2, pa.float64(), False),
        ("0.1", 2, pa.float32(), True),
        ("0.123456789", 10, pa.float32(), False),
    ],
)
def test_a_decimal_becomes_a_float_where_it_keeps_its_digits(digits: str, scale: int, floats: Any, fits: bool) -> None:
    exact = pa.table({"a": pa.array([Decimal(digits), None], pa.decimal128(38, scale))})
    other = pa.table({"a": pa.array([0.5], floats)})
    for both in ([exact, other], [other, exact]):
        united, apart = frames.stack(both)
        assert apart == ([] if fits else [1])
        if fits:
            values = united.column("a").cast(pa.string()).to_pylist()
            assert {None if value is None else Decimal(value) for value in values} == {
                Decimal(digits), None, Decimal("0.5")
            }  # fmt: skip


@pytest.mark.parametrize(
    ("exact", "other"),
    [
        (pa.array([[Decimal("0.5")]], pa.list_(pa.decimal128(5, 2))), pa.array([[0.5]])),
        (pa.array([{"x": Decimal("0.5")}], pa.struct([("x", pa.decimal128(5, 2))])), pa.array([{"y": 1, "x": 0.5}])),
    ],
    ids=["list", "struct"],
)
def test_decimals_within_other_values_do_not_become_floats(exact: Any, other: Any) -> None:
    assert frames.stack([pa.table({"a": exact}), pa.table({"a": other})])[1] == [1]


def test_decimals_that_meet_in_too_many_digits() -> None:
    wide, fine = (pa.array([Decimal("1.5")], pa.decimal128(38, scale)) for scale in (2, 10))
    united, apart = frames.stack([pa.table({"a": wide}), pa.table({"a": fine})])
    assert (united.schema.field("a").type, apart) == (pa.decimal128(38, 10), [])

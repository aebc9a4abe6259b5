"""How the columns of a frame's final table are written: small and quick, and read by others as they are."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scythe_cli.core import layout
from scythe_cli.final_tables.frame_rows import encodings

N = 3_000
HOURS = [*range(N)]
STEADY: list[pa.DataType] = [
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns", "UTC"), pa.date32(), pa.time32("ms"), pa.time64("us")),
    *(pa.duration("us"),),
]


def written(table: pa.Table, index: list[str]) -> bytes:
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, **encodings(table, index)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def chunks(data: bytes) -> dict[str, Any]:
    group = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0)
    return {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}


@pytest.mark.parametrize("kind", STEADY, ids=str)
def test_hours_and_moments_are_written_as_their_steps(kind: pa.DataType, tmp_path: Path) -> None:
    whole: Any = pa.array([at % 120 for at in HOURS], f"int{kind.bit_width}")
    gaps = pa.array([None if at % 50 == 7 else at % 120 for at in HOURS], pa.int64())
    table = pa.table({"full": whole.view(kind), "gaps": gaps})
    data = written(table, [])
    assert [chunk.encodings for chunk in chunks(data).values()] == [("RLE", "DELTA_BINARY_PACKED")] * 2
    path = str(tmp_path / "x.parquet")
    Path(path).write_bytes(data)
    assert pq.read_table(path).equals(table)
    expected: Any = pl.from_arrow(table)
    assert pl.read_parquet(path).equals(expected)
    read = duckdb.execute('SELECT count("full"), count(gaps), sum(gaps) FROM read_parquet(?)', [path]).fetchall()
    assert read == [(N, N - gaps.null_count, sum(value or 0 for value in gaps.to_pylist()))]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([7] * N, id="one value"),
        pytest.param([at // 100 for at in HOURS], id="runs"),
        pytest.param([at * at % 1009 for at in HOURS], id="no order"),
    ],
)
def test_numbers_without_steady_steps_are_a_dictionary(values: list[int]) -> None:
    (chunk,) = chunks(written(pa.table({"v": values}), [])).values()
    assert "RLE_DICTIONARY" in chunk.encodings


@pytest.mark.parametrize("values", [[], [5], [None] * 10, [None, 3, None]])
def test_columns_with_too_few_values_to_tell(values: list[Any]) -> None:
    table = pa.table({"v": pa.array(values, pa.int64())})
    assert pq.read_table(io.BytesIO(written(table, []))).equals(table)


def test_index_columns_of_few_values_are_packed_by_what_begins_quickly() -> None:
    table = pa.table(
        {
            "load": [at * 0.37 for at in HOURS],
            layout.SORT_INDEX: [at // 100 for at in HOURS],
            "use": pa.array([f"use {at // 100}" for at in HOURS]).dictionary_encode(),
        }
    )
    found = {name: chunk.compression for name, chunk in chunks(written(table, [layout.SORT_INDEX, "use"])).items()}
    assert found == {"load": "ZSTD", layout.SORT_INDEX: "SNAPPY", "use": "SNAPPY"}


def test_a_column_may_be_called_as_a_part_of_another() -> None:
    table = pa.table({"load": [{"unit": "W"}] * N, "load.unit": HOURS})
    assert pq.read_table(io.BytesIO(written(table, []))).equals(table)


def test_all_columns_next_to_nested_ones_are_packed() -> None:
    nested: dict[str, Any] = {"a": [[at, at] for at in HOURS], "b": [{"x": at, "y": "text"} for at in HOURS]}
    table = pa.table({**nested, layout.SORT_INDEX: [at // 100 for at in HOURS]})
    found = chunks(written(table, [layout.SORT_INDEX]))
    assert {chunk.compression for chunk in found.values()} == {"ZSTD"}
    assert len(found) == 4


def test_random_numbers_are_not_packed_also_after_a_spec_of_zeros() -> None:
    random = np.random.default_rng(1).random(50_000)
    random[:5_000] = 0.0
    repeated = np.round(np.random.default_rng(2).random(50_000), 2)
    group = pa.table(
        {"random": pa.array(random), "repeated": pa.array(repeated), "text": [f"a{at}" for at in range(50_000)]}
    )
    options = encodings(group, [])
    assert options["compression"] == {"random": "none", "repeated": "zstd", "text": "zstd"}
    assert "random" not in options["compression_level"]
    assert "random" not in options["use_dictionary"]

"""A parquet file of row groups that were encoded at the same time is what pyarrow writes in one go."""

from __future__ import annotations

import datetime as dt
import errno
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scythe_cli.final_tables import grouped_file
from scythe_cli.final_tables.frame_files import plain
from scythe_cli.final_tables.frame_rows import encodings, repeating
from scythe_cli.final_tables.grouped_file import GroupedFile
from scythe_cli.final_tables.parquet_footer import moved

ABOUT = {b"scythe": b'{"experiment_id": "a/v1.0.0"}'}
ROWS = 5000


def group(number: int, rows: int = ROWS) -> pa.Table:
    """Rows of every kind that a frame has: steady, repeated, random, missing, nested."""
    rng = np.random.default_rng(number)
    hours = np.arange(rows)
    texts = pa.array([("a", f"b {number}", "ä")[at % 3] for at in range(rows)]).dictionary_encode()
    columns: dict[str, Any] = {
        "hour": hours,
        "load": np.round(rng.random(rows) * 100, 1),
        "heat": rng.random(rows),
        "when": pa.array(hours * 3_600_000_000, pa.timestamp("us", "UTC")),
        "flag": pa.array(hours % 7 == 0),
        "some": pa.array([None if at % 2 else at for at in range(rows)], pa.int32()),
        "none": pa.nulls(rows),
        "raw": pa.array([b"\x00" * (at % 5) for at in range(rows)]),
        "day": pa.array([dt.date(2020, 1, 1)] * rows),
        "list": pa.array([[at, None] for at in range(rows)]),
        "use": texts,
        "sort_index": np.full(rows, number),
    }
    return pa.table(columns)


def written(path: Path, groups: list[pa.Table], options: dict[str, Any], repeating: Collection[str] = ()) -> Path:
    file = GroupedFile(path, groups[0].schema, options, repeating=repeating)
    with ThreadPoolExecutor(3) as threads:
        for encoded in threads.map(file.encode, groups, [file.new_columns(one) for one in groups]):
            file.append(encoded)
    file.close(ABOUT)
    return path


def at_once(path: Path, groups: list[pa.Table], options: dict[str, Any]) -> Path:
    with pq.ParquetWriter(path, groups[0].schema, store_schema=False, **options) as file:
        for one in groups:
            file.write_table(one, row_group_size=max(1, one.num_rows))
        file.add_key_value_metadata(ABOUT)  # type: ignore[arg-type]  # bytes are right
    return path


@pytest.mark.parametrize("options", ["as frames are written", "plain"])
def test_the_file_is_byte_for_byte_what_pyarrow_writes_alone(tmp_path: Path, options: str) -> None:
    groups = [group(number, rows=ROWS + number) for number in range(7)]
    chosen = encodings(groups[0], ["use", "sort_index"]) if options != "plain" else {"compression": "none"}
    one = written(tmp_path / "one.pq", groups, chosen)
    assert one.read_bytes() == at_once(tmp_path / "other.pq", groups, chosen).read_bytes()


def test_a_page_that_the_disk_refuses_fails_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fsync(descriptor: int) -> None:
        asked.append(descriptor)
        if len(asked) == 1:  # Linux tells of it once
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fsync", fsync)
    monkeypatch.setattr(grouped_file, "SYNCED_BYTES", 1)
    groups = [group(number) for number in range(4)]
    file = GroupedFile(tmp_path / "one.pq", groups[0].schema, {})
    with pytest.raises(OSError, match="Input/output error"):
        for one in groups:
            file.append(file.encode(one, file.new_columns(one)))
            while file._syncing is not None and not file._syncing.done():
                time.sleep(0.001)
    file.abandon()


def repeated(number: int, rows: int, columns: int) -> pa.Table:
    """Rows of which some columns are often the same as in the row group before."""
    rng = np.random.default_rng(number)
    hours = np.arange(rows)
    made: dict[str, Any] = {
        "hour": hours + (number % 5 == 0),
        "id": pa.array(["run"] * rows, pa.string()).dictionary_encode(),
        "use": pa.array([f"use {number // 3}"] * rows, pa.string()).dictionary_encode(),
        "when": pa.array(hours * 3_600_000_000 + number // 2, pa.timestamp("us", "UTC")),
        "heat": pa.array(rng.random(rows)),
        "some": pa.array([None if at % 3 else at for at in range(rows)], pa.int32()),
    }
    return pa.table(made | {f"c{at}": pa.array(np.full(rows, at)) for at in range(columns)})


@pytest.mark.parametrize("columns", [0, 1, 8, 9, 10, 200])
@pytest.mark.parametrize("lengths", [[3000] * 12, [0], [3000, 3000, 10, 10, 3000, 1, 1, 1]])
def test_columns_that_repeat_are_written_as_pyarrow_writes_them(
    tmp_path: Path, columns: int, lengths: list[int]
) -> None:
    groups = [repeated(number, rows, columns) for number, rows in enumerate(lengths)]
    options = encodings(groups[0], ["id", "use"])
    again = repeating(groups[0], options, ["id", "use"])
    assert {"id", "use"} <= {*again}
    one = written(tmp_path / "one.pq", groups, options, {*again, "hour", "when"})
    other = at_once(tmp_path / "other.pq", groups, options)
    assert one.read_bytes() == other.read_bytes()


def test_columns_that_repeat_are_not_encoded_again(tmp_path: Path) -> None:
    groups = [repeated(number, 100, 0) for number in (1, 1, 2, 2)]
    file = GroupedFile(tmp_path / "one.pq", groups[0].schema, {}, repeating=groups[0].column_names)
    encoded = [file.new_columns(one) for one in groups]
    assert encoded == [groups[0].column_names, [], ["when", "heat"], []]
    for one, columns in zip(groups, encoded, strict=True):
        file.append(file.encode(one, columns))
    file.close(ABOUT)
    assert pq.read_table(tmp_path / "one.pq").equals(plain(pa.concat_tables(groups)))
    assert pl.read_parquet(tmp_path / "one.pq")["heat"].to_list() == pa.concat_tables(groups)["heat"].to_pylist()


def test_numbers_with_a_sign_of_zero_are_never_taken_for_the_same() -> None:
    group = pa.table({"width": pa.array([0.0] * 10), "use": pa.array(["a"] * 10).dictionary_encode()})
    assert repeating(group, encodings(group, ["width", "use"]), ["width", "use"]) == ["use"]


def test_all_readers_find_every_row_group(tmp_path: Path) -> None:
    groups = [group(number).drop_columns(["none", "raw", "list"]) for number in range(5)]
    path = written(tmp_path / "one.pq", groups, encodings(groups[0], ["use", "sort_index"]))
    together = pa.concat_tables(groups)
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        assert file.num_row_groups == 5
        assert file.metadata.num_rows == 5 * ROWS
        for number in (4, 0, 2):  # the places are those of the file, not of the group alone
            assert file.read_row_group(number).column("heat").equals(groups[number].column("heat"))
    expected = together.column("heat").to_numpy()
    np.testing.assert_array_equal(pl.read_parquet(path)["heat"].to_numpy(), expected)
    np.testing.assert_array_equal(pd.read_parquet(path)["heat"].to_numpy(), expected)
    query = "select sum(hour), count(distinct use), max(sort_index) from read_parquet(?)"
    assert duckdb.execute(query, [str(path)]).fetchone() == (5 * sum(range(ROWS)), 7, 4)
    assert pl.scan_parquet(path).filter(pl.col("sort_index") == 3).select(pl.len()).collect().item() == ROWS


def test_a_file_of_many_columns_and_of_none_of_its_rows(tmp_path: Path) -> None:
    wide = pa.table({f"c{at}": pa.array(np.random.default_rng(at).random(3)) for at in range(1500)})
    path = written(tmp_path / "wide.pq", [wide] * 3, encodings(wide, []))
    assert pq.read_table(path).equals(pa.concat_tables([wide] * 3))
    empty = GroupedFile(tmp_path / "empty.pq", wide.schema, {})
    empty.close(ABOUT)
    assert pq.read_table(tmp_path / "empty.pq").num_rows == 0
    assert pq.read_schema(tmp_path / "empty.pq").metadata == ABOUT


def test_a_group_of_other_columns_is_an_error(tmp_path: Path) -> None:
    file = GroupedFile(tmp_path / "one.pq", pa.schema({"a": pa.int64()}), {})
    with pytest.raises(ValueError, match="schema"):
        file.encode(pa.table({"b": [1]}), ["b"])
    file.abandon()


def test_a_file_beyond_four_gigabytes_has_the_places_of_its_pages() -> None:
    made = pa.BufferOutputStream()
    pq.write_table(group(0), made)
    data = made.getvalue().to_pybytes()
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
    for by in (0, 1, 127, 1 << 14, 5 << 32):
        new = moved(footer, by)
        length = len(new).to_bytes(4, "little")
        about = pq.read_metadata(pa.BufferReader(b"PAR1" + new + length + b"PAR1"))
        before = pq.read_metadata(pa.BufferReader(data))
        for at in range(before.num_columns):
            old, one = before.row_group(0).column(at), about.row_group(0).column(at)
            assert one.data_page_offset == old.data_page_offset + by
            dictionary = old.dictionary_page_offset
            assert one.dictionary_page_offset == (None if dictionary is None else dictionary + by)
            assert one.statistics == old.statistics
            assert one.total_compressed_size == old.total_compressed_size
        assert moved(new, -by) == footer


@pytest.mark.parametrize("garbage", [b"", b"\x15", b"\x1d\x00", b"\xff" * 40])
def test_what_is_no_footer_is_an_error(garbage: bytes) -> None:
    with pytest.raises((IndexError, ValueError)):
        moved(garbage, 4)

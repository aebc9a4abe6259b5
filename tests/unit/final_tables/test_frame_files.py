"""Final tables of frames in one file or several: sizes, cuts, order, widening, places."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from frame_rows import rows_of

from scythe_cli.columns import frames
from scythe_cli.core import layout
from scythe_cli.final_tables import frame_files
from scythe_cli.final_tables.frame_table import FrameTable

KINDS: dict[str, pa.DataType] = {layout.SORT_INDEX: pa.int64(), "use": pa.string()}
INDEX = pa.schema(list(KINDS.items()))
SPECS = pa.table([pa.array(range(50)), pa.array([f"use {at % 3}" for at in range(50)])], schema=INDEX)


@pytest.fixture
def open_table(tmp_path: Path) -> Iterator[Callable[[int], FrameTable]]:
    """Starts a final table with a largest size of its files."""
    numbers = itertools.count()
    with ThreadPoolExecutor(1) as writers:
        yield lambda max_file: FrameTable(
            lambda: tmp_path / f"{next(numbers)}.pq", INDEX, {"specs": 50}, max_file=max_file, writers=writers
        )


def part(row: int, frame: Any) -> pa.Table:
    """A frame of one spec, as a part holds it."""
    table = frames.to_arrow("t", frame, {})
    return table.append_column(frames.ROW, pa.array([row] * table.num_rows, pa.int64()))


def filled(table: FrameTable, made: list[Any]) -> list[Path]:
    """The files of a table with a frame for each spec."""
    for row, frame in enumerate(made):
        one = part(row, frame)
        if not table.knows(one.schema):
            assert table.fit(one) is None
        if one.num_rows > 1:
            table.count_places()
        table.append(rows_of(one), SPECS, 0)
    return [*table.finish().files]


def random_frame(row: int, rows: int = 200, columns: int = 5) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(row).random((rows, columns)), columns=[f"c{at}" for at in range(columns)])


@pytest.mark.parametrize("columns", [5, 40])
def test_files_are_about_as_large_as_asked_and_cut_between_specs(
    open_table: Callable[[int], FrameTable], columns: int
) -> None:
    made = [random_frame(row, columns=columns) for row in range(50)]
    limit = 400_000 if columns == 40 else 60_000
    paths = filled(open_table(limit), made)
    assert len(paths) > 4
    assert max(path.stat().st_size for path in paths) <= limit
    assert min(path.stat().st_size for path in paths[:-1]) > limit // 3
    specs: list[list[Any]] = [pq.read_table(path)[layout.SORT_INDEX].to_pylist() for path in paths]
    assert all(max(one) < min(other) for one, other in itertools.pairwise(specs))
    together = pd.concat([pd.read_parquet(path) for path in paths])
    pd.testing.assert_frame_equal(together.reset_index(drop=True), pd.concat(made, ignore_index=True))
    assert together.index.get_level_values("sort_subindex").to_list() == [*range(200)] * 50


def test_a_spec_that_is_larger_than_a_file_is_in_one(open_table: Callable[[int], FrameTable]) -> None:
    paths = filled(open_table(20_000), [random_frame(row, rows=3000) for row in range(3)])
    assert [set(pq.read_table(path)[layout.SORT_INDEX].to_pylist()) for path in paths] == [{0}, {1}, {2}]


def test_a_file_ends_at_so_many_column_chunks(
    open_table: Callable[[int], FrameTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_files, "CHUNKS", 100)
    monkeypatch.setattr(frame_files, "GROUP_BYTES", 20_000)
    paths = filled(open_table(1 << 30), [random_frame(row, rows=20, columns=40) for row in range(20)])
    assert len(paths) > 1
    assert all(pq.ParquetFile(path).num_row_groups <= 2 for path in paths)


def test_all_files_have_the_columns_of_a_later_spec(open_table: Callable[[int], FrameTable]) -> None:
    made: list[Any] = [random_frame(row) for row in range(40)]
    made += [pl.DataFrame({"c0": [1], "note": ["late"]}), pd.DataFrame({"c1": [2.0], "c0": [3.0]})]
    paths = filled(open_table(60_000), made)
    assert len(paths) > 4
    schemas = [pq.read_schema(path) for path in paths]
    assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)
    together = pl.concat([pl.read_parquet(path) for path in paths])
    assert together["note"].to_list() == [None] * 8000 + ["late", None]
    assert together["c0"].to_list()[-2:] == [1.0, 3.0]
    assert together["sort_subindex"].to_list() == [*range(200)] * 40 + [0, 0]
    assert together["use"].to_list()[-1] == "use 2"


def test_rows_that_are_written_get_their_places_when_a_later_spec_needs_them(
    open_table: Callable[[int], FrameTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_files, "GROUP_BYTES", 200)
    (path,) = filled(open_table(1 << 30), [random_frame(row, rows=1) for row in range(40)] + [random_frame(40, rows=3)])
    assert pd.read_parquet(path).index.get_level_values("sort_subindex").to_list() == [0] * 40 + [0, 1, 2]


@pytest.mark.parametrize("group", [100, 1 << 20])
def test_plain_numbers_stay_when_a_later_spec_has_an_index(
    open_table: Callable[[int], FrameTable], monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    monkeypatch.setattr(frame_files, "GROUP_BYTES", group)
    made = [pd.DataFrame({"v": [1.0, 2.0, 3.0]}) for _ in range(20)]
    made.append(pd.DataFrame({"v": [4.0, 5.0]}, index=[7, 9]))
    (path,) = filled(open_table(1 << 30), made)
    assert pl.read_parquet(path)["index"].to_list() == [0, 1, 2] * 20 + [7, 9]


def test_files_of_text_categories_that_a_later_spec_adds_to(open_table: Callable[[int], FrameTable]) -> None:
    made = [pd.DataFrame({"kind": pd.Categorical(["b"] * 5000), "n": range(5000)}) for _ in range(8)]
    made.append(pd.DataFrame({"kind": pd.Categorical(["z"]), "n": [1]}))
    paths = filled(open_table(30_000), made)
    assert len(paths) > 1
    assert {*paths[0].parent.iterdir()} == {*paths}
    found = pd.concat([pd.read_parquet(path)["kind"].astype(str) for path in paths])
    assert set(found) == {"b", "z"}
    assert str(pd.read_parquet(paths[0])["kind"].dtype) == "category"


def test_a_value_that_the_wider_type_would_change_leaves_the_files_as_they_are(
    open_table: Callable[[int], FrameTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_files, "GROUP_BYTES", 100)
    table = open_table(1 << 30)
    for row in range(40):
        one = part(row, pl.DataFrame({"v": [2**60 + row]}))
        assert table.fit(one) is None
        table.append(rows_of(one), SPECS, 0)
    assert table.fit(part(40, pl.DataFrame({"v": [0.5]}))) is not None
    table.append(rows_of(part(41, pl.DataFrame({"v": [7]}))), SPECS, 0)
    (path,) = table.finish().files
    assert pq.read_table(path)["v"].to_pylist() == [*range(2**60, 2**60 + 40), 7]
    assert [*path.parent.iterdir()] == [path]


def test_index_texts_come_back_as_text(open_table: Callable[[int], FrameTable]) -> None:
    (path,) = filled(open_table(1 << 30), [random_frame(row) for row in range(3)])
    assert pq.read_schema(path).field("use").type == pa.string()
    assert str(pl.read_parquet(path).schema["use"]) == "String"


def test_a_frame_may_have_a_column_sort_subindex_that_lacks_values(open_table: Callable[[int], FrameTable]) -> None:
    made: list[Any] = [pl.DataFrame({"a": [1, 2, 3], "sort_subindex": [5, None, 7]}), pl.DataFrame({"a": [4]})]
    (path,) = filled(open_table(1 << 20), made)
    assert pl.read_parquet(path)["a"].to_list() == [1, 2, 3, 4]


@pytest.mark.parametrize("max_file", [1 << 20, 4096])
def test_frames_go_on_after_one_that_fits_only_without_those_before(
    open_table: Callable[[int], FrameTable], monkeypatch: pytest.MonkeyPatch, max_file: int
) -> None:
    monkeypatch.setattr(frame_files, "GROUP_ROWS", 4)
    table = open_table(max_file)
    for row in range(30):
        one = part(row, pl.DataFrame({"a": [2**60 + 1] * 3, "s": [f"text {row}"] * 3}))
        assert table.knows(one.schema) or table.fit(one) is None
        table.count_places()
        table.append(rows_of(one), SPECS, 0)
        if row == 20:
            assert table.fit(part(row + 1, pl.DataFrame({"a": [0.5], "s": ["misfit"]}))) is not None
    together = pl.concat([pl.read_parquet(path) for path in table.finish().files])
    assert together["s"].to_list() == [f"text {row}" for row in range(30) for _ in range(3)]
    assert set(together["a"]) == {2**60 + 1}


def test_specs_of_one_length_fill_row_groups_alike(
    open_table: Callable[[int], FrameTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_files, "GROUP_ROWS", 700)
    made = [part(row, random_frame(row)) for row in range(50)]
    table = open_table(1 << 30)
    assert table.fit(made[0]) is None
    table.count_places()
    ends = list(itertools.accumulate([1, 7, 2, 12, 3, 25]))
    for start, end in itertools.pairwise([0, *ends]):  # as parts and their row groups come
        table.append(rows_of(pa.concat_tables(made[start:end])), SPECS, 0)
    (path,) = table.finish().files
    about = pq.ParquetFile(path).metadata
    assert [about.row_group(at).num_rows for at in range(about.num_row_groups)] == [800] * 12 + [400]
    assert pq.read_table(path)[layout.SORT_INDEX].to_pylist() == [row for row in range(50) for _ in range(200)]


@pytest.mark.parametrize("lengths", [[20] * 70, [50] * 30])
def test_row_groups_are_alike_where_pieces_end_within_specs(
    monkeypatch: pytest.MonkeyPatch, open_table: Callable[[int], FrameTable], lengths: list[int]
) -> None:
    monkeypatch.setattr(frame_files, "GROUP_ROWS", 262)
    table = open_table(1 << 30)
    made = pa.concat_tables([part(row % 50, random_frame(row, rows=n)) for row, n in enumerate(lengths[:50])])
    assert table.fit(made.slice(0, lengths[0])) is None
    table.count_places()
    for start in range(0, made.num_rows, 75):
        table.append(rows_of(made.slice(start, 75)), SPECS, 0)
    (path,) = table.finish().files
    about = pq.ParquetFile(path).metadata
    found = [about.row_group(at).num_rows for at in range(about.num_row_groups)]
    assert set(found[:-1]) == {-(-262 // lengths[0]) * lengths[0]}
    assert pq.read_table(path)["sort_subindex"].to_pylist() == [at for n in lengths[:50] for at in range(n)]

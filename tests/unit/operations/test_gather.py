"""Frames that clash at the gather: which specs fail for it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from frame_rows import rows_of

from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec
from scythe_cli.columns import frames
from scythe_cli.core import layout
from scythe_cli.final_tables.frame_table import Clash, FrameTable
from scythe_cli.lane.encode import Encoder
from scythe_cli.lane.output_model import OutputModel
from scythe_cli.lane.outputs import Outputs
from scythe_cli.lane.pending import Pending
from scythe_cli.operations.gather_frames import _fit_part

INDEX = pa.schema([pa.field(layout.SORT_INDEX, pa.int64())])


@pytest.fixture
def table(tmp_path: Path) -> Iterator[FrameTable]:
    """A frame's final table in the making."""
    numbers = itertools.count()
    with ThreadPoolExecutor(1) as writers:
        made = FrameTable(lambda: tmp_path / f"{next(numbers)}.pq", INDEX, {}, max_file=1 << 30, writers=writers)
        yield made
        made.close()


class Part:
    """A part in memory."""

    def __init__(self, frame: pa.Table) -> None:
        self._frame = frame
        self.schema, self.groups = frame.schema, 1

    def read(self, group: int) -> pa.Table:
        assert group == 0
        return self._frame

    def counts(self, rows: Any) -> Any:
        return np.ones(len(rows), bool)


def stack(rows: list[int], **columns: list[object]) -> pa.Table:
    """Frames of several specs, one row each, as a part holds them."""
    return pa.table({**columns, frames.ROW: pa.array(rows, pa.int64())})


def specs(n: int) -> pa.Table:
    return pa.table([pa.array(range(n))], schema=INDEX)


def test_only_the_spec_whose_frame_clashes_fails_of_those_in_its_part(table: FrameTable) -> None:
    first: Any = Part(stack([5, 6], a=[None, "x"], b=[1, 2]))
    assert list(_fit_part(table, first, lambda: iter(()))) == []
    assert table.typed_by == {"a": 6, "b": 5}
    part: Any = Part(stack([7, 8, 9], a=[None, 1, None], b=[1, 2, 3]))
    misfits = list(_fit_part(table, part, lambda: iter(())))
    assert misfits == [(8, Clash("column 'a' is int64, not string,", 6))]
    fitting = part.read(0).take([0, 2])
    table.append(rows_of(fitting), specs(10), 0)
    (path,) = table.finish().files
    assert pq.read_table(path).to_pydict() == {"a": [None, None], "b": [1, 3], "sort_index": [7, 9]}


def test_many_frames_that_do_not_fit_the_first_are_two_stacks() -> None:
    many = [pa.table({"v": [2**60 + 1]})] * 50
    stacked, apart = frames.stack([*many, pa.table({"v": [0.5]}), *many])
    assert (stacked.num_rows, apart) == (100, [50])


EMPTY: list[Any] = [
    pa.table({"name": pa.nulls(0, pa.float64()), "hour": pa.nulls(0, pa.float64())}),
    pa.table({"hour": pa.nulls(0, pa.timestamp("us", "UTC")), "name": pa.nulls(0, pa.list_(pa.int8()))}),
    pa.table({"name": pa.nulls(2, pa.float64()), "hour": [5, 6]}),
]
FULL = pa.table({"name": ["a"], "hour": [1]})


@pytest.mark.parametrize("order", list(permutations([*EMPTY, FULL, FULL])))
def test_a_frame_without_values_decides_no_type(order: tuple[pa.Table, ...], table: FrameTable) -> None:
    stacked, apart = frames.stack(list(order))
    assert apart == []
    assert {f.name: f.type for f in stacked.schema} == {"name": pa.string(), "hour": pa.int64()}
    assert stacked.num_rows == 4
    for row, one in enumerate(order):
        placed = _placed(one, row)
        assert table.fit(placed) is None
        if placed.num_rows:
            table.append(rows_of(placed), specs(5), 0)
    (path,) = table.finish().files
    left = pq.read_table(path).drop_columns([layout.SORT_INDEX])
    assert {f.name: f.type for f in left.schema} == {
        "name": pa.string(),
        "hour": pa.int64(),
    }
    assert sorted(map(str, left.column("name").to_pylist())) == ["None", "None", "a", "a"]
    assert table.typed_by["name"] == order.index(FULL)


def _placed(one: pa.Table, row: int) -> pa.Table:
    return one.append_column(frames.ROW, pa.array([row] * one.num_rows, pa.int64()))


def test_frames_that_are_all_without_values_keep_what_they_say_in_any_order() -> None:
    kinds: list[Any] = [pa.int32(), pa.null(), pa.int64()]
    for order in permutations(kinds):
        stacked, _ = frames.stack([pa.table({"v": pa.nulls(0, kind)}) for kind in order])
        assert stacked.schema == pa.schema([("v", pa.int64())])
    for order in permutations([*kinds, pa.date32()]):
        stacked, _ = frames.stack([pa.table({"v": pa.nulls(0, kind)}) for kind in order])
        assert stacked.schema == pa.schema([("v", pa.string())])


def test_the_first_case_with_values_keeps_its_type_behind_one_without() -> None:
    tables = [pa.table({"v": pa.nulls(1)}), pa.table({"v": [2**60 + 1]}), pa.table({"v": [0.5]})]
    stacked, apart = frames.stack(tables)
    assert (stacked.column("v").to_pylist(), apart) == ([None, 2**60 + 1], [2])


class _X(ExperimentInputSpec):
    x: int


class _Y(ExperimentOutputSpec):
    y: int


NO_COLUMNS: list[Any] = [pl.DataFrame({"x": [1, 1, 1]}), pd.DataFrame(index=range(3)), pa.table({"x": [1, 1, 1]})]


@pytest.mark.parametrize("frame", NO_COLUMNS)
@pytest.mark.parametrize("beside", [False, True])
def test_rows_without_columns_of_their_own_are_kept(frame: Any, beside: bool, tmp_path: Path) -> None:
    model, pending = OutputModel(_Y), Pending()
    outputs = Outputs(model, _X, outbox="", root="")
    tables = [frame, pl.DataFrame({"v": [7]}), frame] if beside else [frame, frame]
    for row, table in enumerate(tables):
        output = _Y(y=1, dataframes={"k": table})
        assert outputs.accept(pending, row, _X(x=1, sort_index=row), output, tmp_path) is output
        pending.add(row, row, output=output, attempt=1, start=0.0, duration=0.0)
    ((_, buffers),) = Encoder(model, worker="").messages(pending)
    part = pa.ipc.open_stream(buffers[1]).read_all()
    assert part.column(frames.ROW).to_pylist() == ([0, 0, 0, 1, 2, 2, 2] if beside else [0, 0, 0, 1, 1, 1])
    if beside:
        assert part.column("v").to_pylist() == [None, None, None, 7, None, None, None]

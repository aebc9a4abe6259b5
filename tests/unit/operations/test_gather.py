"""Frames that clash at the gather: which specs fail for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec
from scythe_cli.columns import frames
from scythe_cli.core import layout
from scythe_cli.lane.encode import Encoder
from scythe_cli.lane.output_model import OutputModel
from scythe_cli.lane.outputs import Outputs
from scythe_cli.lane.pending import Pending
from scythe_cli.operations.final_table import Clash, FinalTable
from scythe_cli.operations.gather_frames import FrameTables


def stack(rows: list[int], **columns: list[object]) -> pa.Table:
    """Frames of several specs, one row each, as a part holds them."""
    ids = {frames.ROW: pa.array(rows, pa.int64()), layout.SORT_SUBINDEX: pa.array([0] * len(rows), pa.int64())}
    return pa.table({**columns, **ids})


def test_only_the_spec_whose_frame_clashes_fails_of_those_in_its_part(tmp_path: Path) -> None:
    columns = {"a": pa.string(), "b": pa.int64(), layout.SORT_SUBINDEX: pa.int64()}
    schema = pa.schema([pa.field(name, kind) for name, kind in columns.items()])
    with ThreadPoolExecutor(1) as writers:
        gathering = object.__new__(FrameTables)
        table = FinalTable(tmp_path / "f.pq", schema, index=[], about={}, writers=writers)
        gathering._tables = {"f": table}
        fitting: list[pa.Table] = []
        assert list(gathering._fit("f", stack([5, 6], a=[None, "x"], b=[1, 2]), [])) == []
        assert table.typed_by == {"a": 6, "b": 5}
        part = stack([7, 8, 9], a=[None, 1, None], b=[1, 2, 3])
        misfits = list(gathering._fit("f", part, fitting))
        table.close()
    assert [row for row, _ in misfits] == [8]
    assert misfits[0][1] == Clash("a", "column 'a' is int64, not string,")
    assert [one.column(frames.ROW).to_pylist() for one in fitting] == [[7], [9]]
    assert all(one.schema.field("a").type == pa.string() for one in fitting)


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
def test_a_frame_without_values_decides_no_type(order: tuple[pa.Table, ...], tmp_path: Path) -> None:
    stacked, apart = frames.stack(list(order))
    assert apart == []
    assert {f.name: f.type for f in stacked.schema} == {"name": pa.string(), "hour": pa.int64()}
    assert stacked.num_rows == 4
    with ThreadPoolExecutor(1) as writers:
        index = pa.field(layout.SORT_SUBINDEX, pa.int64())
        table = FinalTable(tmp_path / "f.pq", pa.schema([*order[0].schema, index]), index=[], about={}, writers=writers)
        for row, one in enumerate(order):
            fitted = table.fit(_placed(one, row))
            assert isinstance(fitted, pa.Table), fitted
            if fitted.num_rows:
                table.add([table.refit(fitted).column(name) for name in table.schema.names])
        table.close()
    left = pq.read_table(tmp_path / "f.pq")
    assert {f.name: f.type for f in left.schema.remove(left.schema.get_field_index("sort_subindex"))} == {
        "name": pa.string(),
        "hour": pa.int64(),
    }
    assert sorted(map(str, left.column("name").to_pylist())) == ["None", "None", "a", "a"]
    assert table.typed_by["name"] == order.index(FULL)


def _placed(one: pa.Table, row: int) -> pa.Table:
    ids = {frames.ROW: [row] * one.num_rows, layout.SORT_SUBINDEX: list(range(one.num_rows))}
    return pa.table([*one.columns, *(pa.array(at, pa.int64()) for at in ids.values())], [*one.column_names, *ids])


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
    assert part.column(layout.SORT_SUBINDEX).to_pylist() == ([0, 1, 2, 0, 0, 1, 2] if beside else [0, 1, 2, 0, 1, 2])
    if beside:
        assert part.column("v").to_pylist() == [None, None, None, 7, None, None, None]

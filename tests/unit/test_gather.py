"""Frames that clash at the gather: which specs fail for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from scythe_cli import frames, layout
from scythe_cli.final import FinalTable
from scythe_cli.gather import _Gather


def stack(rows: list[int], **columns: list[object]) -> pa.Table:
    """Frames of several specs, one row each, as a part holds them."""
    ids = {frames.ROW: pa.array(rows, pa.int64()), layout.SORT_SUBINDEX: pa.array([0] * len(rows), pa.int64())}
    return pa.table({**columns, **ids})


def test_only_the_spec_whose_frame_clashes_fails_of_those_in_its_part(tmp_path: Path) -> None:
    columns = {"a": pa.string(), "b": pa.int64(), layout.SORT_SUBINDEX: pa.int64()}
    schema = pa.schema([pa.field(name, kind) for name, kind in columns.items()])
    with ThreadPoolExecutor(1) as writers:
        gathering = object.__new__(_Gather)
        table = FinalTable(tmp_path / "f.pq", schema, index=[], about={}, writers=writers)
        gathering._tables = {"f": table}
        fitting: list[pa.Table] = []
        part = stack([7, 8, 9], a=[None, 1, None], b=[1, 2, 3])
        misfits = list(gathering._fit("f", part, fitting))
        table.close()
    assert [row for row, _ in misfits] == [8]
    assert "column 'a' is int64, not string," in misfits[0][1]
    assert [one.column(frames.ROW).to_pylist() for one in fitting] == [[7], [9]]
    assert all(one.schema.field("a").type == pa.string() for one in fitting)


def test_many_frames_that_do_not_fit_the_first_are_two_stacks() -> None:
    many = [pa.table({"v": [2**60 + 1]})] * 50
    stacked, apart = frames.unite([*many, pa.table({"v": [0.5]}), *many])
    assert (stacked.num_rows, apart) == (100, [50])

"""The frames of a block: which spec's frame does not fit does not depend on which worker ran what, and when."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scythe_cli.columns import frames
from scythe_cli.core import layout
from scythe_cli.final_tables.frame_part import FramePart
from scythe_cli.final_tables.frame_table import FrameTable
from scythe_cli.operations.gather_blocks import LoadedBlock
from scythe_cli.operations.gather_frames import FrameTables
from scythe_cli.run.parts import encode
from scythe_cli.storage.local import LocalStore

VALUES: list[Any] = [None, "text", None, 7, "more", 8.5]
INDEX = pa.schema([pa.field(layout.SORT_INDEX, pa.int64())])
DIVISIONS = [
    [[0, 1, 2, 3, 4, 5]],
    [[0, 1, 2], [3, 4, 5]],
    [[0, 2, 3], [1, 4, 5]],
    [[5], [4], [3], [2], [1], [0]],
    [[3, 5], [0, 2], [1, 4]],
]


def frame(row: int) -> pa.Table:
    """Two rows of one spec, with a column that differs in type and one that has a number for each."""
    values = pa.array([VALUES[row]] * 2, pa.null() if VALUES[row] is None else None)
    return pa.table({"v": values, "n": [row, row], frames.ROW: [row, row]})


def parts_of(store: LocalStore, division: list[list[int]]) -> list[tuple[str, FramePart]]:
    """Parts as workers write them: frames of a part that clash are in a part of their own."""
    held: list[pa.Table] = []
    for rows in division:
        rest = [frame(row) for row in rows]
        while rest:
            stacked, apart = frames.stack(rest)
            held.append(stacked)
            rest = [rest[at] for at in apart]
    for at, table in enumerate(held):
        store.write(f"{at}.pq", encode(table))
    return [("t", FramePart(store, f"{at}.pq")) for at in range(len(held))]


@pytest.mark.parametrize("division", DIVISIONS)
def test_the_type_of_the_first_spec_with_a_value_counts(tmp_path: Path, division: list[list[int]]) -> None:
    numbers = itertools.count()
    specs = pa.table([pa.array(range(6))], schema=INDEX)
    LocalStore(tmp_path).write(layout.input_block(0), encode(specs))
    with ThreadPoolExecutor(1) as writers:
        tables = FrameTables(
            LocalStore(tmp_path),
            lambda: FrameTable(
                lambda: tmp_path / f"table-{next(numbers)}.pq", INDEX, {}, max_file=1 << 30, writers=writers
            ),
        )
        block = LoadedBlock(specs, specs, parts_of(LocalStore(tmp_path), division), 0)
        misfits = tables.add(block, 0)
        assert sorted(misfits) == [3, 5]
        assert all("unlike in spec 1" in message for message in misfits.values())
        (path,) = tables.tables["t"].finish().files
    found = pq.read_table(path)
    assert found["v"].to_pylist() == [None, None, "text", "text", None, None, "more", "more"]
    assert found["n"].to_pylist() == [0, 0, 1, 1, 2, 2, 4, 4]

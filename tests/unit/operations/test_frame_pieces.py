"""The rows of frames in the order of their specs, in pieces of any size."""

from __future__ import annotations

import itertools
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scythe_cli.columns import frames
from scythe_cli.core import layout
from scythe_cli.operations import frame_pieces


def table(specs: list[tuple[int, int]]) -> pa.Table:
    """The rows of several specs, so many each, as a part holds them."""
    rows = [row for row, length in specs for _ in range(length)]
    places = [place for _, length in specs for place in range(length)]
    own = pa.array([f"{row}.{place}" for row, place in zip(rows, places, strict=True)], pa.string())
    ids = [pa.array(ids, pa.int64()) for ids in (rows, places)]
    return pa.table([own, *ids], names=["own", frames.ROW, layout.SORT_SUBINDEX])


SPECS: Any = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=8)
SIZES = st.lists(st.integers(1, 5), min_size=1)


@pytest.mark.parametrize("sorted_rows", [0, 1 << 17])
@given(
    lengths=SPECS, sizes=st.lists(st.integers(1, 5), min_size=1), left_out=st.sets(st.integers(0, 7)), order=st.data()
)
def test_every_row_is_in_a_piece_in_order(
    sorted_rows: int, lengths: list[tuple[int, int]], sizes: list[int], left_out: set[int], order: st.DataObject
) -> None:
    held: list[list[tuple[int, int]]] = [[], [], []]
    for row, (length, at) in order.draw(st.permutations(list(enumerate(lengths)))):
        held[at].append((row, length))
    endless = itertools.cycle(sizes)
    asked: list[int] = []

    def size() -> int:
        asked.append(next(endless))
        return asked[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_pieces, "SORTED_ROWS", sorted_rows)
        found = list(frame_pieces.pieces([table(specs) for specs in held], without=left_out, size=size))
    wanted = [f"{row}.{at}" for row, (length, _) in enumerate(lengths) if row not in left_out for at in range(length)]
    assert [own for piece in found for own in piece.column("own").to_pylist()] == wanted
    assert [piece.num_rows for piece in found[:-1]] == asked[: len(found) - 1]


def test_rows_of_a_spec_that_stand_apart_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_pieces, "SORTED_ROWS", 0)
    apart = pa.concat_tables([table([(1, 2)]), table([(0, 1)]), table([(1, 3)]).slice(2)])
    (piece,) = frame_pieces.pieces([apart], without=(), size=lambda: 9)
    assert piece.column("own").to_pylist() == ["0.0", "1.0", "1.1", "1.2"]

"""What makes two specs the same."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from scythe_cli.reuse import keys
from scythe_cli.reuse.keys import keys_of


def hashes(columns: dict[str, Any], *, files: keys.Identities | None = None, by_sort_index: bool = False) -> list[int]:
    """The hashes of a table's rows."""
    pieces = keys_of(pa.table(columns), files or {}, by_sort_index=by_sort_index, rows=keys.PIECE)
    return [number for piece in pieces for number in piece.hashes().tolist()]


def test_equal_rows_have_equal_hashes_in_any_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"x": [1, 2, 1, 3, 1], "name": ["a", None, "a", "b", "a"], "tags": [[1], [2], [1], None, [1]]}
    whole = hashes(columns)
    assert whole[0] == whole[2] == whole[4]
    assert len(set(whole)) == 3
    monkeypatch.setattr(keys, "PIECE", 2)
    assert hashes(columns) == whole


def test_the_order_of_the_columns_does_not_matter() -> None:
    assert hashes({"x": [1], "y": [2.0]}) == hashes({"y": [2.0], "x": [1]})


def test_ids_do_not_matter_and_the_sort_index_where_it_is_asked_for() -> None:
    one, other = {"x": [1], "sort_index": [0]}, {"x": [1], "sort_index": [7]}
    assert hashes(one) == hashes(other)
    assert hashes(one, by_sort_index=True) != hashes(other, by_sort_index=True)


def test_files_are_what_they_are_and_not_where() -> None:
    here = hashes({"weather": ["/a/x.epw"]}, files={"weather": {"/a/x.epw": "x.epw\0aa"}})
    assert here == hashes({"weather": ["s3://b/x.epw"]}, files={"weather": {"s3://b/x.epw": "x.epw\0aa"}})


def test_a_file_of_which_nothing_is_known_is_told_with_its_rows() -> None:
    files = {"weather": {"a": "a\0aa", "b": None}}
    (piece,) = keys_of(pa.table({"weather": ["a", "b", None, "c"]}), files, by_sort_index=False, rows=10)
    assert piece.known.tolist() == [True, False, True, False]
    assert piece.unknown == {"b", "c"}
    assert len(set(piece.hashes().tolist())) == 4

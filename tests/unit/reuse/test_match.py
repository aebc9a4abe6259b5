"""Specs of a new run are matched with those of an earlier one, in memory and from the disk, in pieces of any size."""

from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from scythe_cli.errors import InputError
from scythe_cli.reuse import key_index, keys
from scythe_cli.reuse.keys import keys_of
from scythe_cli.reuse.match import match


def keyed(columns: dict[str, Any], files: keys.Identities | None = None) -> keys.Keys:
    return keys_of(pa.table(columns), files or {}, by_sort_index=False, rows=keys.PIECE)


def pairs(old: dict[str, Any], new: dict[str, Any], reusable: list[bool] | None = None) -> list[tuple[int, int]]:
    """The rows of `new` that are in `old`, with those."""
    found = match(keyed(new), keyed(old), None if reusable is None else np.array(reusable))
    return list(zip(found.rows.tolist(), found.source_rows.tolist(), strict=True))


@pytest.fixture(params=["memory", "disk"])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "disk":
        monkeypatch.setattr(key_index, "MEMORY_LIMIT", 0)


@pytest.mark.usefixtures("storage")
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_the_kth_of_equal_specs_matches_the_kth(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(keys, "PIECE", size)
    assert pairs({"x": [1, 2, 1]}, {"x": [1, 1, 1, 2]}) == [(0, 0), (1, 2), (3, 1)]
    assert pairs({"x": [1, 2, 1]}, {"x": [1, 1, 1, 2]}, [False, True, True]) == [(1, 2), (3, 1)]


@pytest.mark.usefixtures("storage")
@pytest.mark.parametrize("seed", range(5))
def test_shuffled_tables(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    dice = random.Random(seed)
    old = [dice.choice([None, *range(300)]) for _ in range(500)]
    new = [dice.choice([None, *range(300)]) for _ in range(700)]
    monkeypatch.setattr(keys, "PIECE", 64)
    places = defaultdict(list)
    for row, value in enumerate(old):
        places[value].append(row)
    seen: Counter[int | None] = Counter()
    expected = []
    for row, value in enumerate(new):
        if seen[value] < len(places[value]):
            expected.append((row, places[value][seen[value]]))
        seen[value] += 1
    assert pairs({"x": old, "name": [str(value) for value in old]}, {"x": new, "name": list(map(str, new))}) == expected


@pytest.mark.usefixtures("storage")
@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([1, 1, 2, 3], [1, 1, 2, 3], [(0, 0), (1, 1), (2, 2), (3, 3)]),
        ([1, 1, 2], [1, 1, 2, 1, 2, 5], [(0, 0), (1, 1), (2, 2)]),
        ([1, 2, 1, 2, 3], [1, 2, 3, 2, 1], [(0, 0), (1, 1), (2, 4), (3, 3), (4, 2)]),
        ([1, 2, 3, 1], [1, 2], [(0, 0), (1, 1)]),
        ([7], [8, 7], [(1, 0)]),
    ],
)
def test_tables_that_begin_alike(
    monkeypatch: pytest.MonkeyPatch, size: int, old: list[int], new: list[int], expected: list[tuple[int, int]]
) -> None:
    monkeypatch.setattr(keys, "PIECE", size)
    assert pairs({"x": old}, {"x": new}) == expected


def test_tables_that_are_the_same_need_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(keys.KeyedPiece, "hashes")
    assert pairs({"x": [1, 2, 1]}, {"x": [1, 2, 1]}) == [(0, 0), (1, 1), (2, 2)]


def test_specs_that_only_share_a_hash_are_not_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys.KeyedPiece, "hashes", lambda piece: np.arange(len(piece), dtype=np.uint64))
    assert pairs({"x": [1, 2, 3]}, {"x": [1, 5, 3]}) == [(0, 0), (2, 2)]


def test_specs_whose_file_is_unknown_are_not_matched() -> None:
    known: keys.Identities = {"weather": {"a": "a", "b": None, "c": None}}
    found = match(keyed({"weather": ["a", "b", "c"]}, known), keyed({"weather": ["a", "b"]}, known))
    assert found.rows.tolist() == [0]
    assert found.unknown == ["b", "c"]


def test_the_same_unknown_file_is_not_matched() -> None:
    known: keys.Identities = {"weather": {"a": "a", "b": None}}
    found = match(keyed({"weather": ["a", "b"]}, known), keyed({"weather": ["a", "b"]}, known))
    assert found.rows.tolist() == [0]


def test_other_fields_are_refused() -> None:
    with pytest.raises(InputError, match="y is new; z is not there any more; x was Int64 and is String"):
        match(keyed({"x": ["1"], "y": [1]}), keyed({"x": [1], "z": [1]}))


def test_a_model_without_fields() -> None:
    empty = {"sort_index": [0, 1, 2]}
    assert pairs({"sort_index": [0, 1]}, empty) == [(0, 0), (1, 1)]


@pytest.mark.usefixtures("storage")
def test_missing_values_and_nan_equal_themselves() -> None:
    old = {"x": [1.0, None, float("nan"), -0.0], "none": pa.nulls(4)}
    new = {"x": [float("nan"), 0.0, 1.0, None], "none": pa.nulls(4)}
    assert pairs(old, new) == [(0, 2), (1, 3), (2, 0), (3, 1)]


def test_no_thread_is_left_when_fields_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "PIECE", 1)
    before = threading.active_count()
    with pytest.raises(InputError):
        match(keyed({"x": [1, 2, 3, 4]}), keyed({"y": [1, 2, 3, 4]}))
    assert threading.active_count() == before

"""The names of claims, the plan of ranges, and the board that is read from listings."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scythe_cli.core.layout import BLOCK
from scythe_cli.core.row_ranges import Range, cut_at_blocks, ranges_of, within
from scythe_cli.engines.shared.claim_board import ClaimBoard
from scythe_cli.engines.shared.claim_names import ClaimName, Step
from scythe_cli.engines.shared.range_plan import SEGMENT, RangePlan, cut
from scythe_cli.storage.local import LocalStore

ROWS = Range(10, 29)
NAMES = [
    ClaimName(ROWS, 1),
    ClaimName(ROWS, 2, Step.FREE),
    ClaimName(ROWS, 3, Step.DONE, (20, 4)),
    ClaimName(ROWS, 1, Step.CUT, (14, 29)),
    ClaimName(ROWS, 2, Step.BEGUN, (17,)),
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.file)
def test_a_name_is_read_as_it_was_written(name: ClaimName) -> None:
    assert ClaimName.parse(name.file) == name


@pytest.mark.parametrize(
    "file",
    [
        *("10-29.yml", "10-29-c0.yml", "29-10-c1.yml", f"10-{BLOCK}-c1.yml", "10-29-c1-done-21-0.yml", "x.yml"),
        *("10-29-c1-done-4-5.yml", "10-29-c1-cut-9-29.yml", "10-29-c1-cut-29-29.yml", "10-29-c1-begun-30.yml"),
        *("10-29-c1-free-1.yml", "10-29-c1-gone.yml", "10-29-c1.yml.part"),
    ],
)
def test_a_name_that_contradicts_itself_counts_for_nothing(file: str) -> None:
    assert ClaimName.parse(file) is None


@given(st.sets(st.integers(0, 3 * BLOCK), max_size=60), st.integers(1, BLOCK))
def test_a_plan_has_every_row_once(rows: set[int], most: int) -> None:
    ranges = ranges_of(sorted(rows))
    plan = cut(ranges, most=most)
    found = [row for one in plan for part in within(ranges, one) for row in part]
    assert found == sorted(rows)
    assert all(one.first // BLOCK == one.last // BLOCK for one in plan)


@pytest.mark.parametrize("rows", [1, 7, 1024, 100_000, 1_000_000])
def test_ranges_are_large_first_and_small_last(rows: int) -> None:
    sizes = [len(one) for one in cut([Range(0, rows - 1)])]
    assert sum(sizes) == rows
    assert sizes[0] == max(sizes)
    assert sizes[-1] <= max(1, rows // 1_000)
    assert len(sizes) < 1000


def test_no_range_is_larger_than_leaf_size() -> None:
    assert max(map(len, cut(cut_at_blocks([Range(0, 99_999)]), most=100))) == 100


def board(*segments: list[Range]) -> ClaimBoard:
    return ClaimBoard(LocalStore(Path("/nowhere")), 1, RangePlan(list(segments)))


def test_a_range_has_the_specs_of_a_call() -> None:
    sizes = [len(one) for one in cut([Range(0, 9_999)], least=1000)]
    assert sizes == [1000] * 4 + [96] + [1000] * 4 + [96] + [1000, 808]


def test_a_claim_holds_its_range_until_it_is_finished_or_given_back() -> None:
    found = board([ROWS, Range(30, 39)])
    found.read(0, [ClaimName(ROWS, 1).file])
    assert [offer.rows for offer in found.free(0)] == [Range(30, 39)]
    assert [offer.rows for offer in found.held()] == [ROWS]
    found.read(0, [ClaimName(ROWS, 1, Step.FREE).file])
    assert [offer.rows for offer in found.free(0)] == [ROWS, Range(30, 39)]
    found.read(0, [ClaimName(ROWS, 2).file])
    assert [offer.rows for offer in found.held()] == [ROWS]
    assert found.offer(0, ROWS).deaths == [2]
    found.read(0, [ClaimName(ROWS, 2, Step.DONE, (20, 3)).file, ClaimName(Range(30, 39), 1, Step.DONE, (10, 0)).file])
    assert found.is_finished
    assert found.counts == (30, 3)


def test_what_was_cut_off_is_a_range_of_its_own() -> None:
    found = board([ROWS])
    found.read(0, [ClaimName(ROWS, 1).file, ClaimName(ROWS, 1, Step.CUT, (14, 29)).file])
    assert found.offer(0, ROWS).kept == Range(10, 14)
    assert [offer.rows for offer in found.free(0)] == [Range(15, 29)]
    found.add(0, ClaimName(ROWS, 1, Step.DONE, (5, 0)))
    assert not found.is_finished
    found.add(0, ClaimName(Range(15, 29), 1, Step.DONE, (15, 0)))
    assert found.is_finished


def test_a_finished_range_whose_rows_are_missing_is_offered_again() -> None:
    other = Range(30, 39)
    found = board([ROWS], [other])
    for segment, rows in enumerate((ROWS, other)):
        found.read(segment, [ClaimName(rows, 1).file, ClaimName(rows, 1, Step.DONE, (len(rows), 0)).file])
    found.reopen([Range(12, 12)])
    assert (found.open_segments, found.counts) == ([0], (10, 0))
    assert [offer.rows for offer in found.all_free()] == [ROWS]
    assert found.offer(0, ROWS).deaths == [], "nobody died over it"
    found.add(0, ClaimName(ROWS, 2))
    assert [offer.rows for offer in found.held()] == [ROWS]
    found.read(0, [ClaimName(ROWS, 1, Step.DONE, (20, 0)).file])
    assert not found.is_finished, "what was read before does not count again"
    found.add(0, ClaimName(ROWS, 2, Step.DONE, (20, 0)))
    assert found.is_finished


def test_a_range_that_another_worker_has_claimed_again_is_not_offered() -> None:
    found = board([ROWS])
    names = [ClaimName(ROWS, 1), ClaimName(ROWS, 1, Step.DONE, (20, 0)), ClaimName(ROWS, 2)]
    found.read(0, [name.file for name in names])
    found.reopen([Range(12, 12)])
    assert found.all_free() == []
    assert [offer.rows for offer in found.held()] == [ROWS]


def test_a_listing_of_one_segment_is_one_page_of_a_bucket() -> None:
    objects_a_range = 4
    assert SEGMENT * objects_a_range <= 1000

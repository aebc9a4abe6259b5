"""A spec cannot hurt another: one run holds every trouble a spec can make, among specs that make none."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import faults
import pytest

sys.path.insert(0, str(faults.TROUBLE))
from trouble import FAILS, LIVES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow
TIMEOUT = 2.5
MEMORY = 600 << 20
TROUBLES = [*FAILS, *sorted(LIVES)]
ROWS = {trouble: 2 * at for at, trouble in enumerate(TROUBLES)}


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[faults.Traces]:
    with faults.temporary(tmp_path_factory.mktemp("faults") / "tmp") as traces:
        yield traces


@pytest.fixture(scope="module")
def tables(traces: faults.Traces, tmp_path_factory: pytest.TempPathFactory) -> faults.Tables:
    """Every trouble, each between two specs without; those of memory in a run of their own, for they are slow."""
    storage = tmp_path_factory.mktemp("runs")
    specs: list[dict[str, Any]] = [
        {"sort_index": 2 * at + more, "trouble": "none" if more else trouble, "tag": "" if more else traces.tag}
        for at, trouble in enumerate(TROUBLES)
        for more in (0, 1)
    ]
    heavy = [spec for spec in specs if _is_heavy(TROUBLES[spec["sort_index"] // 2])]
    light = [spec for spec in specs if spec not in heavy]
    found = faults.Tables({}, {})
    for some, settings in ((light, {"timeout": TIMEOUT}), (heavy, {"memory": MEMORY, "timeout": 60})):
        run = faults.begin(storage, some, retries=0, **settings)
        assert faults.drive(faults.first(run)) is None
        these = faults.tables(run)
        found.good.update(these.good)
        found.bad.update(these.bad)
    return found


def _is_heavy(trouble: str) -> bool:
    return FAILS.get(trouble) == "memory" or "memory" in trouble


@pytest.mark.parametrize("trouble", FAILS)
def test_this_fails_alone(tables: faults.Tables, trouble: str) -> None:
    assert tables.bad[ROWS[trouble]]["kind"] == FAILS[trouble]


@pytest.mark.parametrize("trouble", sorted(LIVES))
def test_this_succeeds(tables: faults.Tables, trouble: str) -> None:
    assert tables.bad.get(ROWS[trouble], {}) == {}
    assert tables.good[ROWS[trouble]]["value"] == ROWS[trouble]


def test_the_others_succeed(tables: faults.Tables) -> None:
    hurt = {row: failure for row, failure in tables.bad.items() if row % 2}
    assert not hurt
    assert set(tables.bad) == {ROWS[trouble] for trouble in FAILS}


def test_nothing_is_left(tables: faults.Tables, traces: faults.Traces) -> None:
    traces.check()


def test_texts_are_bounded_and_keep_head_and_tail(tables: faults.Tables) -> None:
    for failure in tables.bad.values():
        assert len(failure["error_type"].encode()) <= 255
        assert len(failure["message"].encode()) <= 8 << 10
        assert len(failure["traceback"].encode()) <= 32 << 10
        assert len((failure["log"] or "").encode()) <= 64 << 10
    loud = tables.bad[ROWS["prints_for_ever"]]["log"]
    assert "the head" in loud[:200]
    assert "bytes left out" in loud
    assert "yyy" in loud.partition("bytes left out")[2]


def test_what_a_dying_spec_printed_last_is_kept(tables: faults.Tables) -> None:
    assert tables.bad[ROWS["dies_within_a_line"]]["log"].endswith("half a line")


@pytest.mark.parametrize("trouble", ["segfaults", "aborts", "sleeps", "holds_the_gil", "raises"])
def test_the_traceback_shows_the_users_own_line(tables: faults.Tables, trouble: str) -> None:
    failure = tables.bad[ROWS[trouble]]
    assert f" in {trouble}\n" in failure["traceback"]
    assert "scythe_cli" not in failure["traceback"]


def test_what_is_allowed_arrives(tables: faults.Tables) -> None:
    assert math.isnan(tables.good[ROWS["returns_nan_where_allowed"]]["free"])
    assert tables.good[ROWS["returns_infinity_where_allowed"]]["free"] == -math.inf


def test_the_folder_of_temporary_files_is_always_there(traces: faults.Traces, tmp_path: Path) -> None:
    specs = [{"trouble": trouble} for trouble in ("none", "removes it", "none", "none")]
    run = faults.begin(tmp_path, specs, function="trouble:without_tempdir", retries=0)
    assert faults.drive(faults.first(run), lanes=1) is None
    assert not faults.tables(run).bad


@pytest.mark.parametrize(("trouble", "kind"), [("raises", "invalid_output"), ("exits", "lost")])
def test_what_cannot_be_handed_over_fails_alone(tmp_path: Path, trouble: str, kind: str) -> None:
    diary = tmp_path / "diary"
    specs = [{"trouble": trouble, "diary": str(diary), "seconds": 0.02}] * 30
    run = faults.begin(tmp_path / "runs", specs, function="stumbles:work", retries=1)
    assert faults.drive(faults.first(run)) is None
    failures = faults.tables(run).bad
    assert {row: (one["kind"], one["attempts"]) for row, one in failures.items()} == dict.fromkeys(
        [3, 13, 23], (kind, 1)
    )
    if trouble == "raises":
        assert {one["message"] for one in failures.values()} == {"LookupError: no way to tell this"}
        assert len(diary.read_text().splitlines()) == 30, "a neighbour was run again"


def test_a_hand_over_that_ends_the_lane_does_not_count_for_the_spec_at_work(tmp_path: Path) -> None:
    specs = [{"trouble": "exits", "seconds": 1.0 if at == 4 else 0.0} for at in range(6)]
    run = faults.begin(tmp_path / "runs", specs, function="stumbles:work", retries=0)
    assert faults.drive(faults.first(run), lanes=1) is None
    assert {row: one["kind"] for row, one in faults.tables(run).bad.items()} == {3: "lost"}


def test_threads_that_race_for_outcomes_lose_none(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    specs = [{"trouble": "none", "diary": str(diary)}] * 3000
    run = faults.begin(tmp_path / "runs", specs, function="hurried:work", retries=0)
    assert faults.drive(faults.first(run)) is None
    found = faults.tables(run)
    assert set(found.bad) == set(range(0, 3000, 7))
    assert all(row["message"] == str(at) for at, row in found.bad.items())
    assert all(row["value"] == at for at, row in found.good.items())
    assert len(diary.read_text().splitlines()) == 3000, "some were lost, and run again"

"""Timeouts, attempts, limits of failures, and modules whose import is the trouble."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import faults
import pytest

from scythe_cli.core.events import ignore
from scythe_cli.errors import EngineError
from scythe_cli.operations.status import status
from scythe_cli.run.outcomes import ATTEMPTS, ROW
from scythe_cli.run.parts import read_part
from scythe_cli.run.precedence import list_parts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scythe_cli.run.run import Run


pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def traces(tmp_path: Path) -> Iterator[faults.Traces]:
    with faults.temporary(tmp_path / "tmp") as traces:
        yield traces
        traces.check()


def attempts(run: Run) -> dict[int, int]:
    """By row, as the parts tell it."""
    tables = [read_part(run.store, part.key, [ROW, ATTEMPTS]) for part in list_parts(run.store)]
    return {row[ROW]: row[ATTEMPTS] for table in tables for row in table.to_pylist()}


TRIED_AGAIN = ["raises", "exits", "kills_itself", "segfaults", "exits_hard", "sleeps"]


def test_attempts_are_those_of_the_spec_alone(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    troubles = [*TRIED_AGAIN, "returns_none"]
    specs = [{"trouble": t, "diary": str(diary)} for trouble in troubles for t in (trouble, "none", "none")]
    run = faults.begin(tmp_path / "runs", specs, retries=2, timeout=0.7)
    assert faults.drive(faults.first(run)) is None
    tables = faults.tables(run)
    ran = diary.read_text().split()
    assert {row: failure["attempts"] for row, failure in tables.bad.items()} == {
        3 * at: 3 if trouble in TRIED_AGAIN else 1 for at, trouble in enumerate(troubles)
    }
    assert all(ran.count(str(row)) >= failure["attempts"] for row, failure in tables.bad.items())
    assert {attempts(run)[row] for row in tables.good} == {1}


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [({}, {"crash": 2}), ({"retries": 0}, {}), ({"retries": 1}, {"exception": 2, "timeout": 2, "crash": 2})],
)
def test_attempts_by_kind_of_failure(tmp_path: Path, settings: dict[str, Any], wanted: dict[str, int]) -> None:
    specs = [{"trouble": t} for t in ("raises", "segfaults", "sleeps", "returns_none")]
    run = faults.begin(tmp_path / "runs", specs, timeout=1, **settings)
    assert faults.drive(faults.first(run)) is None
    kinds = ("exception", "crash", "timeout", "invalid_output")
    found = {failure["kind"]: failure["attempts"] for failure in faults.tables(run).bad.values()}
    assert found == {kind: wanted.get(kind, 1) for kind in kinds}


def test_another_attempt_may_succeed(tmp_path: Path) -> None:
    specs = [{"trouble": t, "diary": str(tmp_path / "diary")} for trouble in TRIED_AGAIN for t in (trouble, "none")]
    run = faults.begin(tmp_path / "runs", specs, function="trouble:second_time", timeout=2, retries=1)
    assert faults.drive(faults.first(run)) is None
    assert not faults.tables(run).bad
    assert all(attempts(run)[row] == 1 for row in range(1, 12, 2))
    assert all(attempts(run)[row] <= 2 for row in range(0, 12, 2))


def test_others_go_on_between_attempts(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    specs = [{"trouble": "raises" if at == 0 else "none", "diary": str(diary), "seconds": 0.01} for at in range(40)]
    run = faults.begin(tmp_path / "runs", specs, retries=1)
    assert faults.drive(faults.first(run), lanes=1) is None
    ran = diary.read_text().split()
    assert ran.count("0") == 2
    assert ran[1:20].count("0") == 0, "it was tried again at once"
    assert faults.tables(run).kinds == {"exception": 1}


@pytest.mark.parametrize(("limit", "most"), [(3, 12), ("10%", 30)])
def test_max_failures_stops_the_run(tmp_path: Path, limit: Any, most: int) -> None:
    specs = [{"trouble": "raises" if at % 4 == 3 else "none", "seconds": 0.02} for at in range(200)]
    run = faults.begin(tmp_path / "runs", specs, retries=0, max_failures=limit)
    ended = faults.drive(faults.first(run))
    assert ended is not None
    assert ended.reason == "max_failures"
    assert ended.detail.endswith(f"specs failed, more than max_failures ({limit}) allows")
    tables = faults.tables(run, partial=True)
    assert (3 if limit == 3 else 4) < len(tables.bad) <= most
    assert len(tables.good) + len(tables.bad) < 200
    assert status(run).state == "stopped"


def test_the_canary_stops_what_fails_from_its_first_spec(tmp_path: Path) -> None:
    run = faults.begin(tmp_path / "runs", [{"trouble": "raises", "seconds": 0.01}] * 300, retries=0)
    ended = faults.drive(faults.first(run))
    assert ended is not None
    assert ended.reason == "canary"
    assert "all failed alike: ValueError (exception) in raises (exceptions.py:" in ended.detail
    assert 20 <= len(faults.tables(run, partial=True).bad) < 200


def test_the_canary_sings_for_what_kills(tmp_path: Path) -> None:
    run = faults.begin(tmp_path / "runs", [{"trouble": "segfaults"}] * 100, retries=0)
    ended = faults.drive(faults.first(run))
    assert ended is not None
    assert "crash (crash) in segfaults (crashes.py:" in ended.detail


@pytest.mark.parametrize(("settings", "trouble"), [({"max_failures": "all"}, "raises"), ({}, "none")])
def test_the_canary_is_quiet(tmp_path: Path, settings: dict[str, Any], trouble: str) -> None:
    specs = [{"trouble": "raises"}] * 19 + [{"trouble": trouble}] * 11
    run = faults.begin(tmp_path / "runs", specs, retries=0, **settings)
    assert faults.drive(faults.first(run), lanes=1) is None
    assert len(faults.tables(run).bad) == (19 if trouble == "none" else 30)


def test_a_spec_that_hangs_holds_up_no_other(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    diary.touch()
    specs = [{"trouble": "sleeps" if at == 50 else "none", "diary": str(diary)} for at in range(100)]
    run = faults.begin(tmp_path / "runs", specs, grace=0, flush=0.2)
    ticket = faults.submit(faults.first(run))
    with faults.later(lambda: status(run).done >= 98, ticket.stop):
        ended = ticket.wait(ignore)
    assert ended is not None
    assert status(run).done == 99, "what was done, and what stood behind the spec that hangs, is in the store"


@pytest.mark.parametrize("n", [1, 30])
@pytest.mark.parametrize(
    ("trouble", "kind"), [("closes_its_connection", "lost"), ("returns_what_its_validator_exits_hard_on", "crash")]
)
def test_a_spec_that_ends_its_lane_between_rows_fails_alone(tmp_path: Path, n: int, trouble: str, kind: str) -> None:
    specs = [{"trouble": trouble if at == n // 2 else "none"} for at in range(n)]
    run = faults.begin(tmp_path / "runs", specs, retries=0)
    assert faults.drive(faults.first(run)) is None
    assert {row: failure["kind"] for row, failure in faults.tables(run).bad.items()} == {n // 2: kind}


def test_an_output_is_judged_before_the_next_spec_ends(tmp_path: Path) -> None:
    specs: list[dict[str, Any]] = [{"trouble": "returns_a_value_with_text_of_its_own"}, {"trouble": "sleeps"}]
    run = faults.begin(tmp_path / "runs", specs, grace=0, flush=0.2)
    ticket = faults.submit(faults.first(run), lanes=1)
    with faults.later(lambda: status(run).done, ticket.stop):
        assert ticket.wait(ignore) is not None
    assert status(run).done == 1


@pytest.mark.parametrize(
    ("trouble", "kinds"),
    [
        ("leaves_shared_memory", {}),
        ("crashes_with_shared_memory", {"crash": 1}),
        ("hangs_with_shared_memory", {"timeout": 1}),
    ],
)
def test_shared_memory_of_a_pool_is_removed(
    tmp_path: Path, traces: faults.Traces, trouble: str, kinds: dict[str, int]
) -> None:
    specs = [{"trouble": trouble, "seconds": 0.01, "tag": traces.tag}, {}]
    run = faults.begin(tmp_path / "runs", specs, retries=0, timeout=4)
    assert faults.drive(faults.first(run), lanes=1) is None
    assert faults.tables(run).kinds == kinds


def test_a_thread_without_a_name_ends_with_its_spec(tmp_path: Path) -> None:
    specs: list[dict[str, Any]] = [{"trouble": "leaves_a_raw_thread"}, *[{"seconds": 0.4}] * 3]
    run = faults.begin(tmp_path / "runs", specs, retries=0)
    assert faults.drive(faults.first(run), lanes=1) is None
    assert not faults.tables(run).bad


def lanes_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, n: int = 12) -> Run:
    monkeypatch.setenv("TROUBLE_IMPORT", how)
    run = faults.begin(
        tmp_path / "runs", [{"diary": str(tmp_path / "diary")}] * n, function="imports:work", max_failures="all"
    )
    monkeypatch.setenv("TROUBLE_IMPORTS", str(tmp_path / "imports"))
    return run


def test_an_import_that_fails_in_the_lane_fails_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lanes_import(tmp_path, monkeypatch, "fails")
    assert faults.drive(faults.first(run)) is None
    tables = faults.tables(run)
    assert tables.kinds == {"exception": 12}
    assert {row["attempts"] for row in tables.bad.values()} == {1}
    assert all("only in the lane" in row["message"] + row["traceback"] for row in tables.bad.values())


def test_an_import_that_ends_the_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lanes_import(tmp_path, monkeypatch, "dies")
    with pytest.raises(EngineError, match=r"exit code 3: the last words") as told:
        faults.drive(faults.first(run))
    assert told.value.exit_code == 4


@pytest.mark.parametrize(("how", "imports"), [("slow", 1), ("threads", 3), ("polars", 3)])
def test_the_import_is_shared_where_that_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, imports: int
) -> None:
    run = lanes_import(tmp_path, monkeypatch, how)
    assert faults.drive(faults.first(run)) is None
    assert len(faults.tables(run).good) == 12
    assert len((tmp_path / "imports").read_text().split()) == imports


def test_a_run_whose_import_hangs_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lanes_import(tmp_path, monkeypatch, "hangs")
    ticket = faults.submit(faults.first(run))
    began = time.monotonic()
    with faults.later((tmp_path / "imports").exists, ticket.stop):
        ended = ticket.wait(ignore)
    assert ended is not None
    assert ended.reason == "interrupted"
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("how", ["deaf", "strange"])
def test_an_import_that_changes_the_process_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv("TROUBLE_IMPORT", how)
    specs = [{"trouble": trouble} for trouble in ("none", "exits_hard", "none", "sleeps", "none", "none")]
    run = faults.begin(tmp_path / "runs", specs, function="imports:work", retries=0, timeout=2, max_failures="all")
    assert faults.drive(faults.first(run)) is None
    kinds = {row: failure["kind"] for row, failure in faults.tables(run).bad.items()}
    assert kinds == {1: "crash", 3: "timeout"}


def test_a_run_hears_signals_that_its_module_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUBLE_IMPORT", "deaf")
    diary = tmp_path / "diary"
    diary.touch()
    run = faults.begin(tmp_path / "runs", [{"trouble": "sleeps", "diary": str(diary)}], function="imports:work")
    with faults.driver(run) as process:
        faults.wait_for(diary.read_text)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        faults.result(process, 130)

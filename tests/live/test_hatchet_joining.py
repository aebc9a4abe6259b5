"""A run that is at work is joined, not doubled; where it must give way, the earlier generation is ended first."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from desk import Desk
from fleet import REAL, Fleet, until
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from scythe_cli.core.layout import Mark
from scythe_cli.engines.generation import fence, follow
from scythe_cli.run import state
from scythe_cli.run.find import find
from scythe_cli.run.outcomes import ROW
from scythe_cli.run.parts import read_part
from scythe_cli.run.precedence import list_parts
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from scythe_cli.run.run import Run


pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Followers of this process ask sooner than people need."""
    monkeypatch.setattr(follow, "FIRST_CHECK_SECONDS", 0.5)
    monkeypatch.setattr(follow, "CHECK_SECONDS", 1.0)


@pytest.fixture
def desk(tmp_path: Path, workers: Fleet) -> Desk:
    """A folder beside an engine with workers, and a run that is at work with some specs done."""
    found = Desk(tmp_path, workers, name=tmp_path.name)
    found.write(60, seconds=0.2, diary=str(tmp_path / "diary"))
    assert found.scythe("allocate").code == 0
    until(lambda: state.read_state(run_of(found)).done, "a first part", state=workers.logs)
    return found


def run_of(desk: Desk) -> Run:
    return find(open_store(desk.fleet.storage), desk.name)


def generations(desk: Desk) -> list[int]:
    return sorted(state.list_marks(run_of(desk).store).get(Mark.GENERATION, []))


def executions(desk: Desk) -> Counter[int]:
    return Counter(map(int, (desk.folder / "diary").read_text().split()))


def test_a_resume_says_who_holds_a_run_that_is_at_work(desk: Desk) -> None:
    done = desk.scythe("allocate", "--resume", desk.name)
    run = run_of(desk).id
    assert done.code == 5, done.err
    assert "error: the run is held by " in done.err
    assert f"hint: scythe wait {run}   or, to stop it: scythe cancel {run}" in done.err
    assert generations(desk) == [1]


def test_a_resume_that_waits_follows_it(desk: Desk) -> None:
    done = desk.scythe("allocate", "--resume", desk.name, "--wait")
    assert done.code == 0, done.err
    assert "is at work already" in done.err
    assert "60 succeeded, 0 failed" in done.out
    assert generations(desk) == [1]
    assert set(executions(desk).values()) == {1}


def test_other_settings_end_the_earlier_generation_first(desk: Desk) -> None:
    done = desk.scythe("allocate", "--resume", desk.name, "--wait", "--set", "run.timeout=50s")
    assert done.code == 0, done.err
    assert "is ended first: the settings differ" in done.err
    assert generations(desk) == [1, 2]
    ended = state.read_mark(run_of(desk).store, Mark.ENDED, 1)
    assert ended is not None
    assert ended["reason"] == "superseded"
    assert max(executions(desk).values()) <= 2


@pytest.mark.skipif(REAL, reason="only the double can be made unreachable")
def test_a_laptop_takes_a_run_over_while_its_engine_is_unavailable(desk: Desk) -> None:
    assert desk.fleet.double is not None
    with desk.fleet.double.unreachable():
        done = desk.scythe("allocate", "--resume", desk.name, "--engine", "local")
    assert done.code == 0, done.err
    assert generations(desk) == [1, 2]


STEPS = ("resume", "follow", "other settings", "cancel", "kill")


def live_generations(run: Run) -> list[int]:
    marks = state.list_marks(run.store)
    return [number for number in marks[Mark.GENERATION] if fence.why_over(run.store, number, marks) is None]


def outcomes(run: Run) -> Counter[tuple[int, int]]:
    """How many outcomes each generation wrote of each row, those included that do not count."""
    found: Counter[tuple[int, int]] = Counter()
    for part in list_parts(run.store):
        rows: list[Any] = read_part(run.store, part.key, [ROW]).column(ROW).to_pylist()
        found.update((part.generation, int(row)) for row in rows)
    return found


@pytest.mark.parametrize(
    "examples",
    [pytest.param(4, id="a few"), pytest.param(60, id="many", marks=[pytest.mark.soak, pytest.mark.timeout(2400)])],
)
def test_no_sequence_of_commands_and_deaths_makes_two_of_a_run(examples: int, tmp_path: Path, workers: Fleet) -> None:
    """A spec is attempted once a generation, and once more for each worker that died meanwhile."""

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],  # each example takes seconds: a failing one is shown as it is
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=5))
    def holds(steps: list[str]) -> None:
        desk = Desk(tmp_path / str(time.time_ns()), workers, name=f"any-{time.time_ns()}")
        desk.write(12, seconds=0.3, diary=str(desk.folder / "diary"))
        assert desk.scythe("allocate").code == 0
        deaths = sum(take(desk, step) for step in steps)
        until(lambda: desk.scythe("allocate", "--resume", desk.name).code == 0, "a resume", state=workers.logs)
        ended = desk.scythe("wait", desk.name, "--timeout", "60s")
        assert ended.code == 0, ended.err + workers.logs()
        run = run_of(desk)
        assert len(generations(desk)) <= 2 + len(steps)
        assert max(outcomes(run).values()) <= 1 + deaths
        assert max(executions(desk).values()) <= len(generations(desk)) + deaths
        assert set(executions(desk)) == set(range(12))

    holds()


def take(desk: Desk, step: str) -> int:
    """One step of a sequence; how many workers died in it."""
    match step:
        case "resume":
            desk.scythe("allocate", "--resume", desk.name)
        case "follow":
            desk.scythe("allocate", "--resume", desk.name, "--wait")
        case "other settings":
            desk.scythe("allocate", "--resume", desk.name, "--set", f"run.timeout={time.time_ns() % 1000 + 100}s")
        case "cancel":
            desk.scythe("cancel", desk.name)
        case "kill":
            desk.fleet.kill("two")
            desk.fleet.launch("two")
    assert len(live_generations(run_of(desk))) <= 1, step
    return step == "kill"


def test_a_cancel_and_a_resume_leave_one_generation_at_work(desk: Desk) -> None:
    assert desk.scythe("cancel", desk.name).code == 0
    done = desk.scythe("allocate", "--resume", desk.name, "--wait")
    assert done.code == 0, done.err
    assert generations(desk) == [1, 2]
    assert max(executions(desk).values()) <= 2

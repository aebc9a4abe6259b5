"""Whatever dies, a run over Hatchet loses nothing: workers killed and drained, tasks that the engine loses."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from fleet import FIELD, NAMES, REAL, Fleet, begin, look, plots, table, until

from scythe_cli.core.layout import Mark
from scythe_cli.engines.hatchet.client.engine import HatchetEngine
from scythe_cli.engines.hatchet.names import ROOT
from scythe_cli.run import state
from scythe_cli.run.outcomes import ROW

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = pytest.mark.slow


def diary(path: Path) -> Counter[int]:
    return Counter(int(line) for line in path.read_text().split())


@pytest.mark.skipif(REAL, reason="only the double loses what it is told to")
def test_rows_whose_tasks_the_engine_lost_are_enqueued_again(workers: Fleet) -> None:
    assert workers.double is not None
    work = begin(workers, plots(40), run__leaf_size=10)
    workers.double.trouble.lose_runs(2, workflow="scythe_experiment_grow")
    workers.double.trouble.lose_assignments(1, workflow="scythe_experiment_grow")
    assert HatchetEngine().submit(work).wait(lambda _: None) is None, workers.logs()
    assert (table(work.run, "scalars").height, table(work.run, "errors").height) == (40, 0)


@pytest.mark.skipif(REAL, reason="only the double loses what it is told to")
def test_rows_that_are_lost_each_time_are_failures_of_that_kind(workers: Fleet) -> None:
    assert workers.double is not None
    work = begin(workers, plots(1))
    workers.double.trouble.lose_runs(4, workflow="scythe_experiment_grow")
    assert HatchetEngine().submit(work).wait(lambda _: None) is None, workers.logs()
    assert table(work.run, "errors")["kind"].to_list() == ["lost"]


@pytest.mark.parametrize("ask", [Fleet.terminate, Fleet.hang_up])
def test_a_worker_that_is_asked_to_leave_hands_everything_on(
    workers: Fleet, tmp_path: Path, ask: Callable[[Fleet, str], int]
) -> None:
    book = tmp_path / "diary"
    book.touch()
    work = begin(workers, plots(30, seconds=0.8, diary=str(book)), run__leaf_size=5, run__grace=20)
    ticket = HatchetEngine().submit(work)
    until(book.read_text, "specs that run", state=workers.logs)
    leaver = _root_of(workers, ticket.workflow_run_id)
    code = ask(workers, leaver)
    workers.launch(leaver, slots=1)
    assert code == 0, workers.logs()
    assert look(work).left, "the worker waited for the run"
    assert ticket.wait(lambda _: None) is None, workers.logs()
    assert set(diary(book).values()) == {1}
    assert table(work.run, "scalars").height == 30


def test_a_killed_worker_costs_nothing_that_was_flushed(workers: Fleet, tmp_path: Path) -> None:
    for name in NAMES:
        workers.wait(name)
    book = tmp_path / "diary"
    book.touch()
    work = begin(workers, plots(40, seconds=0.3, diary=str(book)), run__leaf_size=10, run__flush=0.3)
    ticket = HatchetEngine().submit(work)
    until(lambda: look(work).done > 4, "first parts", state=workers.logs)
    parts = [pl.read_parquet(work.run.store.read(e.key)) for e in work.run.store.list("scatter-gather/output")]
    flushed = set(pl.concat(parts)[ROW])
    victim = _root_of(workers, ticket.workflow_run_id)
    workers.kill(victim)
    workers.launch(victim, slots=1)
    assert ticket.wait(lambda _: None) is None, workers.logs()
    assert table(work.run, "scalars").height == 40
    assert {diary(book)[row] for row in flushed} == {1}


def test_a_spec_that_kills_whole_workers_is_one_lost_row(workers: Fleet) -> None:
    for name in NAMES:
        workers.wait(name)
    specs = plots(6)
    specs[3]["does"] = "kills the worker"
    work = begin(workers, specs)
    assert HatchetEngine().submit(work).wait(lambda _: workers.revive()) is None, workers.logs()
    assert table(work.run, "scalars")["seed"].to_list() == [0, 1, 2, 4, 5]
    errors = table(work.run, "errors")
    assert errors.select("seed", "kind").rows() == [(3, "lost")]
    assert "its worker died each time" in errors["message"][0]


def test_other_code_is_refused_by_name_once_no_other_worker_is_left(tmp_path: Path, workers: Fleet) -> None:
    (tmp_path / "field.py").write_text((FIELD / "field.py").read_text().replace("1.5", "2.5"))
    for name in NAMES:
        workers.kill(name)
    workers.start("drifted", cwd=tmp_path)
    try:
        work = begin(workers, plots(3))
        engine = HatchetEngine()
        ended = engine.submit(work).wait(lambda _: None)
        assert ended is not None and ended.reason == "stopped", workers.logs()
        assert work.experiment.source_hash[:12] in ended.detail
        assert "--allow-changed-code" in ended.detail
        assert state.read_mark(work.run.store, Mark.ENDED, 1) is not None
    finally:
        workers.kill("drifted")


def _root_of(workers: Fleet, run_id: str) -> str:
    """The worker that follows the run, where the engine tells."""
    if workers.double is None:
        return NAMES[0]
    names = {worker.id: worker.name for worker in workers.double.workers}
    task = workers.double.run(run_id).tasks[0]
    assert task.spec.name == ROOT
    return str(names[task.worker_id or ""])

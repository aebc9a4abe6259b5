"""Runs over Hatchet end as they do on one machine: fan-out, sharing, cancel, limits, drift. Workers are processes."""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from fleet import REAL, Fleet, begin, look, plots, table, until

from scythe_cli.core import yaml_document
from scythe_cli.core.machine import thread_settings, threads_in
from scythe_cli.engines.hatchet.client.engine import HatchetEngine
from scythe_cli.engines.hatchet.connection import connect
from scythe_cli.engines.hatchet.names import METADATA, ROOT, TaskPayload
from scythe_cli.engines.local import LocalEngine
from scythe_cli.errors import EngineError
from scythe_cli.operations import resume
from scythe_cli.operations.cancel import cancel
from scythe_cli.operations.gather import gather, gathered

if TYPE_CHECKING:
    from servers import WebServer

pytestmark = pytest.mark.slow

OWN = ["experiment_id", "workflow_run_id", "root_workflow_run_id"]


def test_the_tables_are_those_of_the_local_engine(workers: Fleet) -> None:
    specs = plots(300)
    for at in (7, 8, 250):
        specs[at]["does"] = "fails"
    for at in range(60, 120):
        specs[at] |= {"seed": at // 2, "does": "draws"}  # two equal rows each
    over = begin(workers, specs, run__leaf_size=40, tree__factor=2, tree__max_depth=2, run__keep_failed=True)
    assert HatchetEngine().submit(over).wait(lambda _: None) is None, workers.logs()
    here = begin(workers, specs, engine="local")
    with closing(LocalEngine(1).submit(here)) as ticket:
        ticket.wait(lambda _: None)
        gather(here.run)
    for name, changing in (("scalars", OWN), ("errors", [*OWN, "duration", "worker"])):
        assert table(over.run, name).drop(changing).equals(table(here.run, name).drop(changing)), name
    assert table(over.run, "errors").height == 3
    assert table(over.run, "scalars").filter(pl.col("does") == "draws")["weight"].n_unique() == 60
    left = {entry.key: over.run.store.read(entry.key) for entry in over.run.store.list("failed")}
    assert left == {f"failed/{at}/growth.err": f"hail on {at}".encode() for at in (7, 8, 250)}
    built = gathered(over.run)
    assert built == gather(over.run), "whoever waited need not build again what the root has built"


def test_each_worker_records_its_lanes_and_threads(workers: Fleet) -> None:
    work = begin(workers, plots(40), run__leaf_size=5)
    assert HatchetEngine().submit(work).wait(lambda _: None) is None, workers.logs()
    notes = [entry.key for entry in work.run.store.list("control") if entry.key.startswith("control/worker-g1-")]
    found = [yaml_document.read(work.run.store.read(key).decode(), key).data for key in notes]
    assert {note["worker"] for note in found} == set(table(work.run, "execution")["worker"])
    for note in found:
        assert note["lanes"] >= 1
        assert note["threads"] == threads_in(os.environ | thread_settings(note["lanes"]))


def test_a_worker_asks_anew_in_each_run(workers: Fleet, web_server: WebServer) -> None:
    """Its lanes live on from run to run, and so does the machine's cache."""
    for weight in (2.5, 31.25):
        web_server.pages["/weight"] = str(weight).encode()
        web_server.counts.clear()
        work = begin(workers, plots(40, does=f"{web_server.url}/weight"), run__leaf_size=5)
        assert HatchetEngine().submit(work).wait(lambda _: None) is None, workers.logs()
        assert set(table(work.run, "scalars")["weight"]) == {weight}
        assert web_server.counts["GET"] == 1
        assert web_server.counts["HEAD"] <= len(workers.workers), "each worker's own question at most"


def test_a_deep_tree_needs_no_more_than_one_slot(tmp_path: Path, workers: Fleet) -> None:
    work = begin(workers, plots(160), run__leaf_size=5, tree__factor=2, tree__max_depth=4)
    assert HatchetEngine().submit(work).wait(lambda _: None) is None, workers.logs()
    assert table(work.run, "scalars").height == 160
    if workers.double is not None:
        mine = [t for t in workers.double.tasks if t.metadata.get(METADATA) == f"{work.run.id}/1"]
        kinds = Counter(task.spec.name for task in mine)
        assert kinds["scythe_scatter_node"] == 2 + 4 + 8 + 16, kinds
        assert kinds["scythe_experiment_grow"] == 32, kinds


def test_a_slow_leaf_is_shared_with_lanes_that_idle(workers: Fleet) -> None:
    work = begin(workers, plots(40, seconds=0.25))
    assert HatchetEngine().submit(work).wait(lambda _: None) is None, workers.logs()
    splits = [entry.key for entry in work.run.store.list("control") if "/split-" in entry.key]
    assert splits, workers.logs()
    parts = [pl.read_parquet(work.run.store.read(e.key)) for e in work.run.store.list("scatter-gather/output")]
    assert len(set(pl.concat(parts)["_worker"])) >= 2


def test_cancel_reaches_what_runs_and_what_waits(workers: Fleet) -> None:
    work = begin(workers, plots(60, seconds=1.0), run__grace=1, run__leaf_size=4)
    engine = HatchetEngine()
    ticket = engine.submit(work)
    until(lambda: look(work).done, "a first part", state=workers.logs)
    assert (engine.active(work.run).running or 0) > 1
    cancel(work.run)
    engine.cancel(work.run)
    ended = ticket.wait(lambda _: None)
    assert ended is not None and ended.reason == "cancelled"
    until(lambda: (found := engine.active(work.run)).queued == found.running == 0, "nothing", state=workers.logs)
    until(lambda: "ended-1" in look(work).marks, "the end's mark", state=workers.logs)
    assert 0 < look(work).left < 60


def test_a_cancelled_run_is_resumed_to_its_end(workers: Fleet) -> None:
    work = begin(workers, plots(30, seconds=0.3), run__grace=2, run__leaf_size=3)
    engine = HatchetEngine()
    ticket = engine.submit(work)
    until(lambda: look(work).done, "a first part", state=workers.logs)
    cancel(work.run)
    engine.cancel(work.run)
    ticket.wait(lambda _: None)
    until(lambda: "ended-1" in look(work).marks, "the end's mark", state=workers.logs)
    rest = resume.remaining(work.run)
    again = resume.resumed_work(work.run, work.experiment, rest)
    assert engine.submit(again).wait(lambda _: None) is None, workers.logs()
    assert table(work.run, "scalars").height == 30


@pytest.mark.parametrize(
    ("settings", "reason"), [({"run__max_failures": 3}, "max_failures"), ({}, "canary")], ids=["max_failures", "canary"]
)
def test_a_run_that_only_fails_is_stopped(workers: Fleet, settings: dict[str, Any], reason: str) -> None:
    work = begin(workers, plots(200, seconds=0.05, does="fails"), run__retries=0, run__leaf_size=25, **settings)
    ended = HatchetEngine().submit(work).wait(lambda _: None)
    assert ended is not None and ended.reason == reason, (ended, workers.logs())
    assert look(work).left


def test_nothing_is_read_for_what_is_no_run_id(workers: Fleet) -> None:
    hatchet = connect()
    root = hatchet.stubs.task(name=ROOT, input_validator=TaskPayload)
    stray = TaskPayload(run="../../etc", generation=1, first=0, last=1)
    ref = root.run(stray, wait_for_result=False)
    details = until(
        lambda: (d := hatchet.runs.get_details(ref.workflow_run_id)).done and d, "its refusal", state=workers.logs
    )
    assert details
    assert "is not a run id" in str(next(iter(details.task_runs.values())).error)


def test_status_says_why_nothing_runs_and_a_worker_what_it_does(workers: Fleet) -> None:
    work = begin(workers, plots(3), resources__has_gpu=True)
    engine = HatchetEngine()
    ticket = engine.submit(work)
    active = until(lambda: (a := engine.active(work.run)).queued and a, "a leaf that nobody takes", state=workers.logs)
    assert active and active.why == "no worker of grow has the label has_gpu=true"
    assert {one.name for one in active.workers} >= {"one", "two"}
    workers.launch("gpu", "--label", "has_gpu=true", "--role", "leaf", "--json")
    try:
        assert ticket.wait(lambda _: None) is None, workers.logs()
    finally:
        assert workers.terminate("gpu") == 0
    first, *rest = map(json.loads, (workers.folder / "gpu.log").read_text().splitlines())
    assert (first["event"], first["name"], first["experiments"], first["lanes"]) == ("WorkerReady", "gpu", ["grow"], 2)
    assert [(line["first"], line["last"]) for line in rest if line["event"] == "LeafFinished"] == [(0, 2)]


@pytest.mark.skipif(REAL, reason="the real engine's token is in the environment")
def test_an_engine_that_cannot_be_reached_is_told_of(workers: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HATCHET_CLIENT_TOKEN")
    with pytest.raises(EngineError, match="HATCHET_CLIENT_TOKEN is not set"):
        HatchetEngine()
    monkeypatch.setenv("HATCHET_CLIENT_TOKEN", "secret-nonsense")
    with pytest.raises(EngineError, match="is not a Hatchet token") as caught:
        HatchetEngine()
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("HATCHET_CLIENT_TOKEN", workers.env["HATCHET_CLIENT_TOKEN"] + "x")
    with pytest.raises(EngineError, match="refuses the token"):
        HatchetEngine()
    monkeypatch.setenv("HATCHET_CLIENT_TOKEN", workers.env["HATCHET_CLIENT_TOKEN"])
    assert workers.double is not None
    with workers.double.unreachable(), pytest.raises(EngineError, match="does not answer"):
        HatchetEngine()

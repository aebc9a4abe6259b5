"""`engine: shared`: workers that share nothing but the storage."""

from __future__ import annotations

import os
import re
import signal
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from claims import PATIENCE, Project

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.run.state import list_marks

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

N = 24
CLAIMS = f"{layout.CLAIMS}/1/0"


@pytest.fixture
def project(any_storage: str, tmp_path: Path) -> Iterator[Project]:
    """An experiment in a folder, its runs in a folder or a bucket."""
    with closing(Project(tmp_path, any_storage)) as found:
        yield found


def holders(project: Project) -> set[str]:
    """The process ids of the workers that have claimed something."""
    store = project.run.store
    claims = [store.read(entry.key).decode() for entry in store.list(CLAIMS) if entry.key.endswith("-c1.yml")]
    return {found[1] for found in (re.search(r"^name: .*-(\d+)$", text, re.MULTILINE) for text in claims) if found}


def test_workers_share_a_run_and_the_last_one_builds_its_tables(project: Project, tmp_path: Path) -> None:
    project.write([{"x": x, "do": "fail" if x == 7 else "wait"} for x in range(N)])
    said = project.scythe("allocate")
    assert f"next: scythe worker --run {project.run.id}" in said
    assert list_marks(project.run.store)[Mark.PLAN] == [1]
    workers = [project.worker("--workers", "2").pid for _ in range(3)]
    project.wait_for(lambda: {*map(str, workers)} <= holders(project))
    (tmp_path / "go").touch()
    project.wait_for_workers()
    scalars, errors = project.table("scalars"), project.table("errors")
    assert sorted(scalars["double"].to_list()) == [2 * x for x in range(N) if x != 7]
    assert errors["sort_index"].to_list() == [7]
    assert project.table("series").height == 2 * (N - 1)
    assert project.table("execution")["worker"].n_unique() == 3
    files = project.table("result_file_refs")
    assert files.height == N - 1
    objects = [entry.key for entry in project.run.store.list(layout.CLAIMS)]
    assert [key for key in objects if "/workers/" in key] == []
    assert "finished" in project.scythe("status", "work")
    assert "nothing is left" in project.scythe("worker", "--run", "work")


def test_a_spec_that_kills_its_worker_is_one_lost_row(tmp_path: Path) -> None:
    project = Project(tmp_path, str(tmp_path / "runs"))
    project.write([{"x": x, "do": "kill the worker" if x == 5 else ""} for x in range(12)])
    project.scythe("allocate")
    codes: list[int] = []
    while not codes or codes[-1]:
        codes.append(project.worker("--workers", "2").wait(120))
        assert len(codes) < 6, project.logs
    assert codes == [-9, -9, -9, 0], project.logs
    errors = project.table("errors")
    assert errors.select("sort_index", "kind", "attempts").rows() == [(5, "lost", 3)]
    assert project.table("scalars").height == 11
    project.close()


def shown(project: Project) -> dict[int, tuple[int, int, int]]:
    """By spec, which worker the scalars, the file and the frame of the tables are of."""
    scalars = project.table("scalars").select("sort_index", "who")
    files = project.table("result_file_refs").select("sort_index", "text")
    store = project.run.store
    frames = project.table("series").filter(pl.col("sort_subindex") == 1).select("sort_index", "value")
    rows = scalars.join(files, on="sort_index").join(frames, on="sort_index").sort("sort_index").rows()
    written = {index: store.read(text.removeprefix(f"{store.address}/")) for index, _, text, _ in rows}
    return {index: (who, int(written[index].split()[1]), value) for index, who, _, value in rows}


def test_a_worker_that_was_stopped_past_its_takeover(project: Project, tmp_path: Path) -> None:
    project.write([{"x": x, "do": "wait"} for x in range(6)])
    project.scythe("allocate")
    stopped = project.hasty_worker("--workers", "2")
    project.wait_for(lambda: len(list(project.run.store.list(CLAIMS))) >= 2)
    os.kill(stopped.pid, signal.SIGSTOP)
    (tmp_path / "go").touch()
    other = project.hasty_worker("--workers", "2")
    assert other.wait(PATIENCE) == 0, project.logs
    first = shown(project)
    assert {who for row in first.values() for who in row} == {other.pid}
    os.kill(stopped.pid, signal.SIGCONT)
    assert stopped.wait(PATIENCE) == 0, project.logs
    project.scythe("gather", "work")
    again = shown(project)
    assert sorted(again) == list(range(6))
    assert all(len(set(row)) == 1 for row in again.values()), again
    project.scythe("download", "work", "copy", "--files")
    assert len(list((tmp_path / "copy" / "results" / "text").iterdir())) == 6


IMPORTING = """
from scythe_cli.engines.generation.leaf_runner import LeafRunner
from scythe_cli.engines.shared import worker

LeafRunner.has_imported = property(lambda self: False)
worker.IMPORT_SECONDS = {seconds}
"""


def test_a_worker_that_still_imports_leaves_the_specs_to_others(tmp_path: Path) -> None:
    with closing(Project(tmp_path, str(tmp_path / "runs"))) as project:
        project.write([{"x": x} for x in range(6)])
        project.scythe("allocate")
        imports = project.hasty_worker("--idle-timeout", "1s", before=IMPORTING.format(seconds=PATIENCE))
        project.wait_for(lambda: "serves" in project.logs)
        other = project.worker("--workers", "2")
        assert other.wait(PATIENCE) == 0, project.logs
        assert project.table("scalars")["who"].unique().to_list() == [other.pid]
        assert imports.poll() is None, project.logs


def test_a_worker_that_imports_for_long_claims_all_the_same(tmp_path: Path) -> None:
    with closing(Project(tmp_path, str(tmp_path / "runs"))) as project:
        project.write([{"x": x} for x in range(6)])
        project.scythe("allocate")
        project.hasty_worker("--workers", "2", before=IMPORTING.format(seconds=0.5))
        project.wait_for_workers()
        assert project.table("scalars").height == 6


def test_what_a_killed_worker_had_is_run_by_another_and_no_attempt_counts(tmp_path: Path) -> None:
    project = Project(tmp_path, str(tmp_path / "runs"))
    project.write([{"x": x, "do": "wait" if x == 5 else ""} for x in range(6)])
    project.scythe("allocate")
    killed = project.worker("--workers", "2")
    project.wait_for(lambda: len(list(project.run.store.list(f"{layout.OUTPUT}/0"))) >= 2)
    refused = project.scythe("allocate", "--resume", "work", "--engine", "local", code=5)
    assert "worker " in refused
    killed.kill()
    killed.wait()
    (tmp_path / "go").touch()
    project.scythe("worker", "--run", "work", "--workers", "2")
    execution = project.table("execution")
    assert execution.height == 6
    assert set(execution["state"]) == {"succeeded"}
    assert set(execution["attempts"]) == {1}
    project.close()


@pytest.mark.slow
def test_how_a_worker_ends(tmp_path: Path) -> None:
    project = Project(tmp_path, str(tmp_path / "runs"))
    project.write([{"x": x, "do": "wait"} for x in range(4)])
    project.scythe("allocate")
    drained = project.worker("--workers", "2")
    project.wait_for(lambda: "1 succeeded" not in project.logs and len(list(project.run.store.list(CLAIMS))) >= 2)
    drained.terminate()
    assert drained.wait(PATIENCE) == 5, project.logs
    assert "4 of 4 specs are left" in project.logs
    assert "specs are left" in project.scythe("worker", "--run", "work", "--until", "1s", code=5)
    project.worker("--workers", "2")
    project.wait_for(lambda: "slot" in project.scythe("status", "work"))
    project.scythe("cancel", "work")
    assert project.processes[-1].wait(PATIENCE) == 5, project.logs
    assert "cancelled by" in project.logs
    (tmp_path / "go").touch()
    assert "cancelled" in project.scythe("worker", "--run", "work", code=5)
    project.scythe("allocate", "--resume", "work", "--engine", "local")
    assert project.table("scalars").height == 4
    said = project.scythe("worker", "--run", "work", code=2)
    assert "scythe allocate --resume" in said
    project.close()


@pytest.mark.slow
def test_specs_that_all_fail_alike_stop_the_run(tmp_path: Path) -> None:
    project = Project(tmp_path, str(tmp_path / "runs"))
    project.write([{"x": x, "do": "fail", "seconds": 0.1} for x in range(300)])
    project.scythe("allocate")
    said = project.scythe("worker", "--run", "work", "--workers", "2", code=5)
    assert "specs all failed alike" in said
    assert "stopped" in project.scythe("status", "work")
    project.close()


ENGINES_OWN = ["experiment_id", "workflow_run_id", "root_workflow_run_id", "who"]


def test_the_tables_are_those_of_the_local_engine(tmp_path: Path) -> None:
    found: dict[str, dict[str, pl.DataFrame]] = {}
    for engine in ("local", "shared"):
        (tmp_path / engine).mkdir()
        project = Project(tmp_path / engine, str(tmp_path / engine / "runs"))
        project.write([{"x": x, "do": "fail" if x % 4 == 1 else ""} for x in range(10)])
        project.scythe("allocate", "--engine", engine, "--set", "run.max_failures=all", code=int(engine == "local"))
        if engine == "shared":
            project.scythe("worker", "--run", "work", "--workers", "2")
            assert project.scythe("gather", "work")
        names = ("scalars", "errors", "series", "result_file_refs")
        found[engine] = {name: project.table(name).drop(ENGINES_OWN, strict=False) for name in names}
        texts = found[engine].pop("result_file_refs")["text"]
        assert [Path(text).read_text().split()[0] for text in texts] == [str(x) for x in range(10) if x % 4 != 1]
    for name, table in found["local"].items():
        other = found["shared"][name]
        assert other.columns == table.columns
        kept = [column for column in table.columns if column not in {"traceback", "start", "duration", "log", "worker"}]
        if name == "series":
            kept = [column for column in kept if column != "value"]
        assert other.select(kept).equals(table.select(kept)), name

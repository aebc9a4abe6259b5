"""`engine: shared`: workers that share nothing but the storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from claims import Project

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.run.state import list_marks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

N = 24


@pytest.fixture(params=["folder", "s3"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    """An experiment in a folder, its runs in a folder or a bucket."""
    storage = str(tmp_path / "runs") if request.param == "folder" else str(request.getfixturevalue("s3_storage"))
    found = Project(tmp_path, storage)
    yield found
    found.close()


def test_workers_share_a_run_and_the_last_one_builds_its_tables(project: Project) -> None:
    project.write([{"x": x, "seconds": 0.02, "do": "fail" if x == 7 else ""} for x in range(N)])
    said = project.scythe("allocate")
    assert f"next: scythe worker --run {project.run.id}" in said
    assert list_marks(project.run.store)[Mark.PLAN] == [1]
    for _ in range(3):
        project.worker("--workers", "2")
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

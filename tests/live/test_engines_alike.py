"""One body on each engine: what a run promises does not depend on where its specs run."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from claims import Project
from fleet import fleet

from scythe_cli.core import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

N = 40
LATER = [3, 17, 38]
"""Specs that fail until the user has fixed something."""
NEVER = [5]


@contextmanager
def place(engine: str, folder: Path) -> Iterator[Project]:
    """A folder whose runs go to an engine; with Hatchet, a worker serves there already."""
    if engine != "hatchet":
        project = Project(folder, str(folder / "runs"))
        yield project
        project.close()
        return
    with fleet(folder) as found:
        project = Project(folder, str(found.storage))
        write(project)
        found.start("one", target="work:work", cwd=folder)
        yield project


def write(project: Project) -> None:
    do = {**dict.fromkeys(LATER, "fail until go"), **dict.fromkeys(NEVER, "fail")}
    project.write([{"x": x, "do": do.get(x, "")} for x in range(N)], settings="reuse: null\n")


def work_through(project: Project, engine: str, *arguments: str) -> None:
    """Allocate and wait for the end, which is one with failures."""
    given = [*arguments, "--engine", engine, "--set", "run.max_failures=all", "--set", "run.keep_failed=true"]
    project.scythe("allocate", *given, code=int(engine == "local"))
    if engine == "shared":
        for _ in range(2):
            project.worker("--workers", "1")
        project.wait_for_workers()
    project.scythe("wait", "work", code=1)


@pytest.mark.parametrize("engine", ["local", "hatchet", "shared"])
def test_a_run_with_failures_and_its_resume(tmp_path: Path, engine: str) -> None:
    with place(engine, tmp_path) as project:
        write(project)
        work_through(project, engine)
        check(project, failed=sorted([*LATER, *NEVER]))
        assert set(project.table("execution")["generation"]) == {1}
        left = {entry.key: project.run.store.read(entry.key) for entry in project.run.store.list(layout.FAILED)}
        assert left == {f"failed/{x}/eplusout.err": str(x).encode() for x in LATER}
        (tmp_path / "go").touch()
        work_through(project, engine, "--resume", "work")
        check(project, failed=NEVER)
        again = project.table("execution").filter(generation=2)
        assert again["sort_index"].to_list() == sorted([*LATER, *NEVER])


def check(project: Project, *, failed: list[int]) -> None:
    """The tables of a run whose other specs have succeeded."""
    good = [x for x in range(N) if x not in failed]
    assert project.counts() == (N, len(good), len(failed))
    scalars, errors, series = (project.table(name) for name in ("scalars", "errors", "series"))
    assert scalars.select("sort_index", "x", "double").rows() == [(x, x, 2 * x) for x in good]
    assert errors["sort_index"].to_list() == failed
    assert set(errors["kind"]) == {"exception"}
    assert series.filter(sort_subindex=0).select("sort_index", "value").rows() == [(x, x) for x in good]
    files = project.table("result_file_refs")
    assert files["sort_index"].to_list() == good
    assert [Path(text).read_text().split()[0] for text in files["text"]] == [str(x) for x in good]
    execution = project.table("execution")
    assert execution["sort_index"].to_list() == list(range(N))
    assert execution.filter(state="failed")["sort_index"].to_list() == failed

"""Runs that commit 8aee82f made, with the command of today: what is on disk is read as long as there are such runs.

The runs are in `tests/fixtures/runs_8aee82f`, whose README says how they were made. Each test works on a copy.
Nothing of scythe is imported here: its modules move, the command and the words on disk do not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from fixture_runs import FIXTURE, copy_runs

if TYPE_CHECKING:
    from collections.abc import Iterable

SCYTHE = str(Path(sys.executable).with_name("scythe"))
MADE_IN = "/tmp/scythe-fixture"
MADE_AT = datetime(2026, 11, 29, 10, 22, tzinfo=UTC)
IDS = {
    "complete": "complete/v1.0.0/2026-11-29_10-20-23",
    "half": "half/v1.0.0/2026-11-29_10-20-38",
    "cancelled": "cancelled/v1.0.0/2026-11-29_10-20-51",
}
COUNTS = {  # state, generation, total, succeeded, failed, missing
    "complete": ("gathered", 1, 28, 22, 6, 0),
    "half": ("incomplete", 2, 24, 14, 3, 7),
    "cancelled": ("cancelled", 1, 24, 10, 2, 12),
}
TABLES = ("scalars", "errors", "levels", "means", "result_file_refs")
VOLATILE = {"traceback", "duration", "worker"}
"""Columns that differ between two machines or two versions of Python."""
ADDED = ("execution",)
"""Tables that later versions add at the next gather."""

pytestmark = pytest.mark.skipif(
    datetime.now(UTC) < MADE_AT, reason="the clock is before the runs were made, so their leases are not over"
)


@dataclass(frozen=True)
class Project:
    """A copy of the fixture: the experiment and its storage with the three runs."""

    folder: Path

    def scythe(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the installed command, which must end with this exit code."""
        ours = ("SCYTHE_", "HATCHET_", "AWS_", "XDG_", "NO_COLOR", "FORCE_COLOR", "COLUMNS")
        env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        done = subprocess.run(
            [SCYTHE, *arguments],
            cwd=self.folder,
            env=env | {"HOME": str(self.folder / "home")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == code, f"scythe {arguments}\n{done.stdout}\n{done.stderr}"
        return done

    def document(self, *arguments: str, code: int = 0) -> Any:
        """The JSON document of a command."""
        return json.loads(self.scythe(*arguments, "--json", code=code).stdout)

    def run(self, name: str) -> Path:
        """The folder of a run."""
        return self.folder / "storage" / IDS[name]

    def tables(self, name: str) -> dict[str, Any]:
        """The final tables of a run, as `expected/` has them."""
        return {path.stem: self._plain(path) for path in (self.run(name) / "final").glob("*.pq")}

    def _plain(self, path: Path) -> dict[str, Any]:
        table = pq.read_table(path)
        kept = [name for name in table.column_names if name not in VOLATILE]
        return {
            "index": list(pd.read_parquet(path).index.names),
            "types": {name: str(table.schema.field(name).type) for name in kept},
            "rows": [[self._cell(row[name]) for name in kept] for row in table.to_pylist()],
        }

    def _cell(self, value: Any) -> Any:
        """A value as JSON keeps it. Files that were written here have the addresses of the place of the fixture."""
        if isinstance(value, date):
            return value.isoformat()
        return value.replace(str(self.folder), MADE_IN) if isinstance(value, str) else value


def copied(folder: Path) -> Project:
    """A fresh copy of the fixture."""
    return Project(copy_runs(folder / "moved"))


def expected(name: str) -> dict[str, Any]:
    """The tables that a run has when it is done."""
    tables: dict[str, Any] = json.loads((FIXTURE / "expected" / f"{name}.json").read_text("utf-8"))
    return tables


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def contents(run: Path) -> dict[str, bytes]:
    """What a run's folder holds that no command may change."""
    return {key: content for key, content in files(run).items() if not key.startswith(("final/", "control/lease-"))}


def sort_indexes(table: dict[str, Any]) -> Iterable[int]:
    at = list(table["types"]).index("sort_index")
    return [row[at] for row in table["rows"]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy whose runs stay as they are."""
    return copied(tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Any]]:
    """A copy in which all is done: `complete` is gathered anew, the two others are resumed; and what was printed."""
    project = copied(tmp_path_factory.mktemp("done"))
    shutil.rmtree(project.run("complete") / "final")
    documents = {"complete": project.document("gather", "complete")}
    for name in ("half", "cancelled"):
        documents[name] = project.document("allocate", "--resume", name, code=1)
    return project, documents


# status


def test_status_lists_the_runs(project: Project) -> None:
    lines = [line.split() for line in project.scythe("status").stdout.splitlines()]
    expected = [
        [IDS["cancelled"], "cancelled", "12/24", "2"],
        [IDS["half"], "stopped", "before", "the", "end", "17/24", "3"],
        [IDS["complete"], "finished", "28/28", "6"],
    ]
    assert [line[: len(wanted)] for line, wanted in zip(lines[1:], expected, strict=True)] == expected


def test_status_lists_the_runs_as_json(project: Project) -> None:
    listed = project.document("status")["runs"]
    assert [one["run"] for one in listed] == [IDS["cancelled"], IDS["half"], IDS["complete"]]
    assert [one["state"] for one in listed] == ["cancelled", "incomplete", "gathered"]
    assert [one["done"] for one in listed] == [12, 17, 28]


@pytest.mark.parametrize("name", IDS)
def test_status_of_a_run(project: Project, name: str) -> None:
    state, _, total, succeeded, failed, _ = COUNTS[name]
    read_as = {"gathered": "finished (6 failed)", "incomplete": "stopped before the end"}
    first, second, *_ = project.scythe("status", name).stdout.splitlines()
    assert first.startswith(f"{IDS[name]}   {read_as.get(state, state)}")
    assert second.startswith(f"  {succeeded + failed} of {total} specs done, {failed} failed")


@pytest.mark.parametrize("name", IDS)
def test_status_of_a_run_as_json(project: Project, name: str) -> None:
    now = project.document("status", name)
    assert now["run"] == IDS[name]
    assert now["address"] == str(project.run(name))
    fields = ("state", "generation", "total", "succeeded", "failed", "missing")
    assert tuple(now[field] for field in fields) == COUNTS[name]
    assert now["done"] + now["missing"] == now["total"]


def test_status_groups_the_failures(project: Project) -> None:
    groups = project.document("status", "complete", "--errors")["failures"]
    assert [(one["kind"], one["count"]) for one in groups] == [("exception", 3), ("crash", 2), ("timeout", 1)]


# gather


@pytest.mark.parametrize("name", TABLES)
def test_gather_leaves_the_frames_that_it_left_then(done: tuple[Project, dict[str, Any]], name: str) -> None:
    then = pd.read_parquet(FIXTURE / "storage" / IDS["complete"] / "final" / f"{name}.pq")
    now = pd.read_parquet(done[0].run("complete") / "final" / f"{name}.pq")
    if name == "result_file_refs":  # a gather keeps the addresses at which the files were written
        assert now["curve"].str.startswith(f"{MADE_IN}/storage/{IDS['complete']}/results/curve/").all()
    pd.testing.assert_frame_equal(now, then, check_exact=True)


def test_gather_of_half_a_run_is_refused(project: Project) -> None:
    before = contents(project.run("half"))
    refused = project.document("gather", "half", code=5)["error"]
    assert refused["exit_code"] == 5
    assert "7 of 24 specs" in refused["message"]
    assert not (project.run("half") / "final").exists()
    assert contents(project.run("half")) == before


def test_gather_of_half_a_run_builds_the_tables_of_what_there_is(tmp_path: Path) -> None:
    project = copied(tmp_path)
    made = project.document("gather", "half", "--partial")
    assert (made["succeeded"], made["failed"], made["missing"]) == (14, 3, 7)
    tables = project.tables("half")
    there = {*range(17)}
    assert {*sort_indexes(tables["scalars"]), *sort_indexes(tables["errors"])} == there
    whole = expected("half")
    for name in TABLES:
        rows = [row for at, row in zip(sort_indexes(whole[name]), whole[name]["rows"], strict=True) if at in there]
        assert tables[name]["rows"] == rows


# download


def test_download_fetches_tables_and_files(project: Project) -> None:
    told = project.document("download", "complete", "got", "--files")
    assert sorted(told["tables"]) == sorted(TABLES)
    assert told["n_files"] == 37  # 5 tables, 22 curves, 10 receipts
    got, run = project.folder / "got", project.run("complete")
    there, fetched = (
        {key: content for key, content in files(folder).items() if key.startswith(("final/", "results/"))}
        for folder in (run, got)
    )
    assert len(there) == 37
    references = "final/result_file_refs.pq"
    assert fetched.keys() == there.keys()
    assert {key for key in there if fetched[key] != there[key]} == {references}
    found = pq.read_table(got / references)
    fields = {key.split("/")[1] for key in there if key.startswith("results/")}
    assert {path for name in fields for path in found[name].drop_null().to_pylist()} <= fetched.keys()


# the tables when all is done


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_what_it_was(done: tuple[Project, dict[str, Any]], name: str, table: str) -> None:
    now, then = done[0].tables(name)[table], expected(name)[table]
    assert now["types"] == then["types"]
    assert now["index"] == then["index"]
    assert now["rows"] == then["rows"]


@pytest.mark.parametrize("name", IDS)
def test_every_spec_is_in_the_tables_once(done: tuple[Project, dict[str, Any]], name: str) -> None:
    tables = done[0].tables(name)
    assert sorted([*sort_indexes(tables["scalars"]), *sort_indexes(tables["errors"])]) == [*range(COUNTS[name][2])]
    assert sorted(tables) == sorted([*TABLES, *ADDED])


@pytest.mark.parametrize(
    ("name", "counts"), [("complete", (22, 6, 0)), ("half", (19, 5, 0)), ("cancelled", (19, 5, 0))]
)
def test_the_command_counts_to_n(done: tuple[Project, dict[str, Any]], name: str, counts: tuple[int, int, int]) -> None:
    document = done[1][name]
    assert tuple(document[field] for field in ("succeeded", "failed", "missing")) == counts
    rows = {table: len(expected(name)[table]["rows"]) for table in TABLES}
    assert document["rows"] == rows | dict.fromkeys(ADDED, sum(counts))


@pytest.mark.parametrize(("name", "generations"), [("complete", {1}), ("half", {1, 2, 3}), ("cancelled", {1, 2})])
def test_a_new_gather_says_how_each_spec_of_an_old_run_ran(
    done: tuple[Project, dict[str, Any]], name: str, generations: set[int]
) -> None:
    folder = done[0].run(name) / "final"
    execution, scalars = (pd.read_parquet(folder / f"{table}.pq") for table in ("execution", "scalars"))
    assert execution[execution["state"] == "succeeded"].index.equals(scalars.index)
    assert execution["generation"].isin(generations).all()
    assert execution["reused_from"].isna().all()


@pytest.mark.parametrize(("name", "generation"), [("complete", 1), ("half", 3), ("cancelled", 2)])
def test_what_was_there_is_kept(done: tuple[Project, dict[str, Any]], name: str, generation: int) -> None:
    then, now = contents(FIXTURE / "storage" / IDS[name]), contents(done[0].run(name))
    assert [key for key, content in then.items() if now.get(key) != content] == []
    generations = [key for key in now if key.startswith("control/generation-")]
    assert sorted(generations) == [f"control/generation-{number}.yml" for number in range(1, generation + 1)]


@pytest.mark.parametrize("name", ["half", "cancelled"])
def test_a_resume_leaves_a_file_for_each_success(done: tuple[Project, dict[str, Any]], name: str) -> None:
    curves = list((done[0].run(name) / "results" / "curve").iterdir())
    assert len(curves) == 19

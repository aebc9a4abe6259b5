"""`scythe status`: times, durations, freshness, size, who; what failures have in common, and which specs they are."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from command import Done, project, runs, scythe

from scythe_cli.cli import app
from scythe_cli.cli.views.failures import spec_ranges
from scythe_cli.cli.views.text_table import flowing
from scythe_cli.core.events import Progress
from scythe_cli.run.run import open_run
from scythe_cli.storage.open_store import open_store
from scythe_cli.timing.live import publish_counts, read_counts

MODULE = '''
import time
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry


class In(ExperimentInputSpec):
    u_value: float
    system: str
    floors: int


class Out(ExperimentOutputSpec):
    heating: float


@ExperimentRegistry.Register()
def house(input_spec: In) -> Out:
    """Heat a house."""
    if input_spec.sort_index == 7:
        time.sleep(0.2)
    if input_spec.system == "heatpump" and input_spec.u_value > 2.5 and input_spec.floors != 3:
        raise ValueError("too cold")
    return Out(heating=10 * input_spec.u_value)
'''
FILE = "experiment: house:house\nspecs: specs.csv\nname: houses\nrun: {retries: 0, workers: 2, max_failures: all}\n"
ROWS = [(round(0.1 + 0.01 * n, 2), ("gas", "heatpump")[n % 2], n % 5) for n in range(290)]
FAILED = [
    n for n, (u_value, system, floors) in enumerate(ROWS) if system == "heatpump" and u_value > 2.5 and floors != 3
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    specs = "u_value,system,floors\n" + "".join(f"{u},{system},{floors}\n" for u, system, floors in ROWS)
    folder = project(tmp_path_factory.mktemp("home"), specs, file=FILE)
    (folder / "house.py").write_text(MODULE)
    done = scythe("allocate", cwd=folder)
    assert done.code == 1, done.err
    return folder


@pytest.fixture
def said(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    def call(*arguments: str) -> Done:
        monkeypatch.chdir(home)
        code = app.run(["status", *arguments])
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return call


@pytest.fixture
def at_work(home: Path, tmp_path: Path) -> Path:
    """The run before it ended, as another process sees it."""
    folder = tmp_path / "copy"
    shutil.copytree(runs(home, "houses")[0], folder)
    shutil.rmtree(folder / "final")
    for mark in ("gathered-1.yml", "ended-1.yml"):
        (folder / "control" / mark).unlink()
    return folder


def test_times_of_a_run(said: Callable[..., Done]) -> None:
    found = said("houses", "--json").json("status")
    began, ended = datetime.fromisoformat(found["began"]), datetime.fromisoformat(found["ended"])
    assert found["elapsed"] == pytest.approx((ended - began).total_seconds())
    assert found["as_of"] == found["ended"]
    assert found["durations"]["slowest_spec"] == 7
    assert 0.2 < found["durations"]["slowest"] < 60
    assert found["durations"]["median"] < 0.2
    assert found["durations"]["specs"] == len(ROWS)
    assert found["user"]
    assert found["live"] is None


def test_times_for_people(said: Callable[..., Done]) -> None:
    facts = said("houses").out.splitlines()[1]
    assert facts.startswith(f"  290 of 290 specs done, {len(FAILED)} failed   ")
    for word in ("began ", "ended ", "took ", "(median)", "slowest ", "(spec 7)"):
        assert word in facts


def test_a_run_at_work_says_how_fresh_its_numbers_are(said: Callable[..., Done], at_work: Path) -> None:
    found = said(str(at_work), "--json").json("status")
    parts = at_work.glob("scatter-gather/output/*/*.pq")
    newest = max(path.stat().st_mtime for path in parts)
    assert datetime.fromisoformat(found["as_of"]).timestamp() == pytest.approx(newest, abs=0.001)
    assert found["ended"] is None
    assert found["durations"]["slowest_spec"] == 7


def test_facts_flow_into_the_width() -> None:
    assert flowing(["one", "two", "three"], 10_000) == ["one   two   three"]
    assert flowing(["one", "two", "three"], 10) == ["one   two", "three"]


def test_what_failures_have_in_common(said: Callable[..., Done]) -> None:
    such = [row for row in ROWS if row[1] == "heatpump" and row[0] >= 2.51]
    (group,) = said("houses", "--errors", "--json").json("status")["failures"]
    assert (group["such"], group["failed_such"], group["specs"]) == (len(such), len(FAILED), [])
    lowest, highest = min(ROWS[n][0] for n in FAILED), max(ROWS[n][0] for n in FAILED)
    assert {one["field"]: (one["value"], one["low"], one["high"], one["share"]) for one in group["common"]} == {
        "u_value": (None, lowest, highest, 1.0),
        "system": ("heatpump", None, None, 1.0),
    }
    text = said("houses", "--errors").out
    common = f"u_value {lowest:g} to {highest:g}, system=heatpump 100%; {len(FAILED)} of {len(such)} such specs"
    assert f"  common   {common}\n" in text
    assert "  specs " not in text


def test_the_specs_of_a_group_are_named(said: Callable[..., Done]) -> None:
    (group,) = said("houses", "--list", "--json").json("status")["failures"]
    assert group["specs"] == FAILED
    text = said("houses", "--errors", "--list").out
    assert f"  specs    {FAILED[0]}, {FAILED[1]}, {FAILED[2]}" in text


def test_ranges_of_specs() -> None:
    assert spec_ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
    assert spec_ranges([]) == ""


def test_the_table_has_size_age_and_user(said: Callable[..., Done], home: Path) -> None:
    done = said()
    heading, line = done.out.splitlines()
    assert heading.split() == ["run", "state", "done", "failed", "size", "age", "by"]
    assert line.split()[1:4] == ["finished", "290/290", str(len(FAILED))]
    (found,) = said("--json").json("runs")["runs"]
    (run,) = runs(home, "houses")
    assert found["size"] == sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    assert line.split()[-1] == found["user"]


@pytest.fixture
def counted_run(home: Path) -> Any:
    (run,) = runs(home, "houses")
    return open_run(open_store(str(run)), "")


def test_counts_of_the_process_at_work(counted_run: Any) -> None:
    passed: list[Any] = []
    assert read_counts(counted_run) is None
    with publish_counts(counted_run, passed.append) as listener:
        listener(Progress(10, 2, 290))
        found = read_counts(counted_run)
        assert found is not None
        assert (found.done, found.failed) == (10, 2)
        assert abs((datetime.now(UTC) - found.at).total_seconds()) < 60
    assert read_counts(counted_run) is None
    assert passed == [Progress(10, 2, 290)]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"done": 1, "failed": 0, "at": 1e99}'])
def test_counts_that_somebody_else_wrote(counted_run: Any, clean_environment: Path, text: str) -> None:
    with publish_counts(counted_run, lambda _: None) as listener:
        listener(Progress(1, 0, 290))
        (file,) = clean_environment.rglob("live/*.json")
        file.write_text(text)
        assert read_counts(counted_run) is None
        file.write_text(f'{{"done": 1, "failed": 0, "at": {time.time() - 3600}}}')
        assert read_counts(counted_run) is None


CRASHING = """
import os
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    code: int

class Out(ExperimentOutputSpec):
    fine: bool

@ExperimentRegistry.Register(retries=0)
def house(input_spec: In) -> Out:
    os._exit(input_spec.code)
"""


def test_crashes_are_one_group_only_where_they_ended_the_same_way(tmp_path: Path) -> None:
    folder = project(tmp_path, "code\n" + "3\n4\n3\n", file=FILE)
    (folder / "house.py").write_text(CRASHING)
    said = scythe("allocate", cwd=folder).out
    assert "2x the process ended with exit code 3" in said
    assert "1x the process ended with exit code 4" in said

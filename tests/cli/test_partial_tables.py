"""Tables of a run that lack specs: every command that shows or hands them on says so."""

from __future__ import annotations

import logging
from pathlib import Path

import polars as pl
import pytest
from command import project, runs, scythe

import scythe_cli
from scythe_cli.api import places

PARTIAL = "the tables are partial: 1 of 3 specs is not in them"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v1.0.0 has tables without its last spec; those of v1.1.0 are whole."""
    folder = project(tmp_path_factory.mktemp("partial"))
    for bump in ("keep", "minor"):
        assert scythe("allocate", "--bump", bump, cwd=folder).code == 0
    run, _ = runs(folder)
    (run / "control" / "gathered-1.yml").unlink()
    table = run / "final" / "scalars.pq"
    pl.read_parquet(table).head(2).write_parquet(table)
    return folder


def test_a_download_says_it(folder: Path, tmp_path: Path) -> None:
    done = scythe("download", "doubles/v1.0.0", tmp_path / "got", cwd=folder)
    assert (done.code, done.out.splitlines()[-1]) == (0, f"  {PARTIAL}"), done.err
    now = scythe("status", tmp_path / "got", cwd=folder)
    heading, *_, last = now.out.splitlines()
    assert heading.endswith("   stopped before the end (a download, whose tables are partial)")
    assert (last, now.err) == (f"  {PARTIAL}", "")
    assert scythe("status", tmp_path / "got", "--json", cwd=folder).json("status")["state"] == "incomplete"
    assert "finished" not in scythe("show", tmp_path / "got", cwd=folder).out.splitlines()[0]


def test_the_status_of_the_run_says_it(folder: Path) -> None:
    done = scythe("status", "doubles/v1.0.0", cwd=folder)
    assert f"\n  {PARTIAL}\n" in done.out
    assert "partial" not in scythe("status", "doubles/v1.1.0", cwd=folder).out


def test_python_says_it(folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_said", set())
    run = scythe_cli.open_run("doubles/v1.0.0", storage=folder / "scythe-runs")
    with caplog.at_level(logging.WARNING):
        assert run.scalars().height == 2
        assert run.scan().collect().height == 2
    assert [one.message for one in caplog.records] == [f"{run.experiment_id}: {PARTIAL}"]
    places._said.clear()
    with caplog.at_level(logging.WARNING):
        assert scythe_cli.scan("doubles", storage=folder / "scythe-runs").collect().height == 5
    assert [one.message for one in caplog.records[1:]] == [f"{run.experiment_id}: {PARTIAL}"]

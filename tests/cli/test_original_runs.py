"""A storage that holds runs of scythe-engine: they are listed, read and fetched, versions count on from them."""

import asyncio
import json
from pathlib import Path

import pandas as pd
import pytest
from command import project, scythe, tree
from servers import client, environment

from scythe_cli import SemVer, open_run
from scythe_cli.core import layout
from scythe_cli.errors import ConfigError, NotFinishedError
from scythe_cli.run.claim import next_version
from scythe_cli.run.find import latest_version
from scythe_cli.run.run import OriginalRun
from scythe_cli.storage.open_store import open_store

FINISHED = "doubles/v2.0.0/2026-01-31_12-00-00"
UNFINISHED = "doubles/v2.1.0/2026-02-01_12-00-00"


def original_run(storage: Path, run_id: str, *, finished: bool = True) -> None:
    """A run as scythe-engine leaves it in its bucket: its manifest, specs and tables."""
    run = storage / run_id
    (run / "final").mkdir(parents=True)
    specs = pd.DataFrame({"experiment_id": run_id, "sort_index": [0, 1, 2], "x": [1.0, 2.0, 3.0]})
    specs.to_parquet(run / "specs.pq")
    keys = {"workflow_run_id": "5d3a6b0e-8f0f-4c0b-9d1c-6f9f6f1f0c11", "experiment_id": run_id}
    keys |= {"experiment_name": "scythe_experiment_double"}
    files = {"specs_uri": "specs.pq", "io_spec": "experiment_io_spec.yml", "input_artifacts": "input_artifacts.yml"}
    keys |= {key: f"s3://bench/scythe/{run_id}/{name}" for key, name in files.items()}
    (run / "manifest.yml").write_text("".join(f"{key}: {value}\n" for key, value in keys.items()))
    if finished:
        scalars = specs.iloc[:2].assign(double=[2.0, 4.0]).set_index(["experiment_id", "sort_index", "x"])
        scalars.to_parquet(run / "final" / "scalars.pq")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An experiment's folder, with two runs of scythe-engine under its name."""
    folder = project(tmp_path / "home", "x\n1\n")
    original_run(folder / "scythe-runs", FINISHED)
    original_run(folder / "scythe-runs", UNFINISHED, finished=False)
    return folder


@pytest.fixture
def storage(home: Path) -> str:
    return str(home / "scythe-runs")


def test_a_run_of_scythe_engine_is_recognised(storage: str) -> None:
    assert isinstance(open_run(FINISHED, storage=storage).run, OriginalRun)


def test_versions_count_on_from_it(storage: str) -> None:
    store = open_store(storage)
    assert latest_version(store, "doubles") == SemVer(2, 1, 0)
    assert next_version(store, "doubles", "minor") == SemVer(2, 2, 0)


def test_an_allocate_runs_beside_it(home: Path) -> None:
    before = tree(home / "scythe-runs/doubles/v2.0.0")
    done = scythe("allocate", "--bump", "minor", "--json", cwd=home)
    assert done.code == 0, done.err
    assert json.loads(done.out)["run"].startswith("doubles/v2.2.0/")
    assert tree(home / "scythe-runs/doubles/v2.0.0") == before


def test_status_lists_it_as_made_by_scythe_engine(home: Path) -> None:
    done = scythe("status", cwd=home)
    assert [line.split("  ")[0] for line in done.out.splitlines()[1:]] == [UNFINISHED, FINISHED]
    assert done.out.count("made by scythe-engine") == 2


def test_status_of_one_has_its_counts_and_tables(home: Path) -> None:
    done = scythe("status", FINISHED, cwd=home)
    assert "made by scythe-engine" in done.out
    assert "2 of 3 specs done" in done.out
    assert "final/scalars.pq" in done.out
    assert done.err.startswith("next: scythe download")


def test_status_of_an_unfinished_one_advises_nothing(home: Path) -> None:
    done = scythe("status", UNFINISHED, cwd=home)
    assert "made by scythe-engine" in done.out
    assert done.err == ""


def test_its_status_is_a_document(home: Path) -> None:
    found = json.loads(scythe("status", FINISHED, "--json", cwd=home).out)
    assert (found["detail"], found["state"]) == ("made by scythe-engine", "gathered")
    assert (found["total"], found["succeeded"], found["missing"]) == (3, 2, 1)


def test_download_fetches_its_tables(home: Path) -> None:
    done = scythe("download", FINISHED, "here", cwd=home)
    assert done.code == 0, done.err
    assert pd.read_parquet(home / "here/final/scalars.pq")["double"].to_list() == [2.0, 4.0]


def test_download_of_one_without_tables_advises_nothing(home: Path) -> None:
    done = scythe("download", UNFINISHED, "here", cwd=home)
    assert done.code == 5
    assert "has no final tables yet" in done.err
    assert "hint" not in done.err


def test_names_with_slashes_are_listed(home: Path) -> None:
    original_run(home / "scythe-runs", "city/dryrun/baseline/v1.0.0/2026-03-01_12-00-00")
    done = scythe("status", "city/dryrun/baseline", cwd=home)
    assert done.out.startswith("city/dryrun/baseline/v1.0.0/2026-03-01_12-00-00   finished (made by scythe-engine)")


def test_runs_inside_of_a_run_are_listed_and_read(home: Path, storage: str) -> None:
    inner = f"{UNFINISHED}/sample/v1.0.0/2026-02-01_12-30-00"
    original_run(home / "scythe-runs", inner)
    found = scythe("status", UNFINISHED, cwd=home)
    assert "inside   sample/v1.0.0/2026-02-01_12-30-00" in found.out
    assert f"scythe-runs/{inner}" in found.out
    listed = scythe("status", "--storage", f"scythe-runs/{UNFINISHED}", cwd=home)
    assert listed.out.splitlines()[1].startswith("sample/v1.0.0/2026-02-01_12-30-00")
    assert open_run(f"{storage}/{inner}").scan().select("double").collect().rows() == [(2.0,), (4.0,)]
    fetched = scythe("download", f"scythe-runs/{inner}", "here", cwd=home)
    assert fetched.code == 0, fetched.err


def test_a_bucket_of_scythe_engine_is_read_as_a_folder_is(home: Path, s3_endpoint: str, s3_storage: str) -> None:
    bucket, _, prefix = s3_storage.removeprefix("s3://").partition("/")
    for file in filter(Path.is_file, (home / "scythe-runs").rglob("*")):
        key = f"{prefix}/{file.relative_to(home / 'scythe-runs').as_posix()}"
        client(s3_endpoint).upload_file(str(file), bucket, key)
    listed = scythe("status", "--storage", s3_storage, cwd=home, env=environment(s3_endpoint))
    assert listed.out.count("made by scythe-engine") == 2
    run = open_run("doubles/v2.0", storage=s3_storage)
    assert isinstance(run.run, OriginalRun)
    assert run.scan().select("x", "double").collect().rows() == [(1.0, 2.0), (2.0, 4.0)]
    assert run.list_results_files() == {"scalars": f"{prefix}/{FINISHED}/final/scalars.pq"}
    assert next_version(open_store(s3_storage), "doubles", "minor") == SemVer(2, 2, 0)
    fetched = scythe("download", FINISHED, "here", "--storage", s3_storage, cwd=home, env=environment(s3_endpoint))
    assert fetched.code == 0, fetched.err
    assert pd.read_parquet(home / "here/final/scalars.pq")["double"].to_list() == [2.0, 4.0]


def test_scan_reads_its_scalars_by_column_names(storage: str) -> None:
    frame = open_run(FINISHED, storage=storage).scan().select("x", "double").collect()
    assert frame.rows() == [(1.0, 2.0), (2.0, 4.0)]


def test_waiting_for_a_finished_one_ends_at_once(storage: str) -> None:
    run = open_run(FINISHED, storage=storage)
    tables = {"scalars": f"{storage}/{FINISHED}/final/scalars.pq"}
    assert run.wait(timeout=5).state == "gathered"
    assert run.result() == tables
    assert asyncio.run(run.aio_result()) == tables


def test_one_without_tables_has_no_result(storage: str) -> None:
    with pytest.raises(NotFinishedError, match="was made by scythe-engine and has no final tables"):
        open_run(UNFINISHED, storage=storage).result()


@pytest.mark.parametrize("command", [["gather"], ["cancel"], ["allocate", "--resume"]])
def test_nothing_changes_it(home: Path, command: list[str]) -> None:
    before = tree(home / "scythe-runs")
    done = scythe(*command, FINISHED, cwd=home)
    assert (done.code, tree(home / "scythe-runs")) == (2, before)
    assert "was made by scythe-engine: scythe reads its tables and does not change it" in done.err


def test_gather_from_python_refuses_too(storage: str) -> None:
    with pytest.raises(ConfigError, match="made by scythe-engine"):
        open_run(FINISHED, storage=storage).gather()


@pytest.mark.parametrize("content", ["", "made: by somebody else\n", "experiment_id: [1, 2]\n"])
def test_no_message_advises_to_delete_what_we_did_not_write(home: Path, content: str) -> None:
    (home / "scythe-runs" / FINISHED / layout.MANIFEST).write_text(content)
    done = scythe("status", FINISHED, cwd=home)
    assert done.code == 4
    assert "hint: restore it from a copy; other runs are not affected" in done.err
    assert "remove" not in done.err

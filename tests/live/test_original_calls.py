"""Calls as users of scythe-engine write them, with changed import lines, in a folder and in a bucket."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from servers import BUCKET, environment

MODULE = """
from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pandas as pd

from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry
from scythe_cli import OptionalFileReference, ScytheWorkerLabel, fetch_uri


class Site(ExperimentInputSpec):
    a: float
    notes: OptionalFileReference = None
    when: pd.Timestamp = pd.Timestamp("2020-01-01T12:00:00")
    step: pd.Timedelta | None = None


class Seen(ExperimentOutputSpec):
    bucket: str
    prefix: str
    moment: str
    length: str
    note: str


@ExperimentRegistry.Register(
    description="a study",
    retries=2,
    schedule_timeout="10h",
    execution_timeout=timedelta(minutes=5),
    worker=None,
    inject_workflow_run_id=True,
    overwrite_log_method=True,
    backoff_factor=2.0,
)
def study(input_spec: Site, tempdir: Path) -> Seen:
    input_spec.log("begins")
    settings = input_spec.storage_settings
    index = input_spec.make_multiindex({"season": "winter"}, 2, False, frozenset({"notes"}))
    copied = fetch_uri(input_spec.notes.as_uri(), tempdir / "below" / "note.txt")
    fresh = input_spec.fetch_uri(input_spec.notes.as_uri(), use_cache=False)
    assert input_spec.local_path(input_spec.notes) == fresh
    return Seen(
        bucket="" if settings is None else settings.BUCKET,
        prefix=input_spec.prefix,
        moment=repr(input_spec.when),
        length=repr(input_spec.step),
        note=copied.read_text() + fresh.read_text(),
        dataframes={"hours": pd.DataFrame({"x": [1, 2]}, index=index)},
    )


@ExperimentRegistry.Register(execution_timeout="1m")
def frames_only(input_spec: Site) -> ExperimentOutputSpec:
    frame = pd.DataFrame({"x": [1.0]}, index=input_spec.make_multiindex(n_rows=1))
    return ExperimentOutputSpec(dataframes={"main": frame})


@ExperimentRegistry.Register(desired_worker_labels={**ScytheWorkerLabel.HIGH_MEMORY.worker_label})
def labelled(input_spec: Site) -> Seen: ...
"""

SCRIPT = """
import asyncio, json
from pathlib import Path

import pandas as pd
from pydantic import BaseModel

from module import Site, Seen, frames_only, labelled, study
from scythe_cli import BaseExperiment, ExperimentRegistry, ExperimentRun, RecursionMap, SemVer, VersionedExperiment


class Holder(BaseModel):
    run: ExperimentRun
    version: SemVer
    experiment: BaseExperiment
    versioned: VersionedExperiment


if __name__ == "__main__":
    facts = {}
    experiment = BaseExperiment[Site, Seen](runnable=study, run_name="sites")
    specs = [
        Site(experiment_id="placeholder", sort_index=0, a=i, notes=Path("notes.txt"), step=pd.Timedelta("1h"))
        for i in range(3)
    ]
    shape = RecursionMap(path=None, factor=1, max_depth=1)
    run, ref = experiment.allocate(specs, "bumpminor", True, True, shape, s3_client=object())
    facts["results"] = ref.result()
    facts["dump"] = run.model_dump(mode="json")
    keys = ["prefix", "dt_str", "scalars_filekey", "specs_filekey", "manifest_filekey", "io_spec_filekey"]
    keys += ["input_artifacts_filekey", "artifact_prefix", "final_results_dirkey", "specs_filename", "experiment_id"]
    facts["keys"] = {key: getattr(run, key) for key in keys}
    facts["artifact"] = run.construct_artifact_key("notes", "notes.txt")
    facts["uri"] = run.as_uri(run.scalars_filekey)
    facts["listed"] = run.list_results_files()
    facts["latest_results"] = experiment.latest_results
    facts["for_version"] = experiment.latest_results_for_version(SemVer(major=1))
    facts["latest"] = str(experiment.latest_version(object(), from_cache=False).version)
    facts["versions"] = [str(version) for version in experiment.list_versions(object())]
    facts["runs"] = experiment.latest_version().list_runs(object()) == [run]
    facts["run_name"] = run.versioned_experiment.base_experiment.run_name
    holder = Holder(run=run, version=SemVer(major=1), experiment=experiment, versioned=run.versioned_experiment)
    again = Holder.model_validate_json(holder.model_dump_json())
    facts["again"] = [again.run == run, again.run.scalars().height, str(again.version), again.experiment.run_name]
    facts["semver"] = SemVer(major=1).model_dump()
    facts["scalars"] = run.scalars().select("bucket", "prefix", "moment", "length", "note").row(0, named=True)
    facts["errors"] = run.errors()["message"].to_list()

    second, ref = BaseExperiment(runnable=frames_only).allocate(specs, overwrite_experiment_id=False, s3_client=1)
    facts["frames_only"] = [sorted(ref.result()), second.table("main")["x"].to_list(), second.errors().height]
    facts["name"] = [study.name, ExperimentRegistry.get_runnable("scythe_experiment_study") is study]
    facts["mock_run"] = frames_only.mock_run(input=specs[0]).dataframes["main"]["x"].to_list()
    facts["labels"] = ExperimentRegistry.options(labelled).desired_worker_labels["high_memory"].value
    print(json.dumps(facts))
"""

READ = """
import asyncio, json, sys
from scythe_cli import open_run

run = open_run(sys.argv[1], storage=sys.argv[2] if len(sys.argv) > 2 else None)
print(json.dumps({
    "id": run.experiment_id,
    "wait": run.wait(timeout=30).state,
    "result": run.result(),
    "aio": asyncio.run(run.aio_result()),
    "status": [run.status().total, run.status().failed],
    "errors": run.errors().height,
    "scan": run.scan().select("a").collect()["a"].to_list(),
    "hours": run.scan("hours").collect().height,
}))
"""


def python(folder: Path, name: str, text: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script of its own in a folder."""
    (folder / name).write_text(text)
    command = [sys.executable, name, *args]
    surroundings = {**os.environ, **env}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=100, env=surroundings
    )


@pytest.fixture(scope="module", params=["folder", pytest.param("bucket", marks=pytest.mark.slow)])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a script of a user of scythe-engine sees."""
    folder = tmp_path_factory.mktemp("original")
    (folder / "module.py").write_text(MODULE)
    (folder / "notes.txt").write_text("cold")
    env = {"SCYTHE_TIMEOUT_EXPERIMENT_EXECUTION": "20m", "SCYTHE_TIMEOUT_SCATTER_GATHER_SCHEDULE": "1h"}
    storage, key = str(folder / "scythe-runs"), str(folder / "scythe-runs")
    if request.param == "bucket":
        prefix = f"users/{uuid.uuid4().hex}"
        env |= environment(request.getfixturevalue("s3_endpoint"))
        env |= {"SCYTHE_STORAGE_BUCKET": BUCKET, "SCYTHE_STORAGE_BUCKET_PREFIX": prefix}
        storage, key = f"s3://{BUCKET}/{prefix}", prefix
    done = python(folder, "script.py", SCRIPT, **env)
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return {
        **facts,
        "folder": folder,
        "stderr": done.stderr,
        "storage": storage,
        "key": key,
        "env": env,
        "bucket": BUCKET if request.param == "bucket" else "",
    }


def test_nothing_fails(told: dict[str, Any]) -> None:
    assert told["errors"] == []


def test_the_run_dumps_as_the_originals_does(told: dict[str, Any]) -> None:
    base = told["dump"]["versioned_experiment"]["base_experiment"]
    assert (base["runnable"], base["run_name"]) == ("study", "sites")
    assert told["dump"]["versioned_experiment"]["version"] == {"major": 1, "minor": 0, "patch": 0}
    assert told["dump"]["timestamp"].replace(":", "-").replace("T", "_") == f"{told['keys']['dt_str']}Z"


def test_the_dump_names_the_storage(told: dict[str, Any]) -> None:
    base = told["dump"]["versioned_experiment"]["base_experiment"]
    if told["bucket"]:
        assert base["storage_settings"] == {"BUCKET": told["bucket"], "BUCKET_PREFIX": told["key"]}
    else:
        assert base["storage"] == told["storage"]


def test_keys_are_those_of_the_bucket_and_paths_in_a_folder(told: dict[str, Any]) -> None:
    run_id = told["keys"]["experiment_id"]
    prefix = f"{told['key']}/{run_id}/"
    assert told["keys"] == {
        "prefix": prefix,
        "dt_str": run_id.rpartition("/")[2],
        "scalars_filekey": f"{prefix}final/scalars.pq",
        "specs_filekey": f"{prefix}specs.pq",
        "manifest_filekey": f"{prefix}manifest.yml",
        "io_spec_filekey": f"{prefix}experiment_io_spec.yml",
        "input_artifacts_filekey": f"{prefix}input_artifacts.yml",
        "artifact_prefix": f"{prefix}artifacts/",
        "final_results_dirkey": f"{prefix}final/",
        "specs_filename": "specs",
        "experiment_id": run_id,
    }


def test_a_key_becomes_an_address(told: dict[str, Any]) -> None:
    assert told["uri"] == told["results"]["scalars"]
    assert told["artifact"] == f"{told['keys']['artifact_prefix']}notes/notes.txt"


def test_results_under_the_originals_names_are_keys(told: dict[str, Any]) -> None:
    assert told["listed"] == {
        name: f"{told['keys']['final_results_dirkey']}{name}.pq" for name in ("errors", "execution", "hours", "scalars")
    }
    assert told["latest_results"] == told["for_version"] == told["listed"]


def test_versions_are_found_with_a_client_that_is_ignored(told: dict[str, Any]) -> None:
    assert (told["latest"], told["versions"], told["runs"]) == ("v1.0.0", ["v1.0.0"], True)


def test_models_hold_runs_versions_and_experiments(told: dict[str, Any]) -> None:
    assert told["again"] == [True, 3, "v1.0.0", "sites"]
    assert told["semver"] == {"major": 1, "minor": 0, "patch": 0}
    assert told["run_name"] == "sites"


def test_a_spec_knows_its_bucket_and_prefix(told: dict[str, Any]) -> None:
    assert told["scalars"]["bucket"] == told["bucket"]
    assert told["scalars"]["prefix"] == told["keys"]["prefix"].rstrip("/")


def test_pandas_moments_reach_the_function(told: dict[str, Any]) -> None:
    assert told["scalars"]["moment"] == "Timestamp('2020-01-01 12:00:00')"
    assert told["scalars"]["length"] == "Timedelta('0 days 01:00:00')"


def test_files_are_fetched_by_address(told: dict[str, Any]) -> None:
    assert told["scalars"]["note"] == "coldcold"


def test_a_function_may_return_frames_only(told: dict[str, Any]) -> None:
    assert told["frames_only"] == [["errors", "execution", "main", "scalars"], [1.0, 1.0, 1.0], 0]


def test_a_registered_function_has_the_attributes_of_a_task(told: dict[str, Any]) -> None:
    assert told["name"] == ["scythe_experiment_study", True]
    assert told["mock_run"] == [1.0]
    assert told["labels"] == "yes"


@pytest.mark.parametrize(
    "option",
    [
        "allocate(s3_client=...)",
        "allocate(overwrite_experiment_id=False)",
        "SCYTHE_TIMEOUT_SCATTER_GATHER_SCHEDULE",
        "Register(schedule_timeout=...)",
        "Register(backoff_factor=...)",
    ],
)
def test_what_has_no_effect_is_said_once(told: dict[str, Any], option: str) -> None:
    assert told["stderr"].count(f"{option} has no effect") == 1


def test_nothing_else_is_said(told: dict[str, Any]) -> None:
    assert [line for line in told["stderr"].splitlines() if "has no effect" not in line] == []


def test_another_process_opens_the_run(told: dict[str, Any]) -> None:
    done = python(told["folder"], "read.py", READ, "sites", told["storage"], **told["env"])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == {
        "id": told["keys"]["experiment_id"],
        "wait": "gathered",
        "result": told["results"],
        "aio": told["results"],
        "status": [3, 0],
        "errors": 0,
        "scan": [0.0, 1.0, 2.0],
        "hours": 6,
    }


def test_a_run_is_opened_by_its_address(told: dict[str, Any]) -> None:
    address = f"{told['storage']}/{told['keys']['experiment_id']}"
    done = python(told["folder"], "read.py", READ, address, **told["env"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["id"] == told["keys"]["experiment_id"]


def test_the_timeout_of_the_environment_is_the_frozen_one(told: dict[str, Any]) -> None:
    """A Register option goes before it, as in scythe-engine."""
    if told["bucket"]:
        return
    frozen = next((told["folder"] / "scythe-runs/sites").rglob("experiment.yml")).read_text()
    assert "timeout: 5m" in frozen
    other = next((told["folder"] / "scythe-runs/frames_only").rglob("experiment.yml")).read_text()
    assert "timeout: 1m" in other


def test_final_tables_are_read_without_scythe(told: dict[str, Any]) -> None:
    if not told["bucket"]:
        assert pl.read_parquet(told["listed"]["scalars"])["a"].to_list() == [0.0, 1.0, 2.0]

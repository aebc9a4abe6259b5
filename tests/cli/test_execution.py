"""What each row was made of: `final/execution.pq`, and `control/generation-<n>.yml`."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from command import MODULE, project, runs, scythe

from scythe_cli.core import yaml_document

TABLE = "x,how\n1,well\n2,badly\n3,well\n"
COLUMNS = [
    *("sort_index", "workflow_run_id", "state", "kind", "attempts", "start", "duration", "worker", "generation"),
    *("reused_from", "experiment_id", "root_workflow_run_id", "x", "how"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose failed row a second generation, with other code, has finished."""
    folder = project(tmp_path_factory.mktemp("home"), TABLE)
    assert scythe("allocate", cwd=folder).code == 1
    shutil.copytree(runs(folder)[0] / "final", folder / "first")
    (folder / "doubles.py").write_text(MODULE.replace('"badly":\n        raise', '"never again":\n        raise'))
    done = scythe("allocate", "--resume", "doubles", "--allow-changed-code", "--set", "run.grace=3s", cwd=folder)
    assert done.code == 0, done.err
    return runs(folder)[0]


def generation(run: Path, number: int) -> Any:
    path = run / "control" / f"generation-{number}.yml"
    return yaml_document.read(path.read_text("utf-8"), str(path)).data


def test_execution_has_a_row_for_each_spec(run: Path) -> None:
    table = pl.read_parquet(run / "final" / "execution.pq")
    assert table["sort_index"].to_list() == [0, 1, 2]
    assert table["state"].to_list() == ["succeeded"] * 3
    assert table["kind"].to_list() == [None] * 3


def test_execution_says_which_generation_made_a_row(run: Path) -> None:
    assert pl.read_parquet(run / "final" / "execution.pq")["generation"].to_list() == [1, 2, 1]


def test_execution_has_failed_rows_too(run: Path) -> None:
    first = pl.read_parquet(run.parents[3] / "first" / "execution.pq")
    assert first["state"].to_list() == ["succeeded", "failed", "succeeded"]
    assert first["kind"].to_list() == [None, "exception", None]
    assert first["attempts"].to_list() == [1, 1, 1]


def test_execution_has_these_columns(run: Path) -> None:
    assert pq.read_schema(run / "final" / "execution.pq").names == COLUMNS


def test_execution_has_the_index_of_every_final_table(run: Path) -> None:
    execution = pd.read_parquet(run / "final" / "execution.pq")
    scalars = pd.read_parquet(run / "final" / "scalars.pq")
    assert execution.index.equals(scalars.index)
    assert execution.index.names == scalars.index.names


def test_execution_joins_scalars_in_pandas(run: Path) -> None:
    execution = pd.read_parquet(run / "final" / "execution.pq")
    joined = pd.read_parquet(run / "final" / "scalars.pq").join(execution)
    assert joined["double"].tolist() == [2.0, 4.0, 6.0]
    assert joined["generation"].tolist() == [1, 2, 1]


def test_times_are_utc_and_seconds(run: Path) -> None:
    table = pl.read_parquet(run / "final" / "execution.pq")
    assert table.schema["start"] == pl.Datetime("us", "UTC")
    assert all(0 <= (datetime.now(UTC) - start).total_seconds() < 300 for start in table["start"])
    assert all(0 <= seconds < 60 for seconds in table["duration"])


def test_nothing_is_reused_here(run: Path) -> None:
    table = pl.read_parquet(run / "final" / "execution.pq")
    assert table.schema["reused_from"] == pl.String
    assert table["reused_from"].to_list() == [None] * 3


def test_each_generation_keeps_the_hash_of_its_code(run: Path) -> None:
    first, second = (generation(run, number) for number in (1, 2))
    manifest = yaml_document.read((run / "manifest.yml").read_text("utf-8"), "manifest.yml").data
    assert first["source_hash"] == manifest["source_hash"]
    assert len(second["source_hash"]) == 64
    assert second["source_hash"] != first["source_hash"]


@pytest.mark.parametrize("number", [1, 2])
def test_a_generation_says_who_made_it_with_what(run: Path, number: int) -> None:
    note = generation(run, number)
    assert note["packages"]["pydantic"]
    assert note["python"][0] == "3"
    assert note["git_commit"] is None
    assert note["seed"] == 0
    assert note["user"]
    assert note["host"]
    assert datetime.fromisoformat(note["began"]).tzinfo is not None


def test_a_generation_has_its_own_settings(run: Path) -> None:
    assert generation(run, 1)["settings"]["run"]["grace"] == "1s"
    assert generation(run, 2)["settings"]["run"]["grace"] == "3s"
    assert generation(run, 1)["settings"]["experiment"] == "doubles:double"


def test_an_input_field_keeps_a_name_of_execution(tmp_path: Path) -> None:
    more = '    state: str = "open"\n    state_: int = 1\n'
    module = MODULE.replace("    how: Literal", f"{more}    how: Literal")
    folder = project(tmp_path, "x\n1\n", module=module)
    assert scythe("allocate", cwd=folder).code == 0
    table = pl.read_parquet(runs(folder)[0] / "final" / "execution.pq")
    assert table.select("state", "state_", "state__").rows() == [("open", 1, "succeeded")]

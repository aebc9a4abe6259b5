"""What `download` hands on: manifest, specs and code next to the tables, other formats, references that are paths."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import polars as pl
import pytest
from command import project, scythe

from scythe_cli import open_run
from scythe_cli.core.layout import DOWNLOAD_RECORD

MODULE = """
from pathlib import Path
import pandas as pd
from pydantic import Field
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference

class In(ExperimentInputSpec):
    x: float = Field(description="What is doubled [m]")

class Out(ExperimentOutputSpec):
    y: float = Field(description="Twice that [m]")
    note: str
    report: FileReference

@ExperimentRegistry.Register()
def double(input_spec: In, tempdir: Path) -> Out:
    if input_spec.x == 3:
        raise ValueError("=too much")
    path = tempdir / "report.txt"
    path.write_text(f"{input_spec.x}")
    frame = pd.DataFrame({"hour": [1, 2]})
    return Out(y=2 * input_spec.x, note="=1+1", report=path, dataframes={"hourly": frame})
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = project(tmp_path_factory.mktemp("project"), "x\n1\n2\n3\n", module=MODULE)
    assert scythe("allocate", cwd=folder).code == 1
    return folder


def test_all_of_it(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = scythe("download", "doubles", out, "--files", "--json", cwd=home).json("download")
    assert first["fetched_files"] == first["n_files"] == 7
    assert "experiment_id: doubles/v1.0.0/" in (out / "manifest.yml").read_text()
    assert pl.read_parquet(out / "specs.pq")["x"].to_list() == [1.0, 2.0, 3.0]
    (code,) = (out / "control" / "code").glob("*.zip")
    assert zipfile.ZipFile(code).namelist() == ["doubles.py"]
    references = pd.read_parquet(out / "final" / "result_file_refs.pq")["report"]
    assert [(out / path).read_text() for path in references] == ["1.0", "2.0"]
    assert all(path.startswith("results/report/") for path in references)
    again = scythe("download", "doubles", out, "--files", "--json", cwd=home).json("download")
    assert (again["fetched_files"], again["n_files"]) == (0, first["n_files"])


def test_other_formats(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = scythe("download", "doubles", out, "--format", "csv", "--json", cwd=home).json("download")
    assert set(done["tables"]) == {"scalars", "errors", "hourly", "execution", "result_file_refs"}
    scalars = pd.read_csv(done["tables"]["scalars"])
    assert (scalars["y"].to_list(), scalars["note"].to_list()) == ([2.0, 4.0], ["'=1+1"] * 2)
    assert pd.read_csv(done["tables"]["errors"])["message"].to_list() == ["'=too much"]
    made = Path(done["tables"]["scalars"]).stat().st_mtime_ns
    again = scythe("download", "doubles", out, "--format", "csv", "--json", cwd=home).json("download")
    assert (again["fetched_files"], Path(done["tables"]["scalars"]).stat().st_mtime_ns) == (0, made)
    book = scythe("download", "doubles", out, "--format", "xlsx", cwd=home)
    assert re.search(r"  .*/out/doubles-v1\.0\.0\.xlsx   5 sheets\n$", book.out), book
    sheets = openpyxl.load_workbook(out / "doubles-v1.0.0.xlsx")
    assert sheets.sheetnames[0] == "scalars"
    rows = list(sheets["scalars"].iter_rows(values_only=True))
    assert dict(zip(rows[0], rows[1], strict=True))["y"] == "m"
    assert dict(zip(rows[0], rows[2], strict=True))["note"] == "=1+1"


def test_a_table_that_changed_is_written_again_and_one_that_is_gone_goes(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scythe("download", "doubles", out, "--format", "csv", cwd=home)
    record = [json.loads(line) for line in (out / DOWNLOAD_RECORD).read_text().splitlines()]
    for line in record:
        line["etag"] += "x" if line["key"] == "final/hourly.csv" else ""
    (out / DOWNLOAD_RECORD).write_text("".join(json.dumps(line) + "\n" for line in record))
    made = {path.name: path.stat().st_mtime_ns for path in (out / "final").glob("*.csv")}
    scythe("download", "doubles", out, cwd=home)
    assert {path.name for path in (out / "final").glob("*.csv")} == made.keys() - {"hourly.csv"}
    scythe("download", "doubles", out, "--format", "csv", cwd=home)
    now = {path.name: path.stat().st_mtime_ns for path in (out / "final").glob("*.csv")}
    assert {name for name in now if now[name] != made[name]} == {"hourly.csv"}


def test_a_download_is_read_and_never_continued(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scythe("download", "doubles", out, cwd=home)
    now = scythe("status", out, "--json", cwd=home).json("status")
    assert (now["state"], now["succeeded"], now["failed"], now["detail"]) == ("gathered", 2, 1, "a download")
    assert open_run(str(out)).scalars()["y"].to_list() == [2.0, 4.0]
    before = sorted(path for path in out.rglob("*"))
    for command in (
        ["gather"],
        ["cancel"],
        ["remove", "--yes"],
        ["allocate", "--resume"],
        ["compare", "doubles"],
    ):
        refused = scythe(*command, out, cwd=home)
        assert (refused.code, f"{out} is a download of doubles/v1.0.0/" in refused.err) == (2, True), refused
    assert sorted(path for path in out.rglob("*")) == before


def test_a_folder_that_gets_another_run(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scythe("download", "doubles", out, cwd=home)
    record = out / DOWNLOAD_RECORD
    for key in ("failed/7/eplusout.err", "control/generation-9.yml"):
        path = out / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("other")
        arrived = {"key": key, "size": 5, "etag": "x", "mtime_ns": path.stat().st_mtime_ns}
        record.write_text(record.read_text() + json.dumps(arrived) + "\n")
    (out / "failed/7/mine.txt").touch()
    scythe("download", "doubles", out, cwd=home)
    assert [path.name for path in (out / "failed/7").iterdir()] == ["mine.txt"]
    assert not (out / "control/generation-9.yml").exists()


def test_the_users_own_folder_stays_one(home: Path, tmp_path: Path) -> None:
    """A manifest beside the user's code would make a run of the folder, whose code is never imported."""
    done = scythe("download", "doubles", ".", "--storage", home / "scythe-runs", cwd=tmp_path)
    assert (done.code, "manifest, specs and code are left out" in done.err) == (0, True), done
    assert {path.name for path in tmp_path.iterdir()} == {"final", DOWNLOAD_RECORD}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "specs.pq").write_bytes(b"mine")
    refused = scythe("download", "doubles", tmp_path / "other", cwd=home)
    assert (refused.code, "specs.pq is there already" in refused.err) == (2, True), refused
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["specs.pq"]


def test_tables_of_another_run_in_other_formats_are_named_when_they_go(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scythe("download", "doubles", out, "--format", "csv", cwd=home)
    record = [json.loads(line) for line in (out / DOWNLOAD_RECORD).read_text().splitlines()]
    for line in record:
        line["etag"] += "x" if line["key"] in ("final/scalars.csv", "final/errors.csv") else ""
    (out / DOWNLOAD_RECORD).write_text("".join(json.dumps(line) + "\n" for line in record))
    done = scythe("download", "doubles", out, cwd=home)
    assert "removed final/errors.csv, final/scalars.csv: made here from other tables than those of now\n" in done.err
    assert not (out / "final" / "scalars.csv").exists()

"""Whole runs with files, in a folder and in a bucket: the same promises, the same test bodies."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from servers import BUCKET, client
from stories import PLANT, Files, keys, prepared, reopened, resume, run_all, table

from scythe_cli.cli import app
from scythe_cli.core import layout, yaml_document
from scythe_cli.core.events import UploadFinished
from scythe_cli.errors import InputFileError, NotFinishedError
from scythe_cli.operations.download import download
from scythe_cli.operations.gather import gather
from scythe_cli.operations.status import status
from scythe_cli.run.find import find
from scythe_cli.run.run import Run, open_run
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from servers import WebServer

    from scythe_cli.core.events import Event

SCYTHE = str(Path(sys.executable).with_name("scythe"))


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where runs live."""
    return str(tmp_path / "runs") if request.param == "folder" else str(request.getfixturevalue("s3_storage"))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Input files."""
    return Files(tmp_path / "inputs")


def specs_of(run: Run) -> pl.DataFrame:
    """What specs.pq has."""
    return pl.read_parquet(run.store.read(layout.SPECS))


def test_a_run_with_files_from_one_end_to_the_other(storage: str, files: Files, tmp_path: Path) -> None:
    sunny, rainy = files.put("north/Chicago é 1.epw", "sunny"), files.put("south/Chicago é 1.epw", "rainy")
    twin, dash = files.put("east/Chicago é 1.epw", "sunny"), files.put("-r.tar.gz", "dash")
    flat = files.put("tariff.txt", "flat")
    weather = [sunny, rainy, twin, dash, sunny, sunny]
    specs = [{"a": a, "weather": str(path), "tariff": str(flat) if a % 2 else None} for a, path in enumerate(weather)]
    heard: list[Event] = []
    done = run_all(prepared(storage, specs), listener=heard.append)

    assert done.final is not None
    assert (done.final.succeeded, done.final.failed, done.final.missing) == (6, 0, 0)
    scalars = table(done.run)
    assert scalars["name"].to_list() == [path.name for path in weather]
    assert scalars["text"].to_list() == ["sunny", "rainy", "sunny", "dash", "sunny", "sunny"]
    assert table(done.run, "hourly").height == 12
    # sent: four files, not one for each row nor for the twin
    sent = [event for event in heard if isinstance(event, UploadFinished)]
    assert [(event.n_files, event.n_bytes) for event in sent] == [(4, len("sunnyrainydashflat"))]
    listed = yaml_document.read(done.run.store.read(layout.INPUT_ARTIFACTS).decode(), "").data["files"]
    assert sorted(listed["weather"]) == sorted(set(specs_of(done.run)["weather"]))
    hashed = [f"Chicago é 1-{hashlib.sha256(text).hexdigest()[:8]}.epw" for text in (b"sunny", b"rainy")]
    names = [hashed[0], hashed[1], hashed[0], "-r.tar.gz", hashed[0], hashed[0]]
    assert scalars["weather"].to_list() == names
    assert (len(listed["weather"]), len(listed["tariff"])) == (3, 1)
    # the outputs
    refs = table(done.run, layout.FILE_REFS)
    index = [name for name in scalars.columns if name not in {"name", "text"}]
    assert refs.select(index).equals(scalars.select(index))
    assert refs.columns == ["report", "copy_of_tariff", *index]
    assert refs["report"].to_list() == [
        done.run.store.locate(f"results/report/{i}.csv.gz") for i in refs["workflow_run_id"]
    ]
    assert refs["copy_of_tariff"].is_null().to_list() == [True, False] * 3

    seen = status(reopened(done.run))
    assert (seen.state, seen.done, seen.failed, seen.missing) == ("gathered", 6, 0, 0)
    assert set(seen.final) == {"scalars", "errors", "result_file_refs", "hourly", "execution"}

    first = download(reopened(done.run).store, tmp_path / "got", files=True)
    assert (first.n_files, first.fetched_files) == (5 + 6 + 3, 14)
    assert pl.read_parquet(first.tables["scalars"]).equals(scalars)
    report = tmp_path / "got" / "results" / "report" / f"{refs['workflow_run_id'][1]}.csv.gz"
    assert report.read_text() == "1 rainy"
    report.unlink()
    assert download(done.run.store, tmp_path / "got", files=True).fetched_files == 1
    assert download(done.run.store, tmp_path / "got", files=True).fetched_files == 0
    only = download(done.run.store, tmp_path / "few", only_field="copy_of_tariff")
    assert (only.n_files, (tmp_path / "few" / "results" / "report").exists()) == (5 + 3, False)


def test_relative_paths_start_at_the_specs_file(storage: str, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.put("w.epw", "beside the table")
    files.put("deep/er/x.epw", "deeper")
    home = files.put("home/h.epw", "at home").parent
    monkeypatch.setenv("HOME", str(home))
    specs = files.put("specs.csv", "a,weather\n0,w.epw\n1,deep/../deep/er/x.epw\n2,~/h.epw\n3,../inputs/w.epw\n")
    done = run_all(prepared(storage, str(specs)))
    assert table(done.run)["text"].to_list() == ["beside the table", "deeper", "at home", "beside the table"]
    assert table(done.run)["name"].to_list() == ["w.epw", "x.epw", "h.epw", "w.epw"]


def test_a_spec_that_failed_is_resumed_and_nothing_is_sent_again(
    storage: str, files: Files, web_server: WebServer, tmp_path: Path
) -> None:
    """A file that breaks off is the spec's error, is tried as often as the spec is, and is never cached."""
    web_server.pages["/t.txt"] = b"peak"
    flat = files.put("w.epw", "sunny")
    specs = [{"a": a, "weather": str(flat), "tariff": f"{web_server.url}/t.txt" if a == 2 else None} for a in range(4)]
    ready = prepared(storage, specs, run__retries=1)
    web_server.short.add("/t.txt")
    done = run_all(ready)
    assert done.final is not None
    assert (done.final.succeeded, done.final.failed) == (3, 1)
    (error,) = table(done.run, layout.ERRORS).to_dicts()
    assert (error["sort_index"], error["kind"], error["attempts"]) == (2, "exception", 2)
    assert f"{web_server.url}/t.txt" in error["message"]

    web_server.short.clear()
    before = keys(storage)
    again = resume(done.run)
    assert again.final is not None
    assert (again.final.succeeded, again.final.failed) == (4, 0)
    assert table(again.run)["sort_index"].to_list() == [0, 1, 2, 3]
    fresh = {Path(key.partition(done.run.id)[2]).parts[1] for key in set(keys(storage)) - set(before)}
    assert fresh <= {"control", "scatter-gather", "results", "final"}
    download(again.run.store, tmp_path / "got", files=True)
    spec = table(again.run)["workflow_run_id"][2]
    assert (tmp_path / "got" / "results" / "copy_of_tariff" / f"{spec}.txt").read_text() == "peak"


def test_missing_files_are_told_before_anything_is_written(
    storage: str, files: Files, web_server: WebServer, s3_endpoint: str, request: pytest.FixtureRequest
) -> None:
    elsewhere = f"{request.getfixturevalue('s3_storage')}-data"
    bucket = elsewhere.removeprefix(f"s3://{BUCKET}/")
    client(s3_endpoint).put_object(Bucket=BUCKET, Key=f"{bucket}/there.epw", Body=b"x")
    web_server.pages |= {"/there": b"x", "/forbidden": 403}
    files.put("w.epw", "sunny")
    rows = [
        *("w.epw", "gone.epw", f"{elsewhere}/there.epw", f"{elsewhere}/gone.epw", f"{web_server.url}/there"),
        *(
            f"{web_server.url}/gone",
            f"{web_server.url}/forbidden",
            "gone.epw",
            "s3://no-such-bucket-at-all/x",
            "../inputs",
        ),
    ]
    specs = files.put("specs.csv", "weather\n" + "".join(f"{row}\n" for row in rows))
    with pytest.raises(InputFileError) as caught:
        prepared(storage, str(specs))
    lines = caught.value.message.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == [f"specs.csv:{n}" for n in (3, 5, 7, 8, 10, 11)]
    for line, said in zip(
        lines,
        ["does not exist (and 1 more row)", "404", "404", "403", "NoSuchBucket", "is a folder, not a file", "6 files"],
        strict=True,
    ):
        assert said in line
    assert f"weather = '{elsewhere}/gone.epw'" in lines[1]
    assert caught.value.exit_code == 2
    assert keys(storage) == []


def test_copies_of_remote_files_outlive_their_source(
    storage: str, files: Files, web_server: WebServer, s3_endpoint: str, request: pytest.FixtureRequest
) -> None:
    elsewhere = f"{request.getfixturevalue('s3_storage')}-data"
    key = elsewhere.removeprefix(f"s3://{BUCKET}/") + "/data/w.epw"
    client(s3_endpoint).put_object(Bucket=BUCKET, Key=key, Body=b"from s3")
    web_server.pages["/data/w.epw"] = b"from the web"
    local = files.put("w.epw", "from disk")
    specs = [{"weather": f"s3://{BUCKET}/{key}"}, {"weather": f"{web_server.url}/data/w.epw"}, {"weather": str(local)}]
    ready = prepared(storage, specs * 2, artifacts__copy_remote=True)
    client(s3_endpoint).delete_object(Bucket=BUCKET, Key=key)
    web_server.pages.clear()
    done = run_all(ready)
    assert table(done.run)["text"].to_list() == ["from s3", "from the web", "from disk"] * 2
    assert table(done.run)["name"].to_list() == ["w.epw"] * 6
    listed = yaml_document.read(done.run.store.read(layout.INPUT_ARTIFACTS).decode(), "").data["files"]
    assert sorted(listed["weather"]) == sorted(set(specs_of(done.run)["weather"]))
    assert all("/" not in name for name in table(done.run)["weather"])
    assert all(address.startswith(done.run.store.locate("artifacts/weather")) for address in listed["weather"])
    assert web_server.counts["GET"] == 1


def test_remote_files_stay_where_they_are(storage: str, web_server: WebServer) -> None:
    web_server.pages["/data/w.epw"] = b"from the web"
    address = f"{web_server.url}/data/w.epw"
    done = run_all(prepared(storage, [{"a": a, "weather": address} for a in range(20)]))
    assert set(table(done.run)["weather"]) == {address}
    assert set(table(done.run)["text"]) == {"from the web"}
    listed = yaml_document.read(done.run.store.read(layout.INPUT_ARTIFACTS).decode(), "").data["files"]
    assert listed == {"weather": [address], "tariff": []}
    assert web_server.counts["GET"] == 1, "fetched more than once on this machine"


def test_a_run_that_was_moved_goes_on(files: Files, tmp_path: Path) -> None:
    flat = files.put("w.epw", "sunny")
    files.put("t.txt", "flat")
    ready = prepared(str(tmp_path / "runs"), [{"a": a, "weather": str(flat)} for a in range(4)])
    done = run_all(ready)
    (tmp_path / "runs").rename(tmp_path / "moved")
    flat.unlink()
    run = find(open_store(str(tmp_path / "moved")), "p")
    for part in run.store.list(layout.OUTPUT):
        Path(run.store.locate(part.key)).unlink()
    with pytest.raises(NotFinishedError):
        gather(run)
    again = resume(run)
    assert again.final is not None
    assert again.final.succeeded == 4
    assert table(again.run)["text"].to_list() == ["sunny"] * 4
    assert not (tmp_path / "runs").exists()
    assert download(again.run.store, tmp_path / "got", files=True).n_files == 5 + 4
    assert done.run.id == again.run.id


def test_a_run_copied_out_of_a_bucket_is_a_run(s3_storage: str, files: Files, tmp_path: Path) -> None:
    done = run_all(prepared(s3_storage, [{"a": a, "weather": str(files.put("w.epw", "sunny"))} for a in range(3)]))
    source = open_store(s3_storage)
    for entry in source.list():
        source.download(entry.key, tmp_path / "copy" / entry.key)
    run = open_run(open_store(str(tmp_path / "copy")), done.run.id)
    assert status(run).state == "gathered"
    assert gather(run).succeeded == 3
    assert table(run)["report"].to_list() == table(done.run)["report"].to_list() if "report" in table(run) else True
    shutil.rmtree(tmp_path / "copy" / run.id / "scatter-gather" / "output")
    again = resume(run)
    assert again.final is not None
    assert again.final.succeeded == 3
    assert download(run.store, tmp_path / "got", files=True).n_files == 5 + 3


def scythe(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The installed command."""
    return subprocess.run([SCYTHE, *arguments], capture_output=True, text=True, check=False, timeout=60, cwd=cwd)


def test_the_commands_from_allocate_to_download(
    storage: str, files: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Paths start at the specs file, else at the experiment file; nobody needs to be in their folder."""
    files.put("project/tables/near w.epw", "near")
    files.put("project/weather/far.epw", "far")
    files.put("project/tables/specs.csv", "a,weather,tariff\n0,near w.epw,\n1,weather/far.epw,../later.txt\n")
    files.put("project/later.txt", "flat")
    home = files.folder / "project"
    shutil.copy(PLANT / "plant.py", home)
    lines = [f"storage: {storage}", "experiment: plant:plant", "specs: tables/specs.csv", "run: {retries: 0}"]
    files.put("project/experiment.yml", "\n".join(lines))

    files.put("project/tables/wrong.csv", "weather\nnear w.epw\nnone.epw\n")
    monkeypatch.chdir(home)
    assert app.run(["allocate", "--set", "specs=tables/wrong.csv"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.search(r"wrong.csv:3  weather = '.*none.epw': does not exist", said.err)
    assert keys(storage) == []

    done = scythe("allocate", "project/experiment.yml", "--json", cwd=files.folder)
    assert done.returncode == 0, done.stderr
    told = scythe("status", "plant", "--storage", storage, "--json", cwd=files.folder)
    assert told.returncode == 0, told.stderr
    seen = json.loads(told.stdout)
    assert (seen["state"], seen["done"], seen["failed"], seen["total"]) == ("gathered", 2, 0, 2)
    assert seen["address"].startswith(storage)
    assert seen["run"] in done.stdout
    got = scythe("download", seen["run"], "got", "--files", "--storage", storage, cwd=files.folder)
    assert got.returncode == 0, got.stderr
    assert pl.read_parquet(files.folder / "got/final/scalars.pq")["text"].to_list() == ["near", "far"]
    assert len(list((files.folder / "got/results").glob("*/*"))) == 2 + 1
    assert app.run(["download", seen["address"], "few", "--filter", "copy_of_tarif"]) == 3
    assert "Did you mean 'copy_of_tariff'?" in capsys.readouterr().err
    assert app.run(["allocate", "--resume", seen["address"]]) == 0
    assert "nothing to run" in capsys.readouterr().err

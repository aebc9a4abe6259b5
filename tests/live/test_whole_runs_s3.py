"""Runs in a bucket that fails, refuses, or goes away; and what a run costs in requests."""

from __future__ import annotations

import contextlib
import filecmp
import os
import re
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pyarrow as pa
import pytest
from faults import wait_for
from servers import BUCKET, client
from stories import PLANT, Files, keys, prepared, reopened, resume, run_all, table

from scythe_cli.cli import app
from scythe_cli.core import layout
from scythe_cli.core.events import Progress
from scythe_cli.errors import ExitCode, StoreError
from scythe_cli.operations.status import status
from scythe_cli.run import lease
from scythe_cli.run.find import latest
from scythe_cli.storage import references, s3_client
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers import FaultProxy

    from scythe_cli.core.events import Event


pytestmark = pytest.mark.slow


@pytest.fixture
def storage(s3_proxy: FaultProxy, request: pytest.FixtureRequest) -> str:
    """A place in the bucket behind the proxy, of this test alone."""
    references._open_bucket.cache_clear()  # another test's proxy
    return f"s3://{BUCKET}/{re.sub('[^a-z0-9]+', '-', request.node.name)}-{time.time_ns()}"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Input files."""
    return Files(tmp_path / "inputs")


@pytest.mark.parametrize(
    "seconds", [pytest.param(3.0), pytest.param(20.0, marks=[pytest.mark.soak, pytest.mark.timeout(180)])]
)
def test_a_store_that_is_away_in_the_middle_of_a_run(
    storage: str, s3_proxy: FaultProxy, files: Files, seconds: float
) -> None:
    """Parts, output files, input files and the cancel mark are all asked for meanwhile; the run ends complete."""
    weather = [str(files.put(f"{n}.epw", f"w{n}")) for n in range(10)]
    specs = [{"a": a, "weather": weather[a // 10], "seconds": 0.01} for a in range(100)]
    cut: list[int] = []

    def listen(event: Event) -> None:
        if isinstance(event, Progress) and event.done >= 20 and not cut:
            cut.append(event.done)
            s3_proxy.cut(seconds)

    began = time.monotonic()
    done = run_all(prepared(storage, specs, run__flush="0.5s"), listener=listen)
    assert cut
    assert time.monotonic() - began > seconds
    assert done.final is not None
    assert (done.final.succeeded, done.final.failed) == (100, 0)
    assert table(done.run)["text"].to_list() == [f"w{a // 10}" for a in range(100)]
    assert table(done.run, "hourly").height == 200
    assert len([key for key in keys(storage) if "/results/report/" in key]) == 100


def test_every_third_put_fails(storage: str, s3_proxy: FaultProxy, files: Files) -> None:
    specs = [{"a": a, "weather": str(files.put(f"{a % 7}.epw", f"w{a % 7}"))} for a in range(20)]
    s3_proxy.fail_every(3)
    done = run_all(prepared(storage, specs))
    assert done.final is not None
    assert (done.final.succeeded, done.final.failed) == (20, 0)
    assert len([key for key in keys(storage) if "/results/report/" in key]) == 20


@pytest.mark.parametrize("rows", [10 * layout.BLOCK, pytest.param(100_000, marks=pytest.mark.soak)])
def test_many_small_specs_take_few_requests(storage: str, s3_proxy: FaultProxy, rows: int) -> None:
    """Five a block and some: a hundred thousand specs make 150, where 1,500 are allowed."""
    done = run_all(prepared(storage, pa.table({"a": range(rows)}), function="plant:double"))
    assert done.final is not None
    assert done.final.succeeded == rows
    assert s3_proxy.total() < 5 * (rows // layout.BLOCK + 1) + 75, s3_proxy.counts
    before = len(s3_proxy.log)
    assert status(reopened(done.run)).done == rows
    asked = s3_proxy.log[before:]
    assert len([line for line in asked if "list-type=2" in line]) == 3
    assert len(asked) <= 10, asked  # as many for any number of specs: the manifest, three listings, some marks


def test_many_rows_of_one_file_are_one_upload_and_one_fetch(storage: str, s3_proxy: FaultProxy, files: Files) -> None:
    same = str(files.put("w.epw", "sunny"))
    done = run_all(prepared(storage, [{"a": a, "weather": same} for a in range(200)]))
    assert done.final is not None
    assert done.final.succeeded == 200
    asked = [line.split()[0] for line in s3_proxy.log if "/artifacts/weather/w.epw" in line]
    assert sorted(asked) == ["GET", "PUT"]


@pytest.mark.parametrize("copy", [False, True])
def test_each_allocate_asks_anew_and_its_lanes_believe_one_answer(
    storage: str, s3_proxy: FaultProxy, s3_endpoint: str, *, copy: bool
) -> None:
    """Of a table and a file in the bucket, which are overwritten between two runs and left alone before the third."""
    s3, prefix = client(s3_endpoint), storage.removeprefix(f"s3://{BUCKET}/")
    runs = ((200, "sunny", 1), (201, "rain", 1), (201, "rain", 0))
    for specs, weather, bodies in runs:
        if bodies:
            rows = "".join(f"{a},{storage}/in/w.epw\n" for a in range(specs))
            s3.put_object(Bucket=BUCKET, Key=f"{prefix}/in/specs.csv", Body=f"a,weather\n{rows}".encode())
            s3.put_object(Bucket=BUCKET, Key=f"{prefix}/in/w.epw", Body=weather.encode())
        s3_proxy.log.clear()
        done = run_all(prepared(storage, f"{storage}/in/specs.csv", artifacts__copy_remote=copy))
        assert table(done.run)["text"].to_list() == [weather] * specs
        asked = [line.split()[0] for line in s3_proxy.log if line.endswith("/in/w.epw")]
        assert sorted(asked) == ["GET"] * bodies + ["HEAD"] * 2
        asked = [line.split()[0] for line in s3_proxy.log if line.endswith("/in/specs.csv")]
        assert sorted(asked) == ["GET"] * bodies + ["HEAD"]


def test_a_resume_asks_anew(storage: str, s3_proxy: FaultProxy, s3_endpoint: str) -> None:
    """What was mended since the first allocate is seen."""
    s3, key = client(s3_endpoint), f"{storage}/in/w.epw".removeprefix(f"s3://{BUCKET}/")
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"\xff")
    broken = run_all(prepared(storage, [{"a": 1, "weather": f"{storage}/in/w.epw"}], run__retries=0))
    assert broken.final is not None
    assert broken.final.failed == 1
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"mended")
    done = resume(broken.run)
    assert table(done.run)["text"].to_list() == ["mended"]


def test_an_artifact_that_vanished_is_an_error_of_its_specs_and_is_not_cached(
    storage: str, s3_endpoint: str, files: Files
) -> None:
    ready = prepared(
        storage,
        [{"a": a, "weather": str(files.put(f"{a % 2}.epw", f"w{a % 2}"))} for a in range(4)],
        run__retries=1,
        run__max_failures="all",
    )
    s3 = client(s3_endpoint)
    held: dict[str, bytes] = {}

    def lose(event: Event) -> None:
        if type(event).__name__ == "UploadFinished":
            (key,) = [key for key in keys(storage) if key.endswith("/1.epw")]
            where = {"Bucket": BUCKET, "Key": storage.removeprefix(f"s3://{BUCKET}/") + "/" + key}
            held[where["Key"]] = s3.get_object(**where)["Body"].read()
            s3.delete_object(**where)

    done = run_all(ready, listener=lose)
    assert done.final is not None
    assert (done.final.succeeded, done.final.failed) == (2, 2)
    errors = table(done.run, "errors")
    assert errors["sort_index"].to_list() == [1, 3]
    assert errors["attempts"].to_list() == [2, 2]
    assert all("1.epw" in message and "does not exist" in message for message in errors["message"])
    for key, body in held.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    again = resume(done.run)
    assert again.final is not None
    assert (again.final.succeeded, again.final.failed) == (4, 0)


def experiment_file(folder: Path, storage: str) -> str:
    """An experiment file with two specs and an input file."""
    (folder / "w.epw").write_text("sunny")
    (folder / "specs.csv").write_text("a,weather\n1,w.epw\n2,w.epw\n")
    text = f"experiment: {PLANT / 'plant.py'}:plant\nspecs: specs.csv\nname: p\nstorage: {storage}\n"
    (folder / "experiment.yml").write_text(text)
    return str(folder / "experiment.yml")


def forbid_writing(proxy: FaultProxy, _: pytest.MonkeyPatch) -> None:
    """Credentials that may read and not write."""
    proxy.code = "AccessDenied"
    proxy.fault = lambda method, *_: 403 if method == "PUT" else None


def forbid_all(proxy: FaultProxy, _: pytest.MonkeyPatch) -> None:
    """Credentials that may do nothing."""
    proxy.code = "AccessDenied"
    proxy.fault = lambda *_: 403


def expire(proxy: FaultProxy, _: pytest.MonkeyPatch) -> None:
    """Credentials that were good yesterday."""
    proxy.code = "ExpiredToken"
    proxy.fault = lambda *_: 400


def unplug(_: FaultProxy, patch: pytest.MonkeyPatch) -> None:
    """Nobody listens."""
    patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    patch.setattr(s3_client, "QUICK", 0.5)


def forget_region(_: FaultProxy, patch: pytest.MonkeyPatch) -> None:
    """AWS itself, and no region."""
    patch.delenv("AWS_ENDPOINT_URL")
    patch.delenv("AWS_DEFAULT_REGION")


def forget_credentials(_: FaultProxy, patch: pytest.MonkeyPatch) -> None:
    """Nobody."""
    patch.delenv("AWS_ACCESS_KEY_ID")
    patch.delenv("AWS_SECRET_ACCESS_KEY")


def ignore_conditions(proxy: FaultProxy, _: pytest.MonkeyPatch) -> None:
    """A server that overwrites although it is asked not to."""
    proxy.drop_headers.add("if-none-match")


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (forbid_writing, r"cannot create s3://.*/control/claim.yml: 403 Forbidden, AccessDenied.*may create there"),
        (forbid_all, r"cannot list s3://.*: 403 Forbidden, AccessDenied.*may list there"),
        (expire, r"cannot list s3://.*: 400 Bad Request, ExpiredToken.*renew the credentials"),
        (unplug, r"cannot list s3://.*: Connection refused.*check the endpoint http://127.0.0.1:9"),
        (forget_region, r"cannot use s3://.*: no AWS region is set \(set AWS_DEFAULT_REGION"),
        (forget_credentials, r"cannot use s3://.*: no AWS credentials found \(set AWS_PROFILE"),
        (ignore_conditions, r"cannot create s3://.*/control/claim.yml safely: the server overwrites"),
    ],
)
def test_a_bucket_that_refuses(
    storage: str,
    s3_proxy: FaultProxy,
    s3_endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trouble: Callable[[FaultProxy, pytest.MonkeyPatch], None],
    said: str,
) -> None:
    file = experiment_file(tmp_path, storage)
    trouble(s3_proxy, monkeypatch)
    code = app.run(["allocate", file])
    out, err = capsys.readouterr()
    assert (code, out) == (ExitCode.UNREACHABLE, "")
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert re.search(said, line)
    assert f"s3://{BUCKET}" in line
    assert "Traceback" not in err
    listed = client(s3_endpoint).list_objects_v2(Bucket=BUCKET, Prefix=storage.removeprefix(f"s3://{BUCKET}/"))
    assert listed.get("Contents", []) == []


def test_a_bucket_that_does_not_exist(
    s3_proxy: FaultProxy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert app.run(["allocate", experiment_file(tmp_path, "s3://no-such-bucket/x")]) == ExitCode.UNREACHABLE
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(r"cannot list s3://no-such-bucket/x.*: 404 Not Found, NoSuchBucket.*check the bucket's name", line)


def test_an_allocate_that_is_killed_while_it_uploads_leaves_no_run(
    storage: str, s3_proxy: FaultProxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = experiment_file(tmp_path, storage)
    rows = []
    for n in range(100):
        (tmp_path / f"{n}.epw").write_text(f"w{n}")
        rows.append(f"{n},{n}.epw\n")
    (tmp_path / "specs.csv").write_text("a,weather\n" + "".join(rows))
    enough = threading.Event()

    def watch(method: str, path: str, _: int) -> None:
        if method == "PUT" and "/artifacts/" in path:
            if sum("/artifacts/" in line for line in s3_proxy.log) > 50:
                enough.set()
            time.sleep(0.1)

    s3_proxy.fault = watch
    command = [sys.executable, "-m", "scythe_cli.cli.app", "allocate", file]
    with subprocess.Popen(command, env=os.environ.copy(), stderr=subprocess.PIPE, text=True) as child:
        assert enough.wait(30), child.communicate(timeout=10)
        child.kill()
    s3_proxy.fault = lambda *_: None
    left = keys(storage)
    assert any("/artifacts/" in key for key in left)
    assert not any(key.endswith("manifest.yml") for key in left)
    assert latest(open_store(storage), 10) == []
    assert app.run(["status", "p", "--storage", storage]) == ExitCode.NOT_FOUND
    assert "no run" in capsys.readouterr().err
    (tmp_path / "specs.csv").write_text("a,weather\n" + "".join(rows[:3]))
    done = run_all(prepared(storage, str(tmp_path / "specs.csv")))
    assert done.run.id.startswith("p/v1.0.0/")
    assert [run.id for run in latest(open_store(storage), 10)] == [done.run.id]


def test_a_store_that_turns_a_run_away_keeps_what_was_written(
    storage: str, s3_proxy: FaultProxy, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permission withdrawn in the middle of a run: it ends with exit code 4, and a resume runs the rest."""
    specs = [{"a": a, "weather": str(files.put("w.epw", "x")), "seconds": 0.01} for a in range(60)]

    def listen(event: Event) -> None:
        if isinstance(event, Progress) and event.done >= 30:
            s3_proxy.code = "AccessDenied"
            s3_proxy.fault = lambda method, *_: 403 if method == "PUT" else None

    monkeypatch.setattr(lease, "LASTS", 0.5)  # it cannot be given back either
    with pytest.raises(StoreError, match="AccessDenied") as caught:
        run_all(prepared(storage, specs, run__flush="0.1s"), listener=listen)
    assert "what is done is kept; then: scythe allocate --resume p/v1.0.0/" in str(caught.value.hint)
    s3_proxy.fault = lambda *_: None
    (run,) = latest(open_store(storage), 2)
    wait_for(lambda: status(run).state == "incomplete", lambda: status(run), seconds=10)
    assert 0 < status(run).done < 60
    again = resume(run)
    assert again.final is not None
    assert (again.final.succeeded, again.final.failed) == (60, 0)


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("where", ["s3", "folder"])
def test_large_files_are_never_whole_in_memory(
    s3_storage: str, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 MB in, 300 MB out: all processes together hold less than half of that more than for a file of one byte."""
    storage = s3_storage if where == "s3" else str(tmp_path / "runs")
    monkeypatch.setenv("SCYTHE_CACHE_DIR", str(tmp_path / "cache"))
    peaks = []
    for name, size in (("small", 1), ("large", 300 << 20)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "specs.csv").write_text("source\nbulk.bin\n")
        text = f"experiment: {PLANT / 'plant.py'}:copy_bulk\nspecs: specs.csv\nname: {name}\nstorage: {storage}\n"
        (folder / "experiment.yml").write_text(text)
        with (folder / "bulk.bin").open("wb") as bulk:
            for _ in range(max(1, size >> 20)):
                bulk.write(os.urandom(min(size, 1 << 20)))
        peak = 0
        for command in ("allocate experiment.yml", f"download {name} got --files --storage {storage}"):
            peak = max(peak, _peak_of([sys.executable, "-m", "scythe_cli.cli.app", *command.split()], folder))
        (got,) = (folder / "got" / "results" / "copied").iterdir()
        assert filecmp.cmp(got, folder / "bulk.bin", shallow=False)
        peaks.append(peak)
    small, large = peaks
    assert large - small < 150 << 20


def _peak_of(command: list[str], folder: Path) -> int:
    """Most bytes of its own that a command's process tree held at a time."""
    peak = 0
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as child:
        while child.poll() is None:
            held = 0
            with contextlib.suppress(psutil.Error):
                for one in [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]:
                    full = one.memory_info()
                    held += full.rss - full.shared
            peak = max(peak, held)
            time.sleep(0.02)
    assert child.returncode == 0
    return peak

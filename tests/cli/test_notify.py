"""`--notify`: the command runs at the end of a run, with its JSON on stdin, whatever the end is."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command import SCYTHE, check, environment, project, runs, scythe

from scythe_cli.cli import notify
from scythe_cli.errors import StoreError
from scythe_cli.run.run import open_run
from scythe_cli.storage.open_store import open_store

SAVE = "cat > doc.json"


def document(folder: Path) -> Any:
    found = json.loads((folder / "doc.json").read_text())
    check(found, "allocate")
    return found


def test_a_run_with_failures(tmp_path: Path) -> None:
    folder = project(tmp_path, "x,how\n1,well\n2,badly\n")
    done = scythe("allocate", "--json", "--notify", f"{SAVE}; echo told; exit 3", cwd=folder)
    assert done.code == 1
    assert document(folder) == done.json("allocate")
    assert done.err.splitlines()[-2:] == ["told", "--notify: the command ended with exit code 3"]
    nothing = scythe("allocate", "--resume", "doubles", "--missing", "--notify", SAVE, cwd=folder)
    assert "nothing to run" in nothing.err
    assert document(folder)["failed"] == 1


def test_after_ctrl_c(tmp_path: Path) -> None:
    folder = project(tmp_path, "x,how\n1,well\n2,slowly\n")
    process = subprocess.Popen(
        [SCYTHE, "allocate", "--set", "run.grace=0s", "--set", "run.flush=10ms", "--notify", SAVE],
        cwd=folder,
        env=environment(),
        stderr=subprocess.PIPE,
    )
    while not list(folder.glob("scythe-runs/*/*/*/scatter-gather/output/*/*.pq")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    found = document(folder)
    assert (found["state"], found["reason"], found["succeeded"], found["missing"]) == (
        "incomplete",
        "interrupted",
        1,
        1,
    )
    assert found["run"].endswith(runs(folder)[0].name)


def test_what_it_does_not_go_with(tmp_path: Path) -> None:
    folder = project(tmp_path)
    for flags, why in ((["--dry-run"], "--dry-run"), (["--engine", "hatchet"], "--notify needs --wait")):
        done = scythe("allocate", "--notify", SAVE, *flags, cwd=folder)
        assert done.code == 2
        assert why in done.err
    assert not (folder / "scythe-runs").exists()
    assert not (folder / "doc.json").exists()


def test_a_command_that_does_not_end(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(notify, "NOTIFY_SECONDS", 0.2)
    assert notify._run("sleep 600 & sleep 600", b"{}") == "did not end within 0.2 s and was ended"
    assert notify._run("nothing-like-this", b"{}") == "ended with exit code 127"
    assert notify._run("true", b"x" * 1_000_000) is None, "it need not read"
    assert "nothing-like-this" in capfd.readouterr().err


def test_its_error_has_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreError("http://ada:s3cretpw@minio:9000 is away")

    folder = project(tmp_path)
    assert scythe("allocate", cwd=folder).code == 0
    run = open_run(open_store(str(runs(folder)[0])), "")
    monkeypatch.setattr("scythe_cli.operations.gather.gathered", fail)
    found = json.loads(notify._document(run, None))
    assert found["error"]["message"] == f"{run.id}: http://***@minio:9000 is away"

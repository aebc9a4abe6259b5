"""One embedded engine a machine: the first worker starts it, others join it, and nobody removes another's file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import platformdirs
import pytest
from hatchet_sdk import embedded as sdk

from scythe_cli.core import processes
from scythe_cli.engines.hatchet import embedded
from scythe_cli.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Sidecar:
    """The SDK's engine, which starts at once."""

    def __init__(self) -> None:
        self.stopped = False
        self.handshake = SimpleNamespace(model_dump=lambda: {"token": "t", "grpc_address": "g", "api_url": "a"})

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Sidecar]:
    found: list[Sidecar] = []

    def start(_: object) -> Sidecar:
        found.append(Sidecar())
        return found[-1]

    monkeypatch.setattr(sdk, "start_embedded_sidecar", start)
    for name in ("TOKEN", "HOST_PORT", "SERVER_URL", "TLS_STRATEGY"):
        monkeypatch.setenv(f"HATCHET_CLIENT_{name}", "")
    return found


@pytest.fixture
def other() -> Iterator[int]:
    """A process that has started an engine and is alive; its number."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        known = {"token": "theirs", "pid": process.pid, "started": processes.start_time(process.pid)}
        connection().parent.mkdir(parents=True, exist_ok=True)
        connection().write_text(json.dumps(known))
        yield process.pid
        process.kill()


def connection() -> Path:
    return Path(platformdirs.user_state_dir("scythe")) / "embedded.json"


def fails(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def start(_: object) -> Any:
        raise error

    monkeypatch.setattr(sdk, "start_embedded_sidecar", start)


def test_the_first_worker_starts_an_engine(started: list[Sidecar]) -> None:
    with embedded.running() as joined:
        assert joined is None
        assert os.environ["HATCHET_CLIENT_TOKEN"] == "t"
        assert json.loads(connection().read_text())["pid"] == os.getpid()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK leaves its pipe open
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_the_sdk_says_meanwhile_is_not_on_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"token": "t", "tenant_id": "n", "grpc_address": "g", "api_url": "a"}
    program = tmp_path / "sidecar"
    program.write_text(f"#!/bin/sh\nprintf '%s' '{json.dumps(known)}' > \"$2\"\nread line\n")
    program.chmod(0o700)
    monkeypatch.setenv("HATCHET_CLIENT_EMBEDDED_BINARY_PATH", str(program))
    for name in ("TOKEN", "HOST_PORT", "SERVER_URL", "TLS_STRATEGY"):
        monkeypatch.setenv(f"HATCHET_CLIENT_{name}", "")
    with embedded.running():
        assert os.environ["HATCHET_CLIENT_TOKEN"] == "t"
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("starting the embedded engine")


def test_it_ends_with_its_worker(started: list[Sidecar]) -> None:
    with embedded.running():
        pass
    assert started[0].stopped
    assert not connection().exists()


def test_the_connection_is_its_owners_alone(started: list[Sidecar]) -> None:
    with embedded.running():
        assert connection().stat().st_mode & 0o777 == 0o600


def test_a_second_worker_joins_it(started: list[Sidecar], other: int) -> None:
    with embedded.running() as joined:
        assert joined == other
        assert os.environ["HATCHET_CLIENT_TOKEN"] == "theirs"
    assert started == []


def test_a_second_worker_leaves_the_file_alone(started: list[Sidecar], other: int) -> None:
    with embedded.running():
        pass
    assert json.loads(connection().read_text())["pid"] == other


def test_a_dead_ones_file_is_replaced(started: list[Sidecar], other: int) -> None:
    connection().write_text(json.dumps({"token": "old", "pid": other, "started": 1}))
    with embedded.running() as joined:
        assert joined is None


@pytest.mark.parametrize(
    ("error", "path", "message", "hint"),
    [
        (RuntimeError("could not resolve the latest release"), "", "cannot be downloaded", "BINARY_PATH"),
        (FileNotFoundError(2, "No such file"), "/no/engine", "BINARY_PATH=/no/engine cannot be started", "unset it"),
        (RuntimeError("sidecar exited with code 1 before becoming ready"), "", "did not become ready", "DATABASE_URL"),
        (TimeoutError("not ready within 300s"), "/an/engine", "did not become ready", "DATABASE_URL"),
    ],
    ids=["download", "path", "crash", "never ready"],
)
def test_the_hint_tells_the_causes_apart(
    monkeypatch: pytest.MonkeyPatch, error: Exception, path: str, message: str, hint: str
) -> None:
    fails(monkeypatch, error)
    monkeypatch.setenv("HATCHET_CLIENT_EMBEDDED_BINARY_PATH", path)
    with pytest.raises(EngineError, match=message) as caught, embedded.running():
        pass
    assert hint in str(caught.value.hint)

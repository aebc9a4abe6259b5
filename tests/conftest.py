"""What every test stands on: a clean environment, a fresh home, and no network but loopback."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleet import Fleet

pytest_plugins = ["hostile", "own_cache", "servers", "user_modules"]

_OURS = ("SCYTHE_", "HATCHET_", "AWS_")
_KEPT = ("SCYTHE_TEST_",)


def pytest_configure(config: pytest.Config) -> None:
    """The tests are the same wherever they are started: from `nohup` or with `&`, which have signals ignored."""
    settings.register_profile("scythe", deadline=None)  # a loaded machine is no failure
    settings.load_profile("scythe")
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
    path = os.environ.get("FAILED_TESTS")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(FailedTests(path))


class FailedTests:
    """Writes the ids of failed tests to the file that FAILED_TESTS names, for `.ci/run` to try them once more.

    Not after an error of pytest's own or an interrupt: then other tests did not run at all.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._failed: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed[report.nodeid] = None

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.TESTS_FAILED:
            Path(self._path).write_text("".join(f"{name}\n" for name in self._failed))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No setting of the developer's reaches a test, and no test reaches the developer's home."""
    live = os.environ.get("HATCHET_CLIENT_TOKEN") is not None
    for name in list(os.environ):
        if name.startswith(_OURS) and not name.startswith(_KEPT) and not (live and name.startswith("HATCHET_")):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return home


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere else is a test's mistake."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else ""
        if self.family in (socket.AF_INET, socket.AF_INET6) and host not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address!r}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three workers of one engine: the double's, or the real one's where a token is given."""
    from fleet import fleet

    with fleet(tmp_path_factory.mktemp("fleet")) as found:
        found.complete()
        yield found


@pytest.fixture
def workers(started: Fleet, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """The same three, whatever an earlier test did to them, and this process connected to their engine."""
    for name, value in started.env.items():
        monkeypatch.setenv(name, value)
    started.complete()
    return started

"""The likeliest mistakes of a first connection are named within seconds, by the setting to change."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from scythe_cli.engines.hatchet import first_contact
from scythe_cli.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

HTTP2 = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
TLS_ALERT = bytes((0x15, 3, 1, 0, 2, 2, 70))


@contextmanager
def server(answer: bytes | None) -> Iterator[str]:
    """Takes connections and sends each of them an answer; with None it takes none and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while answer is not None:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(answer)
                    connection.settimeout(1.0)
                    try:
                        connection.recv(1 << 16)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def check(address: str, strategy: str) -> None:
    config: Any = SimpleNamespace(host_port=address, tls_config=SimpleNamespace(strategy=strategy))
    first_contact.check_transport(config)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("HATCHET_CLIENT_TLS_STRATEGY", raising=False)


def test_a_forgotten_strategy_is_named() -> None:
    with server(HTTP2) as address, pytest.raises(EngineError) as caught:
        check(address, "tls")
    assert "does not speak TLS, and HATCHET_CLIENT_TLS_STRATEGY is not set, which means tls" in caught.value.message
    assert caught.value.hint is not None
    assert "HATCHET_CLIENT_TLS_STRATEGY=none" in caught.value.hint


def test_an_engine_that_wants_tls_is_named() -> None:
    with server(TLS_ALERT) as address, pytest.raises(EngineError, match="wants TLS, and HATCHET_CLIENT_TLS_STRATEGY"):
        check(address, "none")


def test_an_engine_without_tls_is_taken_where_that_is_said() -> None:
    with server(HTTP2) as address:
        check(address, "none")


@pytest.mark.parametrize("strategy", ["tls", "none"])
def test_an_engine_that_does_nothing_is_named_in_time(strategy: str) -> None:
    began = time.monotonic()
    with server(None) as address, pytest.raises(EngineError, match=r"does not answer within 2\.5 s"):
        check(address, strategy)
    assert time.monotonic() - began < 5


def test_a_port_where_nobody_listens_is_named() -> None:
    with server(None) as address:
        pass
    with pytest.raises(EngineError, match=r"does not answer: .*refused"):
        check(address, "tls")


@pytest.mark.parametrize(
    ("version", "older"), [("v0.78.22", True), ("v0.80.0", False), ("v0.104.7", False), ("v0.80.0-alpha.1", False)]
)
def test_versions_are_compared_as_numbers(version: str, older: bool) -> None:
    assert (first_contact._numbers(version) < first_contact._numbers("v0.80.0")) is older

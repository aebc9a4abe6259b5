"""What an engine is asked before anything else: whether it answers, speaks the expected protocol, and is new enough.

Input: the SDK's settings. Output: nothing, or an error that names the setting to change, within five seconds.
"""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING, Any

from scythe_cli.errors import EngineError

if TYPE_CHECKING:
    from hatchet_sdk import ClientConfig, Hatchet

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 2.5
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""What an HTTP/2 client sends first, with empty settings."""
_TLS_ALERT = b"\x15"
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
_STRATEGY = "HATCHET_CLIENT_TLS_STRATEGY"


def check_transport(config: ClientConfig) -> None:
    """Hold that the engine's gRPC port answers, and speaks TLS exactly where the settings say so.

    Raises:
        EngineError: it does not answer, or the strategy is wrong.
    """
    if any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES):
        return  # the way to the engine is the proxy's: what a direct connection meets says nothing
    host, _, port = config.host_port.rpartition(":")
    where = f"Hatchet at {config.host_port}"
    try:
        connection = socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS)
    except (OSError, ValueError) as exc:
        hint = "is it running, and is HATCHET_CLIENT_HOST_PORT its address?"
        raise EngineError(f"{where} does not answer: {exc}", hint=hint) from exc
    with connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            spoken = (
                _speaks_tls(connection, host) if config.tls_config.strategy != "none" else _speaks_http2(connection)
            )
        except TimeoutError:
            hint = "it accepts connections but does nothing: is it overloaded or stopped?"
            raise EngineError(f"{where} does not answer within {ANSWER_SECONDS:g} s", hint=hint) from None
        except OSError:
            return  # whatever it is, the call that follows names it
    if not spoken and config.tls_config.strategy == "none":
        raise EngineError(f"{where} wants TLS, and {_STRATEGY} is none", hint=f"unset {_STRATEGY}")
    if not spoken:
        given = os.environ.get(_STRATEGY)
        setting = f"{_STRATEGY} is {given}" if given else f"{_STRATEGY} is not set, which means tls"
        hint = f"set {_STRATEGY}=none for an engine without TLS inside a network that you trust"
        raise EngineError(f"{where} does not speak TLS, and {setting}", hint=hint)


def _speaks_tls(connection: socket.socket, host: str) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # who it is, gRPC verifies
    context.set_alpn_protocols(["h2"])
    try:
        with context.wrap_socket(connection, server_hostname=host):
            return True
    except ssl.SSLError as exc:
        return exc.reason not in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}
    except ConnectionResetError:
        return False


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether the port takes HTTP/2 without TLS; only a clear no counts."""
    connection.sendall(_PREFACE)
    answer = connection.recv(64)
    return not (answer.startswith(_TLS_ALERT) or b"HTTPS" in answer)


def check_version(hatchet: Hatchet) -> None:
    """Hold that the engine is new enough for the SDK.

    Raises:
        EngineError: it is too old; the message names both versions.
    """
    import grpc
    from hatchet_sdk.connection import new_conn
    from hatchet_sdk.contracts.dispatcher_pb2 import GetVersionRequest
    from hatchet_sdk.contracts.dispatcher_pb2_grpc import DispatcherStub
    from hatchet_sdk.engine_version import MinEngineVersion
    from hatchet_sdk.utils.api_auth import create_authorization_header

    channel: Any = new_conn(hatchet.config, False)
    with channel:
        stub: Any = DispatcherStub(channel)
        header = create_authorization_header(hatchet.config.token)
        try:
            version = str(stub.GetVersion(GetVersionRequest(), timeout=ANSWER_SECONDS, metadata=header).version)
        except grpc.RpcError as exc:
            if exc.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
            version = ""
    least = MinEngineVersion.DURABLE_EVICTION.value
    if not version or _numbers(version) < _numbers(least):
        what = f"is {version}" if version else "does not report its version"
        where = f"Hatchet at {hatchet.config.host_port}"
        raise EngineError(f"{where} {what}: this hatchet-sdk needs {least} or newer", hint="update the engine")


def _numbers(version: str) -> tuple[int, ...]:
    """v0.104.7 as numbers; a word after them does not count."""
    parts = version.removeprefix("v").partition("-")[0].split(".")
    return tuple(int(part) for part in parts if part.isdecimal())

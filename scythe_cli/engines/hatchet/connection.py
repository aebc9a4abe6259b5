"""A connection to an engine: the SDK's client, and what it raises as our errors.

Input: `HATCHET_CLIENT_*`, or the file that `scythe worker --embedded` wrote on this machine. Output: a client.
"""

from __future__ import annotations

import os
import socket
import threading
import warnings
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from scythe_cli.engines.hatchet import embedded, first_contact
from scythe_cli.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hatchet_sdk import Hatchet

T = TypeVar("T")


def connect(*, patient: bool = False) -> Hatchet:
    """A client of the engine that the environment names. Opens no connection.

    Args:
        patient: repeat calls while the engine is unavailable, as workers should.

    Raises:
        EngineError: there is no token, or it is not one.
    """
    embedded.adopt()
    os.environ.setdefault("HATCHET_CLIENT_DISABLE_LOG_CAPTURE", "true")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC writes lines of its own to stderr otherwise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from hatchet_sdk import Hatchet
        from hatchet_sdk.config import TenacityConfig

        from scythe_cli.engines.hatchet.quiet_config import QuietConfig
    try:
        settings = QuietConfig() if patient else QuietConfig(tenacity=TenacityConfig(max_attempts=2))
        return Hatchet(config=settings)
    except ValueError:
        given = bool(os.environ.get("HATCHET_CLIENT_TOKEN"))
        what = "HATCHET_CLIENT_TOKEN is not a Hatchet token" if given else "HATCHET_CLIENT_TOKEN is not set"
        raise EngineError(
            f"no connection to Hatchet: {what}",
            hint="take a token from the engine's settings, or start one here: scythe worker --embedded",
        ) from None  # the cause would print the token


def connect_and_check(*, patient: bool = False) -> Hatchet:
    """A client of an engine that answers, speaks what the settings say, takes the token, and is new enough.

    Raises:
        EngineError: it does not, within five seconds; the message names the setting to change.
    """
    hatchet = connect(patient=patient)
    first_contact.check_transport(hatchet.config)
    with translated(hatchet):
        first_contact.check_version(hatchet)
    return hatchet


def in_time(call: Callable[[], T], seconds: float, hatchet: Hatchet) -> T:
    """What a call of the SDK returns, which may have no limit of its own.

    Raises:
        EngineError: it takes too long. The call may still succeed later.
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as exc:  # noqa: BLE001 - raised again where somebody waits
            future.set_exception(exc)

    threading.Thread(target=work, daemon=True, name="scythe-hatchet-call").start()
    try:
        return future.result(seconds)
    except FutureTimeout:
        raise EngineError(f"Hatchet at {hatchet.config.host_port} does not answer within {seconds:g} s") from None


@contextmanager
def translated(hatchet: Hatchet) -> Iterator[None]:
    """What the SDK raises, as ours."""
    import grpc
    from hatchet_sdk.clients.rest.exceptions import ApiException, ForbiddenException, UnauthorizedException
    from urllib3.exceptions import HTTPError

    where = f"Hatchet at {hatchet.config.server_url}"
    refused = EngineError(
        f"{where} refuses the token", hint="set HATCHET_CLIENT_TOKEN to a token of this engine's tenant"
    )
    try:
        yield
    except (ForbiddenException, UnauthorizedException) as exc:
        raise refused from exc
    except grpc.RpcError as exc:
        code = exc.code() if hasattr(exc, "code") else None
        if code is grpc.StatusCode.UNAUTHENTICATED:
            raise refused from exc
        detail = exc.details() if hasattr(exc, "details") else str(exc)
        raise EngineError(f"Hatchet at {hatchet.config.host_port} does not answer: {detail}", hint=_HINT) from exc
    except (ApiException, HTTPError, OSError) as exc:
        raise EngineError(f"{where} does not answer: {_reason(exc)}", hint=_HINT) from exc


_HINT = "is it running, and does HATCHET_CLIENT_TOKEN belong to it?"


def _reason(exc: BaseException) -> str:
    """The first cause that says something to a person."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError

    chain = [exc]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    if any(isinstance(one, ConnectionRefusedError) for one in chain):
        return "connection refused"
    if any(isinstance(one, socket.gaierror) for one in chain):
        return "its name cannot be resolved"
    late = [one for one in chain if isinstance(one, ReadTimeoutError | ConnectTimeoutError | TimeoutError)]
    if late and not isinstance(late[-1], NewConnectionError):
        return "no answer within three seconds"
    lines = str(getattr(exc, "reason", None) or exc).strip().splitlines()
    return lines[min(1, len(lines) - 1)][:200] if lines else type(exc).__name__

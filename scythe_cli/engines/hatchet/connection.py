"""A connection to an engine: the SDK's client, the few REST calls that scythe makes, and what it raises as our errors.

Input: `HATCHET_CLIENT_*`, or the file that `scythe worker --embedded` wrote on this machine. Output: a client.
"""

from __future__ import annotations

import os
import time
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from scythe_cli.engines.hatchet import embedded
from scythe_cli.engines.hatchet.labels import LANES
from scythe_cli.engines.hatchet.names import METADATA
from scythe_cli.errors import EngineError
from scythe_cli.run.engine import WorkerSeen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hatchet_sdk import Hatchet

TIMEOUT = (2.0, 10.0)
"""Seconds to connect and to read, for every REST call: the SDK's own have no limit."""


def connect(*, patient: bool = False) -> Hatchet:
    """A client of the engine that the environment names. Opens no connection.

    Args:
        patient: repeat calls while the engine is away, as workers should.

    Raises:
        EngineError: there is no token, or it is none.
    """
    embedded.adopt()
    os.environ.setdefault("HATCHET_CLIENT_DISABLE_LOG_CAPTURE", "true")
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
        raise EngineError(f"{where} does not answer: {_short(exc)}", hint=_HINT) from exc


_HINT = "is it running, and is HATCHET_CLIENT_TOKEN a token of this engine?"


def _short(exc: BaseException) -> str:
    text = str(getattr(exc, "reason", None) or exc).strip().partition("\n")[0]
    return text[:200] or type(exc).__name__


class Api:
    """The few calls of the engine's that scythe makes besides running tasks."""

    def __init__(self, hatchet: Hatchet) -> None:
        self._hatchet = hatchet

    def workers(self) -> list[Any]:
        """The live workers' rows."""
        from hatchet_sdk.clients.rest.api.worker_api import WorkerApi

        with translated(self._hatchet), self._hatchet.workers.client() as client:
            found = WorkerApi(client).worker_list(tenant=self._hatchet.tenant_id, _request_timeout=TIMEOUT)
        return [row for row in found.rows or [] if row.status == "ACTIVE"]

    def live_workers(self, leaf: str, labels: dict[str, str]) -> list[WorkerSeen]:
        """The live workers, and whether they would take leaves of this name with these labels."""
        return [_seen(row, f"{leaf}:{leaf}".lower(), labels) for row in self.workers()]

    def counts(self, *tags: str) -> tuple[int, int]:
        """How many tasks of some generations are queued and running, some seconds late."""
        from hatchet_sdk.clients.rest.api.task_api import TaskApi

        with translated(self._hatchet), self._hatchet.metrics.client() as client:
            rows = TaskApi(client).v1_task_list_status_metrics(
                tenant=self._hatchet.tenant_id,
                since=datetime.now(UTC) - timedelta(days=30),
                additional_metadata=[f"{METADATA}:{tag}" for tag in tags],
                _request_timeout=TIMEOUT,
            )
        found = {row.status.value: row.count for row in rows}
        return found.get("QUEUED", 0), found.get("RUNNING", 0)

    def cancel(self, *tags: str) -> None:
        """Cancel every queued and running task of some generations, until the engine counts none."""
        from hatchet_sdk.clients.rest.api.task_api import TaskApi
        from hatchet_sdk.clients.rest.models.v1_cancel_task_request import V1CancelTaskRequest
        from hatchet_sdk.clients.rest.models.v1_task_filter import V1TaskFilter
        from hatchet_sdk.clients.rest.models.v1_task_status import V1TaskStatus

        wanted = V1CancelTaskRequest(
            filter=V1TaskFilter(
                since=datetime.now(UTC) - timedelta(days=30),
                statuses=[V1TaskStatus.QUEUED, V1TaskStatus.RUNNING],
                additionalMetadata=[f"{METADATA}:{tag}" for tag in tags],
            )
        )
        for _ in range(20):
            with translated(self._hatchet), self._hatchet.runs.client() as client:
                TaskApi(client).v1_task_cancel(self._hatchet.tenant_id, wanted, _request_timeout=(2.0, 60.0))
            time.sleep(0.5)
            if not sum(self.counts(*tags)):
                return


def _seen(row: Any, action: str, labels: dict[str, str]) -> WorkerSeen:
    own = {label.key: str(label.value) for label in row.labels or []}
    slots = (row.slot_config or {}).get("default")
    busy = (slots.limit or 0) - (slots.available or 0) if slots is not None else 0
    fits = action in (row.actions or []) and all(own.get(key) == value for key, value in labels.items())
    lanes = own.get(LANES, "")
    return WorkerSeen(row.name, int(lanes) if lanes.isdecimal() else 1, max(0, busy), own, fits)

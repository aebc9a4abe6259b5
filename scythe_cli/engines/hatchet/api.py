"""The few REST calls that scythe makes to an engine: its workers, counts of tasks, and cancel. None takes long.

Input: a client, and what a generation's tasks are known by. Output: workers and counts, or `EngineError` in time.
"""

from __future__ import annotations

import contextlib
import copy
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from scythe_cli.engines.hatchet.connection import translated
from scythe_cli.engines.hatchet.labels import LANES
from scythe_cli.engines.hatchet.names import METADATA
from scythe_cli.errors import EngineError
from scythe_cli.run.engine import WorkerSeen

if TYPE_CHECKING:
    from hatchet_sdk import Hatchet

ANSWER_SECONDS = 3.0
"""A call that takes longer has failed: with the import of the SDK, a command takes five seconds."""
CANCEL_SECONDS = 60.0
"""For a cancel, which the engine works on for a while."""
CANCEL_ROUNDS = 20
KEPT_DAYS = 30
"""The engine forgets tasks after that by default."""


class Api:
    """The REST side of an engine. Each call is made once: a repeated call would multiply its limit."""

    def __init__(self, hatchet: Hatchet) -> None:
        self._hatchet = hatchet

    def _client(self) -> Any:
        from hatchet_sdk.clients.rest.api_client import ApiClient

        settings = copy.copy(self._hatchet.metrics.api_config)
        settings.retries = False  # urllib3 tries three times more otherwise
        return ApiClient(settings)

    def workers(self) -> list[Any]:
        """The live workers' rows."""
        from hatchet_sdk.clients.rest.api.worker_api import WorkerApi

        with translated(self._hatchet), self._client() as client:
            found = WorkerApi(client).worker_list(tenant=self._hatchet.tenant_id, _request_timeout=ANSWER_SECONDS)
        return [row for row in found.rows or [] if row.status == "ACTIVE"]

    def live_workers(self, leaf: str, labels: dict[str, str]) -> list[WorkerSeen]:
        """The live workers, and whether they would take leaves of this name with these labels."""
        return [_seen(row, f"{leaf}:{leaf}".lower(), labels) for row in self.workers()]

    def counts(self, *tags: str) -> tuple[int, int]:
        """How many tasks of some generations are queued and running, some seconds late."""
        from hatchet_sdk.clients.rest.api.task_api import TaskApi

        with translated(self._hatchet), self._client() as client:
            rows = TaskApi(client).v1_task_list_status_metrics(
                tenant=self._hatchet.tenant_id,
                since=datetime.now(UTC) - timedelta(days=KEPT_DAYS),
                additional_metadata=[f"{METADATA}:{tag}" for tag in tags],
                _request_timeout=ANSWER_SECONDS,
            )
        found = {row.status.value: row.count for row in rows}
        return found.get("QUEUED", 0), found.get("RUNNING", 0)

    def activity(self, leaf: str, labels: dict[str, str], tags: list[str]) -> tuple[int, int, list[WorkerSeen]]:
        """Tasks queued, tasks running, and the live workers, asked at the same time."""
        with ThreadPoolExecutor(2) as pool:
            counts, workers = pool.submit(self.counts, *tags), pool.submit(self.live_workers, leaf, labels)
            return *counts.result(), workers.result()

    def cancel(self, *tags: str) -> None:
        """Cancel every queued and running task of some generations, until the engine counts none."""
        from hatchet_sdk.clients.rest.api.task_api import TaskApi
        from hatchet_sdk.clients.rest.models.v1_cancel_task_request import V1CancelTaskRequest
        from hatchet_sdk.clients.rest.models.v1_task_filter import V1TaskFilter
        from hatchet_sdk.clients.rest.models.v1_task_status import V1TaskStatus

        self.workers()  # fails within seconds if the engine is unavailable
        wanted = V1CancelTaskRequest(
            filter=V1TaskFilter(
                since=datetime.now(UTC) - timedelta(days=KEPT_DAYS),
                statuses=[V1TaskStatus.QUEUED, V1TaskStatus.RUNNING],
                additionalMetadata=[f"{METADATA}:{tag}" for tag in tags],
            )
        )
        for _ in range(CANCEL_ROUNDS):
            with translated(self._hatchet), self._client() as client:
                TaskApi(client).v1_task_cancel(self._hatchet.tenant_id, wanted, _request_timeout=CANCEL_SECONDS)
            time.sleep(0.5)
            with contextlib.suppress(EngineError):  # after a large cancel it counts slowly
                if not sum(self.counts(*tags)):
                    return


def _seen(row: Any, action: str, labels: dict[str, str]) -> WorkerSeen:
    own = {label.key: str(label.value) for label in row.labels or []}
    slots = (row.slot_config or {}).get("default")
    busy = (slots.limit or 0) - (slots.available or 0) if slots is not None else 0
    fits = action in (row.actions or []) and all(own.get(key) == value for key, value in labels.items())
    lanes = own.get(LANES, "")
    return WorkerSeen(row.name, int(lanes) if lanes.isdecimal() else 1, max(0, busy), own, fits)

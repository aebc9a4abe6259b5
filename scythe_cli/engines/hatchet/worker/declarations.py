"""The tasks that a worker serves, as the engine knows them: the root, the node, and a leaf for each experiment.

Input: a client and what the tasks of a worker share. Output: the declared tasks.
"""

from __future__ import annotations

import asyncio
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from scythe_cli.engines.hatchet.names import NODE, ROOT, TaskPayload
from scythe_cli.engines.hatchet.worker.leaf_task import run_leaf
from scythe_cli.engines.hatchet.worker.payload_check import check_range
from scythe_cli.engines.hatchet.worker.root_task import follow
from scythe_cli.engines.hatchet.worker.worker_context import HandedBack, children_of
from scythe_cli.errors import BrokenRun, InputError, NotFoundError, ScytheError
from scythe_cli.experiment.registry import TASK_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from hatchet_sdk import Hatchet

    from scythe_cli.engines.hatchet.worker.worker_context import WorkerContext

LONG = timedelta(days=30)
RETRIES = 500
"""Each hand-over of a draining worker costs one."""
RETRY_PAUSE = 30.0
_ROOT_DOES = "Follows one run of scythe: hands out its specs, repairs what was lost, builds the final tables."
_NODE_DOES = "Hands out the specs of a part of a run of scythe."
ABSENT_TRIES = 3
"""Tries to find a run or an object of it: a network disk may show it late, but no task holds a slot for long."""


async def node(context: WorkerContext, payload: TaskPayload) -> dict[str, Any]:
    """Enqueue the children of a stretch and be done."""
    if context.draining is not None:
        await context.hand_back_when_draining()
    plan, _ = await context.plan(payload)
    check_range(payload, plan)
    if await context.why_over(plan) is not None:
        return {"ok": 1, "children": 0}
    children = children_of(plan, payload)
    await context.spawn(plan, children)
    return {"ok": 1, "children": len(children)}


def _settings(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "input_validator": TaskPayload,
        "schedule_timeout": LONG,
        "execution_timeout": LONG,
        "retries": RETRIES,
    }


def fan_tasks(hatchet: Hatchet, context: WorkerContext | None) -> list[Any]:
    """The root and the node; without a worker's side, for their declarations alone."""

    async def root(payload: TaskPayload, ctx: Any) -> dict[str, Any]:
        del ctx
        assert context is not None  # noqa: S101 - a declaration is never run
        return await _run_task(context, lambda: follow(context, payload), 0)

    async def inner(payload: TaskPayload, ctx: Any) -> dict[str, Any]:
        assert context is not None  # noqa: S101 - a declaration is never run
        return await _run_task(context, lambda: node(context, payload), ctx.retry_count)

    durable: Any = hatchet.durable_task
    ordinary: Any = hatchet.task
    return [
        durable(**_settings(ROOT, _ROOT_DOES), eviction_policy=None)(root),
        ordinary(**_settings(NODE, _NODE_DOES))(inner),
    ]


def leaf_task(hatchet: Hatchet, context: WorkerContext | None, name: str) -> Any:
    """The task of one experiment's leaves."""

    async def leaf(payload: TaskPayload, ctx: Any) -> dict[str, Any]:
        assert context is not None  # noqa: S101 - a declaration is never run
        return await _run_task(context, lambda: run_leaf(context, name, payload, ctx), ctx.retry_count)

    ordinary: Any = hatchet.task
    return ordinary(**_settings(name, f"Runs a range of specs of {name.removeprefix(TASK_PREFIX)}."))(leaf)


def declare(hatchet: Hatchet, leaf: str) -> None:
    """Make the tasks' names known to the engine, which silently forgets runs of unknown ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for task in [*fan_tasks(hatchet, None), leaf_task(hatchet, None, leaf)]:
            hatchet._client.admin.put_workflow(task.to_proto())


async def _run_task(context: WorkerContext, work: Callable[[], Any], retries: int) -> dict[str, Any]:
    """A task's result. A permanent error is not tried again; one that may pass is, after a pause."""
    from hatchet_sdk import NonRetryableException

    try:
        result: dict[str, Any] = await work()
    except HandedBack:
        raise
    except InputError as exc:
        raise NonRetryableException(exc.message) from None
    except (NotFoundError, BrokenRun) as exc:
        context.warn(exc.message)
        if retries >= ABSENT_TRIES:
            raise NonRetryableException(exc.message) from None
        await asyncio.sleep(2.0**retries)
        raise
    except ScytheError as exc:
        context.warn(exc.message)
        await asyncio.sleep(min(RETRY_PAUSE, 2.0 ** min(retries, 10)))
        raise
    return result

"""A worker for the tests of the Hatchet double: `python sdk_worker.py NAME SLOTS [LABEL=VALUE ...]`."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Any

from hatchet_sdk import Context, DurableContext, EmptyModel, Hatchet
from hatchet_sdk.runnables.workflow import BaseWorkflow, Standalone
from hatchet_sdk.types.labels import DesiredWorkerLabel
from pydantic import BaseModel

WEEK = timedelta(days=7)
HOUR = timedelta(hours=1)
Output = dict[str, Any]


class Number(BaseModel):
    n: int = 0
    seconds: float = 0.0


class Tasks:
    """The tasks, declared on one client; the worker serves them, the tests trigger them."""

    def __init__(self, hatchet: Hatchet) -> None:
        @hatchet.task(name="plain", input_validator=Number, schedule_timeout=WEEK, execution_timeout=HOUR)
        async def plain(spec: Number, ctx: Context) -> Output:
            await asyncio.sleep(spec.seconds)
            return {"ok": 1, "n": spec.n, "meta": ctx.additional_metadata, "attempt": ctx.attempt_number}

        @hatchet.task(name="fails", input_validator=Number, retries=2, schedule_timeout=WEEK)
        async def fails(spec: Number, ctx: Context) -> Output:
            if ctx.retry_count < spec.n:
                raise ValueError(f"attempt {ctx.attempt_number}")
            return {"attempt": ctx.attempt_number}

        @hatchet.task(name="slow", schedule_timeout=WEEK, execution_timeout=timedelta(seconds=1))
        async def slow(spec: EmptyModel, ctx: Context) -> Output:
            await asyncio.sleep(60)
            return {}

        @hatchet.task(
            name="choosy",
            schedule_timeout=timedelta(seconds=1),
            desired_worker_labels=[DesiredWorkerLabel(key="site", value="alpha", required=True)],
        )
        async def choosy(spec: EmptyModel, ctx: Context) -> Output:
            return {}

        @hatchet.task(name="large", input_validator=Number, schedule_timeout=WEEK)
        async def large(spec: Number, ctx: Context) -> Output:
            return {"text": "x" * spec.n}

        @hatchet.task(name="scatter", input_validator=Number, schedule_timeout=WEEK)
        async def scatter(spec: Number, ctx: Context) -> Output:
            items = [plain.create_bulk_run_item(Number(n=n), child_key=f"k{n}") for n in range(spec.n)]
            spawned = [await plain.aio_run_many(items, wait_for_result=False) for _ in range(2)]
            first, again = ([ref.workflow_run_id for ref in refs] for refs in spawned)
            return {"ids": first, "same": first == again}

        @hatchet.durable_task(name="root", input_validator=Number, schedule_timeout=WEEK, execution_timeout=HOUR)
        async def root(spec: Number, ctx: DurableContext) -> Output:
            slept = await ctx.aio_sleep_for(timedelta(seconds=spec.seconds))
            items = [plain.create_bulk_run_item(Number(n=n), child_key=f"k{n}") for n in range(spec.n)]
            waited = await plain.aio_run(Number(n=100), child_key="waited")
            refs = await plain.aio_run_many(items, wait_for_result=False)
            return {
                "slept": slept.duration.total_seconds(),
                "waited": waited["n"],
                "ids": [ref.workflow_run_id for ref in refs],
                "invocation": ctx.invocation_count,
            }

        self.plain: Standalone[Number, Output] = plain
        self.fails: Standalone[Number, Output] = fails
        self.slow: Standalone[EmptyModel, Output] = slow
        self.choosy: Standalone[EmptyModel, Output] = choosy
        self.large: Standalone[Number, Output] = large
        self.scatter: Standalone[Number, Output] = scatter
        self.root: Standalone[Number, Output] = root

    def all(self) -> list[BaseWorkflow[Any]]:
        return list(vars(self).values())


def main() -> None:
    name, slots, *labels = sys.argv[1:]
    hatchet = Hatchet()
    worker = hatchet.worker(
        name,
        slots=int(slots),
        durable_slots=4,
        labels={key: value for key, _, value in (label.partition("=") for label in labels)},
        workflows=Tasks(hatchet).all(),
    )
    worker.start()


if __name__ == "__main__":
    main()

"""Hatchet workflows that are experiments: one of two tasks, and one of a single task."""

from __future__ import annotations

import asyncio

from hatchet_sdk import Context, Hatchet
from pydantic import BaseModel

from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

hatchet = Hatchet()


class Seed(ExperimentInputSpec):
    """One spec."""

    size: int


class Soil(BaseModel):
    """What the first task hands to the second."""

    depth: int


class Plant(ExperimentOutputSpec):
    """What a run of either gives."""

    height: int


pipeline = hatchet.workflow(name="pipeline", input_validator=Seed)


@pipeline.task()
async def prepare(input: Seed, ctx: Context) -> Soil:  # noqa: A002 - the SDK's own word
    return Soil(depth=input.size * 10)


@pipeline.task(parents=[prepare])
async def plant(input: Seed, ctx: Context) -> Plant:  # noqa: A002 - the SDK's own word
    if input.size == 3:
        raise ValueError("frost")
    if input.size > 100:
        await asyncio.sleep(600)
    return Plant(height=ctx.task_output(prepare).depth + 1)


@ExperimentRegistry.Include
@hatchet.task(name="alone", input_validator=Seed)
async def alone(input: Seed, ctx: Context) -> Plant:  # noqa: A002 - the SDK's own word
    return Plant(height=-input.size)


ExperimentRegistry.Include(pipeline)

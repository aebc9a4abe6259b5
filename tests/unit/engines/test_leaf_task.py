"""The notes about a row over which workers may have died: each says what happened, and nothing else."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from scythe_cli.core import layout
from scythe_cli.core.row_ranges import Range
from scythe_cli.engines.hatchet.worker import leaf_task
from scythe_cli.engines.hatchet.worker.worker_context import HandedBack
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ROW = 3


async def nothing(*_: Any, **__: Any) -> None:
    return None


def task(folder: Path) -> Any:
    """A leaf of one row that an earlier worker may have died over."""
    store = open_store(str(folder))
    run = SimpleNamespace(store=store, manifest=SimpleNamespace(experiment_name="double"))
    plan: Any = SimpleNamespace(run=run, generation=1, file=SimpleNamespace(run=None), adapts=False)
    progress: Any = SimpleNamespace(left_of=lambda _: [Range(ROW, ROW)])
    context: Any = SimpleNamespace(name="w", draining=None, why_over=nothing)
    payload: Any = SimpleNamespace(first=ROW, last=ROW, tries=1)
    runner: Any = SimpleNamespace(begin=lambda *_, **__: None)
    ctx = SimpleNamespace(retry_count=0, step_run_id="abcdef")
    made: Any = leaf_task._LeafTask(context, payload, plan=plan, progress=progress, runner=runner, ctx=ctx)
    made._base = lambda: None
    return made


def notes(folder: Path) -> set[str]:
    return {entry.key for entry in open_store(str(folder)).list(layout.CONTROL)}


def test_a_row_that_was_handed_back_before_it_began_leaves_no_note(tmp_path: Path) -> None:
    @asynccontextmanager
    async def leaves(*, alone: bool) -> AsyncIterator[None]:
        raise HandedBack(f"alone: {alone}")
        yield

    made = task(tmp_path)
    made._gate = leaves
    with pytest.raises(HandedBack):
        asyncio.run(made._run_marked())
    assert notes(tmp_path) == set()
    open_store(str(tmp_path)).write(layout.attempt(ROW, 1, 1), b"")  # the next one dies
    assert made._deaths(ROW) == (1, 1)


def test_one_that_ran_leaves_both(tmp_path: Path) -> None:
    @asynccontextmanager
    async def enters(*, alone: bool) -> AsyncIterator[None]:
        assert not alone
        yield

    async def ends(_: Any) -> int:
        assert notes(tmp_path) == {layout.attempt(ROW, 1, 1)}
        return 1

    made = task(tmp_path)
    made._gate, made._watch = enters, ends
    assert asyncio.run(made._run_marked()) == 1
    assert notes(tmp_path) == {layout.attempt(ROW, 1, 1), layout.survived(ROW, 1, 1)}

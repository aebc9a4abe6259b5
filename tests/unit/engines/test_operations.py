"""Operations of the storage that a claim costs, counted at a real folder and at a server that speaks S3."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from servers import BUCKET

from scythe_cli.core.row_ranges import Range
from scythe_cli.engines.shared.claim_board import ClaimBoard
from scythe_cli.engines.shared.claim_names import Step
from scythe_cli.engines.shared.claimer import Claimer
from scythe_cli.engines.shared.liveness import PulseWatch, worker_id
from scythe_cli.engines.shared.range_plan import RangePlan
from scythe_cli.storage.local import LocalStore
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from servers import FaultProxy

    from scythe_cli.storage.base import Store

MOST = 3.0
RANGES = [Range(at, at) for at in range(100)]


def work(store: Store, ranges: list[Range], workers: int) -> int:
    """Workers claim and finish all ranges in turn; how many claims there were."""
    plan = RangePlan([ranges[at : at + 200] for at in range(0, len(ranges), 200)])
    claimers = []
    for _ in range(workers):
        watch, board = PulseWatch(store, 1), ClaimBoard(store, 1, plan)
        claimers.append(Claimer(board, watch, store=store, generation=1, about={"worker": worker_id()}))
        watch.workers = workers
    claims = 0
    while claims < len(ranges):
        for claimer in claimers:
            if (claim := claimer.claim()) is not None:
                claimer.note(claim, Step.DONE, len(claim.rows), 0)
                claims += 1
    return claims


@pytest.mark.parametrize("workers", [1, 4])
def test_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    counts: Counter[str] = Counter()
    for name in ("list", "write", "read", "stat", "children", "delete"):
        real = getattr(LocalStore, name)

        def counting(*given: Any, real: Any = real, name: str = name, **named: Any) -> Any:
            counts[name] += 1
            return real(*given, **named)

        monkeypatch.setattr(LocalStore, name, counting)
    monkeypatch.setattr("scythe_cli.engines.shared.claimer.FRESH_SECONDS", 0.0)  # as where a range takes longer
    claims = work(LocalStore(tmp_path), RANGES[:100], workers)
    assert counts.total() / claims <= MOST + 4 * workers / claims, counts


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 4])
def test_a_bucket(s3_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setattr("scythe_cli.engines.shared.claimer.FRESH_SECONDS", 0.0)
    store = open_store(f"s3://{BUCKET}/operations-{workers}-{worker_id()}")
    before = s3_proxy.total()
    claims = work(store, RANGES[:50], workers)
    assert (s3_proxy.total() - before) / claims <= MOST + 4 * workers / claims, s3_proxy.counts

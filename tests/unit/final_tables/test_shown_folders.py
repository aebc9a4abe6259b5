"""Of two attempts of a failed spec, the folder of the one that counts is shown; a repeat changes nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from scythe_cli.core import layout
from scythe_cli.core.layout import PartName
from scythe_cli.final_tables.shown_folders import show_folders
from scythe_cli.run.outcomes import KIND, ROW
from scythe_cli.run.parts import encode
from scythe_cli.run.precedence import resolve
from scythe_cli.storage.local import LocalStore

SORT_INDEX = 17


def a_run(folder: Path, claims: list[int]) -> tuple[Any, Any]:
    """One spec that failed on workers with these claims, and what each of them left."""
    store = LocalStore(folder)
    pl.DataFrame({layout.SORT_INDEX: [SORT_INDEX]}).write_parquet(folder / layout.SPECS)
    parts = [PartName(0, 1, 0, 0, 1, 1, claim * layout.CLAIM_PARTS) for claim in claims]
    for claim, part in zip(claims, parts, strict=True):
        outcome = pa.table({ROW: pa.array([0], pa.int64()), KIND: ["exception"]})
        store.write(part.key, encode(outcome))
        for name in (f"of {claim}.txt", "eplusout.err"):
            store.write(f"{layout.failed(SORT_INDEX, claim=claim)}/{name}", str(claim).encode())
    state = SimpleNamespace(failed=1, blocks={0: resolve(store, parts)})
    return SimpleNamespace(store=store), state


def shown(store: LocalStore) -> dict[str, bytes]:
    return {entry.key: store.read(entry.key) for entry in store.list(layout.FAILED)}


@pytest.mark.parametrize("claims", [[1], [1, 2], [1, 2, 3], [3]])
def test_the_folder_of_the_latest_claim(tmp_path: Path, claims: list[int]) -> None:
    run, state = a_run(tmp_path, claims)
    last = str(claims[-1]).encode()
    for _ in range(2):
        show_folders(run, state)
        assert shown(run.store) == {"failed/17/eplusout.err": last, f"failed/17/of {claims[-1]}.txt": last}


def test_a_removal_that_was_interrupted(tmp_path: Path) -> None:
    run, state = a_run(tmp_path, [1, 2])
    show_folders(run, state)
    before = shown(run.store)
    run.store.write(f"{layout.failed(SORT_INDEX, claim=2)}/eplusout.err", b"2")
    show_folders(run, state)
    assert shown(run.store) == before

"""Only what scythe wrote is removed; the manifest goes last."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.remove.own_objects import REMOVED, contents
from scythe_cli.run.run import spec_id_prefix
from scythe_cli.run.state import write_mark
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from pathlib import Path

RUN = "city/v1.0.0/2026-11-30_12-00-00"
SPEC = f"{spec_id_prefix(RUN)}-00000000000a"
OURS = {
    "a block of specs": f"{layout.INPUT}/00000.pq",
    "a part": f"{layout.OUTPUT}/00000/g1-0-9-10-0-0.pq",
    "a part of a frame": f"{layout.OUTPUT}/00000/hourly/g1-0-9-10-0-0.pq",
    "a claim": f"{layout.CLAIMS}/1/0/0-9-c1.yml",
    "what a failed spec left": f"{layout.FAILED}/7/eplusout.err",
    "an output file": f"{layout.RESULTS}/report/{SPEC}.csv",
    "a table": layout.final(layout.SCALARS),
    "the script of a Slurm job": layout.slurm_script(2),
    "the script that follows it": layout.slurm_script(2, after=True),
    "what a task of it printed": layout.slurm_log("1234_17"),
    "what the job after it printed": layout.slurm_log("1235-next"),
    "a frame of a part": layout.final("hourly"),
}
OTHERS = {
    "notes": "notes.txt",
    "a picture among the tables": "final/plot.png",
    "a table that no gather wrote": layout.final("mine"),
    "a file among the results of another run": f"{layout.RESULTS}/report/00000000-0000-0000-0000-000000000001.csv",
    "a script of a user's": f"{layout.CONTROL}/plot.sh",
    "a log of a user's": f"{layout.SLURM_LOGS}/mine.log",
    "a part with a wrong name": f"{layout.OUTPUT}/00000/g1-0-9.pq",
}


def run_of(folder: Path, keys: list[str]) -> Any:
    """A run with these objects."""
    store = open_store(str(folder))
    for key in keys:
        store.write(key, b"12345")
    return SimpleNamespace(id=RUN, store=store)


@pytest.mark.parametrize("key", OURS.values(), ids=OURS)
def test_what_scythe_wrote(tmp_path: Path, key: str) -> None:
    found = contents(run_of(tmp_path, [OURS["a part of a frame"], key]))
    assert key in found.bulk
    assert found.foreign == []


@pytest.mark.parametrize("key", OTHERS.values(), ids=OTHERS)
def test_what_others_wrote(tmp_path: Path, key: str) -> None:
    found = contents(run_of(tmp_path, [key]))
    assert (found.bulk, found.rest, found.foreign) == ([], [], [key])


def test_a_table_that_a_gather_names(tmp_path: Path) -> None:
    run = run_of(tmp_path, [layout.final("mine")])
    write_mark(run.store, Mark.GATHERED, 1, {"tables": ["mine"]})
    assert contents(run).bulk == [layout.final("mine")]


def test_the_order_and_the_bytes(tmp_path: Path) -> None:
    last = [layout.CLAIM, REMOVED, layout.MANIFEST]
    keys = [*last, layout.SPECS, f"{layout.CONTROL}/inputs.yml", OURS["a part"], layout.final(layout.SCALARS)]
    found = contents(run_of(tmp_path, keys))
    assert found.bulk == [layout.final(layout.SCALARS), OURS["a part"]]
    assert found.rest == [f"{layout.CONTROL}/inputs.yml", layout.SPECS, *last]
    assert (found.n_files, found.n_bytes) == (7, 35)

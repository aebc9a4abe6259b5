"""A frame's part, opened for the gather."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from scythe_cli.columns import frames
from scythe_cli.final_tables.frame_part import FramePart
from scythe_cli.run.parts import CorruptPart, encode
from scythe_cli.storage.local import LocalStore
from scythe_cli.storage.open_store import open_store


class Bucket(LocalStore):
    """A store whose objects are no files of this machine."""

    def open_file(self, key: str) -> None:
        """None, whatever the key."""


def open_files() -> int:
    """How many this process has open."""
    return len([*Path("/proc/self/fd").iterdir()])


def written(store: LocalStore) -> FramePart:
    """A part of two specs in row groups of some rows, whose bytes are in memory."""
    table = pa.table({"v": [*range(30)], frames.ROW: [3] * 10 + [5] * 20})
    store.write("a.pq", encode(table, group_bytes=100))
    return FramePart(store, "a.pq")


@pytest.mark.parametrize("kind", [LocalStore, Bucket])
def test_a_part_that_waits_on_the_disk_is_the_same_and_is_open_only_while_it_is_read(
    kind: type[LocalStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    part = written(kind(tmp_path))
    groups = [part.read(at) for at in range(part.groups)]
    assert len(groups) > 2
    opened = open_files()
    for _ in range(2):
        part.spill()
        assert open_files() == opened
        assert [part.read(at) for at in range(part.groups)] == groups
    assert part.read(0) == groups[0]  # and others may follow
    assert open_files() == opened
    del part
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.pq"]


@pytest.mark.parametrize("spilled", [False, True])
def test_several_threads_may_read_a_part(spilled: bool, tmp_path: Path) -> None:  # as where a spec is fitted alone
    part = written(LocalStore(tmp_path))
    if spilled:
        part.spill()
    groups = [part.read(at) for at in range(part.groups)]

    def read_all(first: int) -> int:
        at = [(first + step) % part.groups for step in range(300 * part.groups)]
        return sum(part.read(group) == groups[group] for group in at)

    with ThreadPoolExecutor(4) as readers:
        assert [*readers.map(read_all, range(4))] == [300 * part.groups] * 4


def test_a_part_in_a_folder_needs_no_second_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = written(LocalStore(tmp_path))
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", None)
    part.spill()
    assert part.read(0).num_rows


def test_a_part_that_is_gone_when_its_turn_comes(tmp_path: Path) -> None:
    part = written(LocalStore(tmp_path))
    part.spill()
    (tmp_path / "a.pq").unlink()
    with pytest.raises(CorruptPart, match=r"a\.pq does not exist any more"):
        part.read(0)


@pytest.mark.parametrize("rows", [["x", "y"], [1, None], [0.5, 1.5]])
def test_a_part_without_row_numbers(tmp_path: Path, rows: list[Any]) -> None:
    store = LocalStore(tmp_path)
    store.write("a.pq", encode(pa.table({"v": [1, 2], frames.ROW: rows})))
    with pytest.raises(CorruptPart, match="without row numbers"):
        FramePart(store, "a.pq")


def test_a_part_that_is_gone_when_it_is_put_on_the_disk(tmp_path: Path) -> None:
    part = written(LocalStore(tmp_path))
    (tmp_path / "a.pq").unlink()
    with pytest.raises(CorruptPart, match=r"a\.pq does not exist any more"):
        part.spill()


def test_what_is_read_has_the_schema_of_its_part_and_of_others_like_it(tmp_path: Path) -> None:
    """The checksum of a part is in its metadata: a table that is compared must not have it."""
    store = open_store(tmp_path)
    parts = []
    for row in range(2):
        table = frames.to_arrow("t", pd.DataFrame(np.random.default_rng(row).random((20, 40))), {})
        table = table.append_column(frames.ROW, pa.array([row] * 20, pa.int64()))
        store.write(f"{row}.pq", encode(table, group_bytes=1000))
        parts.append(FramePart(store, f"{row}.pq"))
    assert parts[0].groups > 1
    schemas = [parts[0].schema, parts[1].schema, *(part.read(at).schema for part in parts for at in range(2))]
    assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)

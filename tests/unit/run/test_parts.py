"""Parts whose bytes changed: told apart from what was written, wherever the change is."""

from __future__ import annotations

import io
import threading
from typing import Any, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scythe_cli.core.layout import PartName
from scythe_cli.errors import StoreError
from scythe_cli.run import checksum, parts
from scythe_cli.run.outcomes import FRAMES_KEY, KIND, ROW
from scythe_cli.run.parts import CorruptPart, block_bytes, encode, read_block, read_part, read_schema
from scythe_cli.storage.base import Store

NAME = PartName(0, 1, 4, 7, 4, 1, 0)
TABLE = pa.table(
    {
        ROW: pa.array([4, 5, 6, 7], pa.int64()),
        "sort_index": [4, 5, 6, 7],
        "value": [0.5, 1.5, 2.5, None],
        "text": ["a", "b", "a", None],
        KIND: pa.array([None, None, None, "crash"]),
    }
).replace_schema_metadata({FRAMES_KEY: "monthly,daily"})


class One:
    """A store in which every key has the same bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, key: str) -> bytes:
        return self.data

    def locate(self, key: str) -> str:
        return f"/run/{key}"


def store(data: bytes) -> Store:
    return cast("Store", One(data))


def without_checksum(table: pa.Table) -> bytes:
    """A part as versions without checksums wrote it."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="lz4", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def flipped(data: bytes) -> list[bytes]:
    return [data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :] for at in range(len(data)) for mask in (1, 32, 255)]


def test_a_part_with_its_checksum_is_a_parquet_file() -> None:
    data = encode(TABLE)
    assert checksum.verify(data)
    assert read_part(store(data), NAME.key).equals(TABLE)
    assert pq.read_table(io.BytesIO(data)).equals(TABLE)
    assert pl.read_parquet(io.BytesIO(data)).equals(cast("pl.DataFrame", pl.from_arrow(TABLE)))


@pytest.mark.parametrize("columns", [None, [ROW, KIND]])
def test_no_changed_byte_changes_a_part(columns: list[str] | None) -> None:
    data = encode(TABLE)
    found = 0
    for changed in flipped(data):
        try:
            table = read_part(store(changed), NAME.key, columns)
        except CorruptPart as exc:
            assert f"/run/{NAME.key} cannot be read: " in str(exc)
            found += 1
            continue
        assert table.equals(TABLE if columns is None else TABLE.select(columns))
        assert (table.schema.metadata or {})[FRAMES_KEY] == b"monthly,daily"
    assert found > 0.98 * len(flipped(data))


def test_a_part_without_a_seal_is_read_and_one_that_is_garbage_is_called_corrupt() -> None:
    data = without_checksum(TABLE)
    assert read_part(store(data), NAME.key).equals(TABLE)
    for changed in flipped(data):
        try:
            read_part(store(changed), NAME.key)
        except CorruptPart:
            continue


@pytest.mark.parametrize("part", ["whole", "half", "none"])
def test_every_truncation_is_corrupt(part: str) -> None:
    data = encode(TABLE)
    cut = {"whole": data[:-1], "half": data[: len(data) // 2], "none": b""}[part]
    with pytest.raises(CorruptPart):
        read_part(store(cut), NAME.key)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rows": 3}, "has 4 rows, not 3"),
        ({"failed": 2}, "has 1 failures, not 2"),
        ({"first": 3}, "has the rows 4 to 7, not 3 to 7"),
        ({"last": 9}, "has the rows 4 to 7, not 4 to 9"),
    ],
)
def test_a_part_that_is_not_what_its_name_says(changes: dict[str, Any], said: str) -> None:
    name = PartName(**{**NAME.__dict__, **changes})
    with pytest.raises(CorruptPart, match=said):
        read_part(store(encode(TABLE)), name.key)


def test_a_frame_without_rows_of_its_specs() -> None:
    with pytest.raises(CorruptPart, match="has no column '_row'"):
        read_part(store(encode(pa.table({"a": [1]}))), NAME.frame_key("monthly"))


@pytest.mark.parametrize("encoded", [encode, without_checksum])
def test_specs_that_were_cut_are_told_by_their_name(encoded: Any) -> None:
    data = encoded(TABLE)
    assert block_bytes(store(data), 0) == data
    assert read_block(store(data), 0, ["text", "value"]).column_names == ["text", "value"]
    for read in (lambda s: block_bytes(s, 0), lambda s: read_block(s, 0, [ROW]), read_schema):
        with pytest.raises(StoreError, match=r"^/run/\S+ cannot be read: "):
            read(store(data[:-50]))


class SlowStore(One):
    """A store that takes nothing before it may."""

    def __init__(self) -> None:
        super().__init__(b"")
        self.may_write = threading.Event()

    def write(self, key: str, data: bytes, *, new: bool = False) -> None:
        assert self.may_write.wait(60)


def test_a_writer_counts_what_the_store_has_not_taken_yet() -> None:
    slow = SlowStore()
    writer = parts.PartWriter(cast("Store", slow), generation=1, flush=60.0)
    try:
        writer.add_table(0, TABLE)
        assert writer.bytes_on_their_way == 0, "what is held is not being written"
        writer.write(0)
        assert writer.bytes_on_their_way == TABLE.nbytes
        slow.may_write.set()
        writer.finish()
        assert writer.bytes_on_their_way == 0
    finally:
        slow.may_write.set()
        writer.close()

"""Objects and names that a writer of the storage put there: each ends with a sentence, and hurts nobody else."""

from __future__ import annotations

import shutil
import time
import warnings
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile import HALF, RUN, Storage

from scythe_cli.core.layout import PartName
from scythe_cli.errors import BrokenRun, ExitCode, InsecureEndpoint
from scythe_cli.final_tables import frame_part
from scythe_cli.run import outcomes, parts
from scythe_cli.storage.local import LocalStore
from scythe_cli.storage.open_store import open_store


@pytest.fixture
def victim(storage: Storage) -> Path:
    """A folder of the user's, outside of the storage, with tables of its own."""
    folder = storage.folder / "victim"
    (folder / "deep").mkdir(parents=True)
    (folder / "thesis.pq").write_text("years of work")
    (folder / "deep" / "more.pq").write_text("more")
    return folder


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("final/x", "victim"),
        ("final/x.pq", "victim/thesis.pq"),
        ("final/x.pq", "victim"),
        ("final", "victim"),
        ("control", "victim"),
        ("scatter-gather/output", "victim"),
    ],
)
def test_gather_deletes_and_writes_nothing_outside(storage: Storage, victim: Path, key: str, target: str) -> None:
    path = storage.run / key
    if path.is_dir():
        shutil.rmtree(path)
    path.symlink_to(storage.folder / target)
    before = tree(victim)
    done = storage.scythe("gather", RUN, "--storage", "storage")
    assert done.code in (ExitCode.DONE, ExitCode.UNREACHABLE)
    assert tree(victim) == before


def test_gather_deletes_one_level_only(storage: Storage) -> None:
    for key in ("final/old.pq", "final/deep/old.pq", "final/deep/er/old.pq"):
        (storage.run / key).parent.mkdir(parents=True, exist_ok=True)
        (storage.run / key).touch()
    assert storage.scythe("gather", RUN, "--storage", "storage").code == 0
    assert not (storage.run / "final" / "old.pq").exists()
    assert (storage.run / "final" / "deep" / "old.pq").exists()
    assert (storage.run / "final" / "deep" / "er" / "old.pq").exists()


@pytest.mark.parametrize(
    "name", ["../../../evil", "/tmp/evil", "scalars", "a\x1b[31m", "x" * 300, "levels,../x", "a\0"]
)
def test_a_frame_of_a_hostile_name(storage: Storage, name: str) -> None:
    for file in (storage.run / "scatter-gather" / "output" / "0").glob("g*.pq"):
        table = pq.read_table(file)
        changed = {**(table.schema.metadata or {}), outcomes.FRAMES_KEY: name.encode()}
        file.write_bytes(parts.encode(table.replace_schema_metadata(changed)))
    done = storage.scythe("gather", RUN, "--storage", "storage")
    assert done.code == ExitCode.UNREACHABLE
    assert "which no frame can be called" in done.err
    assert not Path("/tmp/evil.pq").exists()


def test_a_part_that_holds_more_rows_than_it_says_is_refused_unread(tmp_path: Path) -> None:
    store, rows = LocalStore(tmp_path), 100_000_000
    name = PartName(0, 1, 0, 2, 3, 0, 1)
    (tmp_path / name.key).parent.mkdir(parents=True)
    group = pa.table({"row": pa.nulls(10_000_000, pa.int64())})
    with pq.ParquetWriter(tmp_path / name.key, group.schema, compression="zstd") as writer:
        for _ in range(rows // 10_000_000):
            writer.write_table(group)
    began, held = time.process_time(), pa.total_allocated_bytes()
    with pytest.raises(parts.CorruptPart, match=f"it has {rows} rows, not 3"):
        parts.read_part(store, name.key)
    assert time.process_time() - began < 1
    assert pa.total_allocated_bytes() - held < 1 << 20


def test_a_block_of_specs_has_the_rows_of_a_block(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.write("scatter-gather/input/0.pq", parts.encode(pa.table({"row": pa.nulls(5000, pa.int64())})))
    for read in (parts.read_block, parts.block_bytes):
        with pytest.raises(Exception, match="of a block"):
            read(store, 0)


@pytest.mark.parametrize("n_specs", ["900000000", "1000000000000000000", "4097", "29", "27", "1", "0"])
@pytest.mark.parametrize("command", ["allocate --resume", "gather", "gather --partial"])
def test_another_number_of_specs_than_the_run_has(storage: Storage, n_specs: str, command: str) -> None:
    storage.change("manifest.yml", "n_specs: 28", f"n_specs: {n_specs}")
    before = tree_of_final(storage)
    done = storage.scythe(*command.split(), RUN, "--storage", "storage")
    assert done.code == ExitCode.UNREACHABLE
    assert "manifest.yml" in done.err
    assert tree_of_final(storage) == before


def test_status_does_not_count_more_than_there_is(storage: Storage) -> None:
    storage.change("manifest.yml", "n_specs: 28", "n_specs: 5")
    done = storage.scythe("status", RUN, "--errors", "--storage", "storage")
    assert (done.code, done.out) == (ExitCode.UNREACHABLE, "")


def tree_of_final(storage: Storage) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (storage.run / "final").iterdir()}


def test_a_frame_that_holds_many_rows_in_few_bytes_is_refused_unread(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_part, "EXPANDED_BYTES", 4 << 20)
    part = next((storage.run / "scatter-gather" / "output" / "0" / "levels").glob("*.pq"))
    schema = pq.read_schema(part)
    few = pa.table([pa.nulls(1 << 20, field.type) for field in schema], schema=schema)
    pq.write_table(few, part, compression="zstd", row_group_size=1 << 20)
    done = storage.scythe("gather", RUN, "--storage", "storage")
    assert done.code == ExitCode.NOT_FINISHED
    assert "bytes that hold 1,048,576 rows; it was set aside" in done.err


@pytest.mark.parametrize(
    "name",
    [
        "x/../v1.0.0/2026-11-29_10-20-38",
        "../v1.0.0/2026-11-29_10-20-38",
        "half/v1.0.0/../v1.0.0/2026-11-29_10-20-38",
        "half/v1.0.0/2026-99-99_99-99-99",
        *("..", ".", "/", "half/..", "a\0b", "\x1b[31m", "~nobody-of-this-name/x", "x" * 5000),
        f"half/v{'9' * 5000}.0.0",
        *("s3://", "s3:///v1.0.0/2026-11-29_10-20-38", "https://host/x", "gs://bucket/x"),
    ],
)
def test_a_name_of_a_run_that_is_none(storage: Storage, name: str) -> None:
    for command in ("status", "gather", "download", "cancel"):
        done = storage.scythe(command, name, "--storage", "storage")
        assert done.code in (ExitCode.BAD_INPUT, ExitCode.NOT_FOUND, ExitCode.UNREACHABLE), done.err
        assert len(done.err.splitlines()) <= 3


def test_twenty_thousand_unknown_columns_take_a_moment(tmp_path: Path) -> None:
    from scythe_cli import ExperimentInputSpec
    from scythe_cli.errors import TableError
    from scythe_cli.spec_table.read import read_specs

    class Case(ExperimentInputSpec):
        setpoint: float

    table = pl.DataFrame({f"column_{at}": [1.0] for at in range(20_000)})
    began = time.process_time()
    with pytest.raises(TableError, match="is not a field of Case"):
        read_specs(table, Case, base=tmp_path)
    assert time.process_time() - began < 4


@pytest.mark.parametrize(
    ("endpoint", "warned"),
    [
        ("http://storage.example:9000", True),
        ("http://10.0.0.5:9000", True),
        ("http://127.0.0.1:9000", False),
        ("http://[::1]:9000", False),
        ("http://localhost:9000", False),
        ("https://storage.example", False),
    ],
)
def test_credentials_to_an_open_line_get_a_warning(
    endpoint: str, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_store("s3://bucket/x")
    said = [str(one.message) for one in caught if one.category is InsecureEndpoint]
    assert bool(said) is warned
    assert all("is not encrypted" in one for one in said)


def test_an_object_of_a_bucket_has_a_limit_too(s3_storage: str) -> None:
    store = open_store(s3_storage)
    store.write("manifest.yml", b"x" * 2000)
    assert len(store.read("manifest.yml", limit=2000)) == 2000
    with pytest.raises(BrokenRun, match="has 2,000 bytes, more than the 1,999 that such an object may have"):
        store.read("manifest.yml", limit=1999)


def test_half_is_there(storage: Storage) -> None:
    """What the attacks above are made to: without them, the command finds it."""
    assert storage.scythe("status", HALF, "--storage", "storage").code == 0

"""Final tables that are a folder of files, in a folder and on S3: read lazily, whole, and not where memory is short."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import polars as pl
import pytest

from scythe_cli.core import layout, processes
from scythe_cli.errors import InputError
from scythe_cli.operations.download import download
from scythe_cli.operations.scan import load_table, scan_table
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from scythe_cli.run.run import Run

HOURLY = "hourly"
ROWS = 30


def parquet(frame: pl.DataFrame) -> bytes:
    sink = BytesIO()
    frame.write_parquet(sink)
    return sink.getvalue()


@pytest.fixture(params=["folder", "s3"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """A run with a table of three files, and one of one file."""
    address = tmp_path / "run" if request.param == "folder" else request.getfixturevalue("s3_storage")
    store = open_store(address)
    table = pl.DataFrame({"load": [at / 2 for at in range(ROWS)], "sort_index": range(ROWS)})
    for at in range(3):
        store.write(layout.final_part(HOURLY, at), parquet(table[at * 10 : at * 10 + 10]))
    store.write(layout.final(layout.SCALARS), parquet(table[:2]))
    return cast("Run", SimpleNamespace(store=store, id="study/v1.0.0"))


def test_scan_is_lazy_over_a_folder_of_files(run: Run) -> None:
    lazy = scan_table(run, HOURLY)
    assert isinstance(lazy, pl.LazyFrame)
    some = lazy.filter(pl.col("sort_index") > 27).select("load").collect()
    assert some["load"].to_list() == [14.0, 14.5]
    assert lazy.collect()["sort_index"].to_list() == [*range(ROWS)], "in the order of the specs"


def test_a_table_of_several_files_is_read_whole(run: Run) -> None:
    assert load_table(run, HOURLY)["sort_index"].to_list() == [*range(ROWS)]


def test_a_table_that_does_not_fit_into_memory_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "available_memory", lambda: ROWS * 2 * 8 - 1)
    with pytest.raises(InputError) as refused:
        load_table(run, HOURLY)
    assert f"the table 'hourly' has {ROWS} rows" in refused.value.message
    assert refused.value.hint == "run.scan('hourly') reads only what you ask for"
    assert load_table(run, layout.SCALARS).height == 2, "this one fits"
    assert scan_table(run, HOURLY).select(pl.len()).collect().item() == ROWS


def test_download_fetches_a_folder_of_files_and_removes_those_that_went(run: Run, tmp_path: Path) -> None:
    def fetched() -> list[str]:
        download(run.store, tmp_path / "here")
        return sorted(path.name for path in (tmp_path / "here/final/hourly.pq").glob("*"))

    assert fetched() == [f"part-{at:05d}.parquet" for at in range(3)]
    run.store.delete(layout.final_part(HOURLY, 2))
    assert fetched() == [f"part-{at:05d}.parquet" for at in range(2)]
    first: Any = pl.read_parquet(tmp_path / "here/final/hourly.pq/*.parquet")
    assert first["sort_index"].to_list() == [*range(20)]

"""`scythe show` and the details of `status` on objects that somebody else wrote: sentences, and nothing that acts."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile import HALF, RUN, Done, Storage
from test_printed import EVIL, acts_on_terminal, assert_harmless

from scythe_cli.core.layout import PartName
from scythe_cli.run import outcomes


def shown(storage: Storage, run: str, *arguments: str) -> Done:
    return storage.scythe("show", run, *arguments, "--storage", "storage")


def parts(run: Path) -> list[Path]:
    found = run.glob("scatter-gather/output/*/*.pq")
    return [path for path in found if PartName.parse(path.relative_to(run).as_posix()) is not None]


def rewrite(path: Path, **columns: str) -> None:
    """A part with other texts and without its checksum, as another program writes it."""
    table = pq.read_table(path)
    for name, text in columns.items():
        at = table.column_names.index(name)
        table = table.set_column(at, table.schema.field(name), pa.array([text] * table.num_rows, pa.string()))
    pq.write_table(table.replace_schema_metadata({}), path)


@pytest.mark.parametrize("arguments", [["0"], ["0", "--log"], ["0", "--json"], ["--failed"], ["--head"], []])
def test_texts_of_a_part(storage: Storage, arguments: list[str]) -> None:
    texts = dict.fromkeys((outcomes.LOG, outcomes.WORKER, outcomes.MESSAGE, outcomes.TRACEBACK, outcomes.PLACE), EVIL)
    for path in parts(storage.half):
        rewrite(path, **texts)
    done = shown(storage, HALF, *arguments)
    if arguments[-1:] == ["--log"]:  # its lines are the log's own, as asked for
        assert acts_on_terminal(done.out) == []
    else:
        assert_harmless(done)


@pytest.mark.parametrize("column", [outcomes.KIND, outcomes.DURATION])
def test_a_part_without_a_column(storage: Storage, column: str) -> None:
    for path in parts(storage.run):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns([column]).replace_schema_metadata({}), path)
    done = shown(storage, RUN, "0")
    assert (done.code, "   spec 0   " in done.out) == (0, True)
    assert "succeeded" not in done.out


def test_a_part_with_a_column_of_another_type(storage: Storage) -> None:
    for path in parts(storage.run):
        rewrite_as_text(path, outcomes.DURATION)
    done = shown(storage, RUN, "0")
    assert (done.code, "of the right type" in done.out) == (0, True)


def rewrite_as_text(path: Path, column: str) -> None:
    table = pq.read_table(path)
    at = table.column_names.index(column)
    pq.write_table(
        table.set_column(at, column, table.column(column).cast(pa.string())).replace_schema_metadata({}), path
    )


@pytest.mark.parametrize("text", ["", "x: [", "properties: 5", "$defs: {}\nproperties: {input: {$ref: 7}}"])
def test_a_description_of_models_that_is_none(storage: Storage, text: str) -> None:
    (storage.run / "experiment_io_spec.yml").write_text(text)
    assert shown(storage, RUN, "0").code == 0


def test_a_description_that_acts_on_the_terminal(storage: Storage) -> None:
    fields = {"x": {"description": f"{EVIL} [{EVIL[:20]}]"}, EVIL: {"description": EVIL}}
    document = {
        "properties": {"input": {"$ref": "#/$defs/In"}, "output": {"$ref": "#/$defs/In"}},
        "$defs": {"In": {"properties": fields}},
    }
    (storage.run / "experiment_io_spec.yml").write_text(json.dumps(document))
    for arguments in ([], ["0"], ["0", "--json"]):
        assert_harmless(shown(storage, RUN, *arguments))


def test_a_table_of_specs_that_is_none(storage: Storage) -> None:
    (storage.run / "specs.pq").write_bytes(b"PAR1 and nothing else")
    for arguments in (["--slowest", "2"], ["--failed"]):
        done = shown(storage, RUN, *arguments)
        assert (done.code, "cannot be read" in done.err) == (4, True), done.err
    assert storage.scythe("status", RUN, "--list", "--storage", "storage").code == 0


def test_a_block_without_ids(storage: Storage) -> None:
    for path in storage.run.glob("scatter-gather/input/*.pq"):
        pl.DataFrame({"x": [1, 2, 3]}).write_parquet(path)
    assert shown(storage, RUN, "--head").code == 4


@pytest.mark.parametrize(
    "condition", ["1", "sum(sort_index) > 1", "'", "sort_index > (SELECT 1)", "x" * 10_000, "\x1b[31m"]
)
def test_conditions_that_are_none(storage: Storage, condition: str) -> None:
    done = shown(storage, RUN, "--where", condition)
    assert done.code in (0, 2)
    assert_harmless(done)


def downloaded(storage: Storage) -> Path:
    done = storage.scythe("download", RUN, "got", "--storage", "storage")
    assert done.code == 0, done.err
    return storage.folder / "got"


@pytest.mark.parametrize("name", ["specs.pq", "final/execution.pq", "final/scalars.pq", "final/errors.pq"])
def test_tables_of_a_download_that_are_none(storage: Storage, name: str) -> None:
    folder = downloaded(storage)
    table = folder / name
    if not table.exists():  # an older run has no table of how specs ran
        assert shown(storage, "./got", "0").code == 3
        return
    table.write_bytes(b"PAR1 and nothing else")
    assert shown(storage, "./got", "0").code in (3, 4)
    pl.DataFrame({"sort_index": ["0", "1"], "duration": ["x", "y"]}).write_parquet(table)
    assert shown(storage, "./got", "0").code in (0, 3, 4)
    table.unlink()
    assert shown(storage, "./got", "0").code in (3, 4)

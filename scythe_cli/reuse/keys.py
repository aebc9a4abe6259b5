"""What makes two specs the same: every input field, files by name and content.

Input: the checked table of a new run, or the specs of an earlier one. Output: a table of the same rows with the columns
that are compared, and for each row whether it can be compared at all: a remote file without a version cannot.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from scythe_cli.columns.rows import RAW_INPUT
from scythe_cli.core import layout
from scythe_cli.errors import InputError
from scythe_cli.run.input_files import read_inputs
from scythe_cli.run.parts import read_block
from scythe_cli.storage import file_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

    from scythe_cli.run.run import Run
    from scythe_cli.storage.base import Store

READERS = 4
COMPARED = 1 << 16
"""Rows that are compared column by column at a time."""
NOT_COMPARED = frozenset({*layout.INDEX_HEAD, RAW_INPUT})
Identities = dict[str, dict[str, str | None]]
"""By file field and address: what the file is, or None where this is unknown."""


@dataclass(frozen=True)
class SpecKeys:
    """The specs of a run as they are compared.

    Attributes:
        table: one row for each spec; `_hash` and `_place`, its place among equal rows, then the compared columns.
        unknown: addresses of files that nobody can compare, which keep their rows from being reused.
    """

    table: pl.DataFrame
    unknown: list[str]


def identity(name: str, sha256: str) -> str:
    """What a file is: its own name and its content."""
    return f"{file_names.decode(file_names.as_text(name), sha256)}\0{sha256}"


def keys_of(specs: pa.Table, files: Identities, *, by_sort_index: bool) -> SpecKeys:
    """The keys of some specs, in their order."""
    import polars as pl

    names = [name for name in specs.column_names if name not in NOT_COMPARED]
    frame = pl.DataFrame(specs.select(names))
    unknown: set[str] = set()
    for field, known in files.items():
        addresses = frame[field].unique().drop_nulls().to_list()
        meaning = {address: known.get(address) for address in addresses}
        unknown |= {address for address, what in meaning.items() if what is None}
        frame = frame.with_columns(
            pl.when(pl.col(field).is_null())
            .then(pl.lit("-"))
            .otherwise(pl.col(field).replace_strict(meaning, default=None, return_dtype=pl.String))
            .alias(field)
        )
    comparable = pl.all_horizontal([pl.col(field).is_not_null() for field in files]) if files else pl.lit(value=True)
    frame = frame.with_columns(_flat(frame)).with_columns(comparable.alias("_known"))
    if by_sort_index:
        frame = frame.with_columns(pl.Series(layout.SORT_INDEX, specs.column(layout.SORT_INDEX)))
    columns = [name for name in frame.columns if name != "_known"]
    frame = frame.with_columns(pl.struct(columns).hash(seed=0).alias("_hash"))
    return SpecKeys(frame.with_columns(_places(frame["_hash"])).with_row_index("_row"), sorted(unknown))


def _places(hashes: pl.Series) -> pl.Series:
    """The place of each row among those with the same hash, counted only where there are several: it takes long."""
    import polars as pl

    places = pl.zeros(len(hashes), pl.Int64, eager=True).alias("_place")
    several = hashes.is_duplicated()
    if not several.any():
        return places
    rows = several.arg_true()
    counted = pl.DataFrame({"_hash": hashes.gather(rows)}).select(pl.int_range(pl.len()).over("_hash"))
    return places.scatter(rows, counted.to_series())


def _flat(frame: pl.DataFrame) -> list[pl.Series]:
    """Lists, dicts and models as text: polars compares no such columns."""
    import polars as pl

    nested = [name for name, kind in frame.schema.items() if kind.is_nested() or kind == pl.Object]
    return [
        pl.Series(name, [json.dumps(value, default=str, sort_keys=True) for value in frame[name].to_list()])
        for name in nested
    ]


def keys_of_run(run: Run, fields: Iterable[str], *, features: Iterable[str], by_sort_index: bool) -> SpecKeys:
    """The keys of the specs of an earlier run.

    Args:
        run: the run.
        fields: the file fields of its input.
        features: the columns that `computed_features` makes, which are not compared.
        by_sort_index: compare the sort_index too.
    """
    ignored = {*NOT_COMPARED, *features} - {layout.SORT_INDEX}
    first = read_block(run.store, 0)
    names = [name for name in first.column_names if name not in ignored]
    blocks = -(-run.total // run.manifest.block_size)
    with ThreadPoolExecutor(READERS, "scythe-reuse") as pool:
        others = pool.map(lambda number: read_block(run.store, number, names), range(1, blocks))
        specs = pa.concat_tables([first.select(names), *others])
    files = [field for field in fields if field in specs.column_names]
    return keys_of(specs, _identities(run, specs, files), by_sort_index=by_sort_index)


def _identities(run: Run, specs: pa.Table, fields: Iterable[str]) -> Identities:
    root = run.manifest.specs_uri.removesuffix(layout.SPECS)
    recorded = read_inputs(run.store)
    found: Identities = {}
    for field in fields:
        known: dict[str, str | None] = {}
        for record in recorded.get(field, []):
            if "key" in record:
                known[root + record["key"]] = identity(record["name"], record["sha256"])
            else:
                known[record["address"]] = remote_identity(record["address"], record.get("etag"))
        addresses: list[str | None] = specs.column(field).unique().to_pylist()
        for address in filter(None, addresses):
            if field not in recorded and address.startswith(root):
                known[address] = _hashed(run.store, address.removeprefix(root))
        found[field] = known
    return found


def remote_identity(address: str, etag: str | None) -> str | None:
    """What a remote file is: its address and version; None where its server gives no version."""
    return f"{address}\0{etag}" if etag else None


def _hashed(store: Store, key: str) -> str:
    """What an artifact of a run without inputs.yml is: its content is read once."""
    with tempfile.TemporaryDirectory(prefix="scythe-reuse-") as folder:
        path = Path(folder) / "file"
        store.download(key, path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return identity(key.rpartition("/")[2], sha256)


def match(new: SpecKeys, old: SpecKeys, reusable: pl.Series) -> pl.DataFrame:
    """The rows of `new` that have the same key as a reusable row of `old`: columns `row` and `source_row`, sorted.

    Rows are found by a hash of the key and then compared column by column, so that a collision reuses nothing.

    Args:
        new: the specs of the new run.
        old: the specs of the earlier run.
        reusable: rows of the earlier run that succeeded.

    Raises:
        InputError: the two have different fields.
    """
    import polars as pl

    _refuse_other_fields(new.table, old.table)
    names = ["_hash", "_place", "_row"]
    candidates = old.table.filter(pl.col("_known") & pl.col("_row").is_in(reusable.implode())).select(names)
    mine = new.table.filter(pl.col("_known")).select(names)
    pairs = mine.join(candidates, on=["_hash", "_place"], how="inner", suffix="_old").sort("_row")
    found = [pairs.clear(), *(_equal(piece, new.table, old.table) for piece in pairs.iter_slices(COMPARED))]
    rows = pl.col("_row").cast(pl.Int64).alias("row"), pl.col("_row_old").cast(pl.Int64).alias("source_row")
    return pl.concat(found).select(rows)


def _equal(pairs: pl.DataFrame, new: pl.DataFrame, old: pl.DataFrame) -> pl.DataFrame:
    """The pairs whose rows have equal columns."""
    import polars as pl

    same = pl.repeat(value=True, n=pairs.height, eager=True)
    for name in (name for name in new.columns if not name.startswith("_")):
        same &= new[name].gather(pairs["_row"]).eq_missing(old[name].gather(pairs["_row_old"]))
    return pairs.filter(same)


def _refuse_other_fields(new: pl.DataFrame, old: pl.DataFrame) -> None:
    ours, theirs = _fields(new), _fields(old)
    problems = [f"{name} is new" for name in ours if name not in theirs]
    problems += [f"{name} is not there any more" for name in theirs if name not in ours]
    problems += [
        f"{name} was {theirs[name]} and is {ours[name]}" for name in ours if theirs.get(name, ours[name]) != ours[name]
    ]
    if problems:
        raise InputError(f"the input fields differ from those of the earlier run: {'; '.join(problems)}")


def _fields(frame: pl.DataFrame) -> Mapping[str, Any]:
    return {name: kind for name, kind in frame.schema.items() if not name.startswith("_")}

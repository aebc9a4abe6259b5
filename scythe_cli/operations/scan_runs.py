"""One table of many runs as one lazy frame.

Input: a name, a range of versions, a storage. Output: a polars LazyFrame over the files of all these runs, with a
column `run`; polars reads the columns and rows that are needed when the frame is collected.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import polars as pl
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from scythe_cli.core import layout
from scythe_cli.core.events import Notice, ignore
from scythe_cli.errors import ConfigError, InputError, NotFoundError
from scythe_cli.final_tables.final_table import free_name
from scythe_cli.operations.scan import final_tables, partial_sentence
from scythe_cli.run import find
from scythe_cli.run.state import READERS

if TYPE_CHECKING:
    from scythe_cli.core.events import Listener
    from scythe_cli.run.run import Run
    from scythe_cli.storage.base import Store

RUN = "run"
"""The column that says which run a row is of; `run_` where the table has a column `run`."""


def scan_runs(
    storage: Store,
    name: str,
    table: str = layout.SCALARS,
    versions: str | None = None,
    *,
    listener: Listener = ignore,
) -> pl.LazyFrame:
    """The rows of one table of all runs of a name, oldest version first.

    Args:
        storage: where the runs live.
        name: of the runs.
        table: scalars, errors, execution, or a user's frame.
        versions: which versions, ">=1.0,<2"; all unless given.
        listener: gets a sentence for each run whose tables are partial.

    Raises:
        ConfigError: `versions` is not a range of versions.
        NotFoundError: no run of these has the table.
        InputError: two runs have a column of types that do not fit together; both are named.
    """
    wanted = _range(versions)
    found: list[tuple[Run, list[str]]] = []
    for version in sorted(find.versions(storage, name)):
        if wanted is None or wanted.contains(str(version).removeprefix("v")):
            runs = sorted(find.real_runs(storage, name, version), key=lambda run: run.id)
            found += [(run, files) for run in runs if (files := final_tables(run.store).get(table))]
    if not found:
        within = f" in versions {versions}" if versions else ""
        raise NotFoundError(f"no run of {name!r}{within} in {storage.locate('')} has a table {table!r}")
    with ThreadPoolExecutor(READERS) as pool:
        for (run, _), sentence in zip(found, pool.map(partial_sentence, (run for run, _ in found)), strict=True):
            if sentence is not None:
                listener(Notice(f"{run.id}: {sentence}"))
    frames = [(run, run.store.scan(files)) for run, files in found]
    types = _common_types([(run, frame.collect_schema()) for run, frame in frames])
    own = free_name(RUN, types)
    return pl.concat([_widened(frame, types).with_columns(pl.lit(run.id).alias(own)) for run, frame in frames])


def _range(versions: str | None) -> SpecifierSet | None:
    if versions is None:
        return None
    try:
        return SpecifierSet(versions)
    except InvalidSpecifier:
        raise ConfigError(f"versions={versions!r} is not a range of versions; write one as '>=1.0,<2'") from None


def _common_types(schemas: list[tuple[Run, pl.Schema]]) -> dict[str, pl.DataType]:
    """The type of each column that holds the values of all runs."""
    found: dict[str, tuple[pl.DataType, Run]] = {}
    for run, schema in schemas:
        for column, kind in schema.items():
            known = found.setdefault(column, (kind, run))
            common = _wider(known[0], kind)
            if common is None:
                raise InputError(
                    f"column {column!r} is {known[0]} in {known[1].id} and {kind} in {run.id}",
                    hint="give versions=... that leaves one of them out, or rename the field",
                )
            if common != known[0]:
                found[column] = (common, run)
    return {column: kind for column, (kind, _) in found.items()}


def _wider(one: pl.DataType, other: pl.DataType) -> pl.DataType | None:
    """The smaller type that holds the values of both, None where there is none. Integers become floats with floats."""
    if other in (one, pl.Null):
        return one
    if one == pl.Null:
        return other
    if one.is_numeric() and other.is_numeric() and not (one.is_decimal() or other.is_decimal()):
        both = [pl.DataFrame(schema={"number": kind}) for kind in (one, other)]
        return pl.concat(both, how="vertical_relaxed").schema["number"]
    texts = (pl.String, pl.Categorical)
    return pl.String() if one in texts and other in texts else None


def _widened(frame: pl.LazyFrame, types: dict[str, pl.DataType]) -> pl.LazyFrame:
    """A run's rows with the columns and types of all runs."""
    own = frame.collect_schema()
    columns = [
        (pl.col(name) if own[name] == kind else pl.col(name).cast(kind))
        if name in own
        else pl.lit(None, kind).alias(name)
        for name, kind in types.items()
    ]
    return frame.select(columns)

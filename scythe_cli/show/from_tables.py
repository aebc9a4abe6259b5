"""Specs of a download, which has the tables of a run and none of its parts.

Input: a download and places in its table. Output: a `Spec` for each, from specs.pq and the final tables. They have no
place in the user's code: that is in the traceback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout
from scythe_cli.core.printable import text_for_bytes
from scythe_cli.errors import NotFoundError
from scythe_cli.show.columns import OWN, QueryColumns
from scythe_cli.show.frames import HEAD_COLUMNS, Frame
from scythe_cli.show.spec import FAILED, MISSING, SUCCEEDED, Spec
from scythe_cli.storage.address import is_remote

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from scythe_cli.run.run import Run

_ROW = "_scythe_row"
_TEXTS = ("error_type", "message", "traceback", "log")


def read_from_tables(run: Run, rows: Sequence[int], *, frames: bool, head: int) -> list[Spec]:
    """The specs at some places of specs.pq, in the order asked for.

    Args:
        run: a download.
        rows: places in specs.pq.
        frames: read their frames, too.
        head: read so many rows of each frame.

    Raises:
        NotFoundError: the tables are not there as parquet files.
    """
    import polars as pl

    from scythe_cli.final_tables.final_table import error_columns, execution_columns
    from scythe_cli.operations.scan import execution_table, final_tables

    tables = final_tables(run.store)
    execution_name = execution_table(run, tables) or layout.EXECUTION
    for name in (execution_name, layout.ERRORS, layout.SCALARS):
        if name not in tables:
            raise NotFoundError(f"{run.store.locate('')} has no table {name}.pq: download the run as parquet")
    specs = run.store.scan([layout.SPECS]).with_row_index(_ROW).filter(pl.col(_ROW).is_in(list(rows)))
    found = specs.collect()
    numbers = found[layout.SORT_INDEX].to_list()
    index = run.manifest.index
    named = {f"_{name}" for name in (*OWN, *_TEXTS)}
    ran_columns = _renamed(execution_columns(index), named)
    execution = _by_spec(run, tables.pop(execution_name), numbers, ran_columns, own=True)
    errors = _by_spec(run, tables[layout.ERRORS], numbers, _renamed(error_columns(index), named), own=True)
    scalars = _by_spec(run, tables[layout.SCALARS], numbers, {name: name for name in run.manifest.scalars})
    files: dict[int, dict[str, Any]] = {}
    if layout.FILE_REFS in tables:
        files = _by_spec(run, tables[layout.FILE_REFS], numbers, {name: name for name in run.manifest.files})
    columns = QueryColumns.of(run)
    made = {}
    for row in found.to_dicts():
        number = row[layout.SORT_INDEX]
        ran, failed = execution.get(number, {}), errors.get(number, {})
        made[row[_ROW]] = Spec(
            number,
            str(row.get(layout.WORKFLOW_RUN_ID)),
            MISSING if not ran else FAILED if failed else SUCCEEDED,
            {name: text_for_bytes(row[name]) for name in columns.inputs if name in row},
            outputs={name: text_for_bytes(value) for name, value in scalars.get(number, {}).items()},
            files={
                name: _address(run, str(value)) for name, value in files.get(number, {}).items() if value is not None
            },
            frames=_frames(run, tables, number, head=head) if frames else None,
            **_own(ran, failed),
        )
    return [made[row] for row in rows if row in made]


def _address(run: Run, value: str) -> str:
    """The address of an output file: a download has paths below its own folder."""
    if is_remote(value) or value.startswith("/"):
        return value
    try:
        return run.store.locate(value)
    except ValueError:  # somebody else wrote it: it leaves the folder
        return value


def _own(ran: dict[str, Any], failed: dict[str, Any]) -> dict[str, Any]:
    """How a spec ran, by the names that `Spec` has for it."""
    names = ("kind", "attempts", "start", "duration", "worker", "generation", "reused_from")
    known = {name: ran[name] for name in names if name in ran}
    return known | {name: failed[name] for name in _TEXTS if name in failed}


def _renamed(columns: dict[str, str], wanted: set[str]) -> dict[str, str]:
    """The columns of a table that are asked for -> their names here, without an underscore."""
    return {there: part.removeprefix("_") for part, there in columns.items() if part in wanted}


def _by_spec(
    run: Run, keys: list[str], numbers: list[int], columns: dict[str, str], *, own: bool = False
) -> dict[int, dict[str, Any]]:
    """Some columns of the rows of some specs, by their number; those that are our `own` have the types we give them."""
    import polars as pl

    table = run.store.scan(keys)
    there = set(table.collect_schema().names())
    types: dict[str, Any] = {
        "duration": pl.Float64,
        "start": pl.Datetime("us", "UTC"),
        "attempts": pl.Int64,
        "generation": pl.Int64,
    }
    types |= dict.fromkeys(("kind", "worker", "reused_from", *_TEXTS), pl.String)
    chosen = [
        (pl.col(name).cast(types[here]) if own and here in types else pl.col(name)).alias(here)
        for name, here in columns.items()
        if name in there
    ]
    found = table.filter(pl.col(layout.SORT_INDEX).is_in(numbers)).select(
        pl.col(layout.SORT_INDEX).alias(_ROW), *chosen
    )
    return {row.pop(_ROW): row for row in found.collect().to_dicts()}


def _frames(run: Run, tables: dict[str, list[str]], number: int, *, head: int) -> list[Frame]:
    """The frames of a spec in the tables of frames."""
    import polars as pl

    found = []
    for name in sorted(set(tables) - {*layout.OWN_TABLES}):
        table = run.store.scan(tables[name]).filter(pl.col(layout.SORT_INDEX) == number)
        hidden = {*run.manifest.index, layout.SORT_SUBINDEX}
        columns = [column for column in table.collect_schema().names() if column not in hidden]
        rows = int(table.select(pl.len()).collect().item())
        if rows:
            first: pl.DataFrame = table.select(columns[:HEAD_COLUMNS]).head(head).collect()
            values = [{key: text_for_bytes(value) for key, value in row.items()} for row in first.to_dicts()]
            found.append(Frame(name, rows, columns, values))
    return found

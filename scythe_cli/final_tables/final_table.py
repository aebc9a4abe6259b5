"""One final table while it is being written: row groups of a parquet file on the local disk, plain and with an index.

The index is written as columns and named in the metadata that pandas reads, so that pandas gives a MultiIndex and
everything else sees plain columns.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from scythe_cli.columns.pandas_metadata import PANDAS, pandas_metadata
from scythe_cli.final_tables.publish import FinishedTable
from scythe_cli.run import outcomes
from scythe_cli.run.table_file import TableFile

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

GROUP_ROWS = 1 << 17
GROUP_BYTES = 64 << 20
ABOUT = b"scythe"
"""Metadata of a final table: JSON with experiment_id, partial, specs, missing."""

_ERRORS = {
    outcomes.ERROR_TYPE: "error_type",
    outcomes.MESSAGE: "message",
    outcomes.TRACEBACK: "traceback",
    outcomes.KIND: "kind",
    outcomes.ATTEMPTS: "attempts",
    outcomes.DURATION: "duration",
    outcomes.WORKER: "worker",
    outcomes.LOG: "log",
}
_EXECUTION = {
    outcomes.STATE: "state",
    outcomes.KIND: "kind",
    outcomes.ATTEMPTS: "attempts",
    outcomes.START: "start",
    outcomes.DURATION: "duration",
    outcomes.WORKER: "worker",
    outcomes.GENERATION: "generation",
    outcomes.REUSED_FROM: "reused_from",
}

_ATTEMPT = {outcomes.START: "start", outcomes.GENERATION: "generation", outcomes.IS_FINAL: "final"}


def error_columns(index: Sequence[str]) -> dict[str, str]:
    """Columns of outcomes that errors.pq has, and their names there."""
    return _free_names(_ERRORS, index)


def attempt_columns(index: Sequence[str]) -> dict[str, str]:
    """Columns of one attempt that failed, and their names in a table of them all: first those of errors.pq."""
    return _free_names({**_ERRORS, **_ATTEMPT}, index)


def execution_columns(index: Sequence[str]) -> dict[str, str]:
    """Columns of outcomes that execution.pq has, and their names there."""
    return _free_names(_EXECUTION, index)


def _free_names(columns: dict[str, str], index: Sequence[str]) -> dict[str, str]:
    """An input field with the name of a column keeps it, as in all tables; the column gets an underscore."""
    return {part: free_name(name, index) for part, name in columns.items()}


def free_name(name: str, taken: Collection[str]) -> str:
    """The name with as many underscores after it as it takes to differ from all others."""
    while name in taken:
        name += "_"
    return name


class FinalTable:
    """A final table in the making.

    Args:
        path: the local file.
        schema: its columns: outputs, then the index.
        index: names of the index columns.
        about: what the metadata say of the run.
        writers: threads that encode a row group while the next is collected; a table has one under way at a time.
        on_group: gets each row group before it is written.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        *,
        index: Sequence[str],
        about: dict[str, Any],
        writers: Executor,
        on_group: Callable[[pa.Table], None] | None = None,
    ) -> None:
        self.schema = schema.with_metadata(_metadata(schema, index, about))
        self._file = TableFile(
            path,
            self.schema,
            group_rows=GROUP_ROWS,
            group_bytes=GROUP_BYTES,
            encoder=writers,
            compression="snappy",
            on_group=on_group,
        )

    def add(self, columns: Sequence[pa.ChunkedArray[Any]]) -> None:
        """Append rows, column by column in the schema's order."""
        self._file.add(pa.table(list(columns), schema=self.schema))

    def finish(self) -> FinishedTable:
        """Write what is held and end the file."""
        path = self._file.finish()
        return FinishedTable([path], self._file.rows)

    def close(self) -> None:
        """Stop; a file that was not finished is of no use."""
        self._file.close()


def _metadata(schema: pa.Schema, index: Sequence[str], about: dict[str, Any]) -> dict[bytes, bytes]:
    names = set(schema.names)  # pyarrow builds that list at each use
    levels = {name: name for name in index if name in names}
    optional = [field.name for field in schema if outcomes.OPTIONAL in (field.metadata or {})]
    return {PANDAS: pandas_metadata(schema, levels, optional=optional), ABOUT: json.dumps(about).encode()}

"""One final table while it is being written: row groups of a parquet file on the local disk, plain and with an index.

The index is written as columns and named in the metadata that pandas reads, so that pandas gives a MultiIndex and
everything else sees plain columns.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scythe_cli.columns import frames
from scythe_cli.core import layout
from scythe_cli.run import outcomes

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from concurrent.futures import Executor, Future
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


def error_columns(index: Sequence[str]) -> dict[str, str]:
    """Columns of outcomes that errors.pq has, and their names there."""
    return _free_names(_ERRORS, index)


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


@dataclass(frozen=True)
class Clash:
    """Why a frame cannot be part of a table: the column, where it is one alone, and a sentence without its end."""

    column: str | None
    message: str


class FinalTable:
    """A final table in the making.

    Args:
        path: the local file.
        schema: its columns: outputs, then the index.
        index: names of the index columns; `sort_subindex` is one at any place.
        about: what the metadata say of the run.
        writers: threads that encode a row group while the next is collected; a table has one under way at a time.

    Attributes:
        typed_by: of columns of frames, the row of the spec whose value was the first and set the type;
            until then what the schema says of a column is a guess.
    """

    def __init__(
        self, path: Path, schema: pa.Schema, *, index: Sequence[str], about: dict[str, Any], writers: Executor
    ) -> None:
        self.path = path
        self._writers = writers
        self._writing: Future[None] | None = None
        self.rows = 0
        self._index = [*index, layout.SORT_SUBINDEX]
        self._about = about
        self._held: list[pa.Table] = []
        self._held_rows = 0
        self._held_bytes = 0
        self.typed_by: dict[str, int] = {}
        self._open(schema)

    def _open(self, schema: pa.Schema) -> None:
        self.schema = schema.with_metadata(_metadata(schema, self._index, self._about))
        self.own = [name for name in schema.names if name not in self._index]
        texts = [f.name for f in schema if pa.types.is_string(f.type) and f.name != layout.WORKFLOW_RUN_ID]
        self._writer = pq.ParquetWriter(
            self.path,
            self.schema,
            compression="snappy",
            use_dictionary=cast("Any", texts),
            column_encoding={layout.WORKFLOW_RUN_ID: "DELTA_BYTE_ARRAY"},
            write_statistics=True,
        )

    def add(self, columns: Sequence[pa.ChunkedArray[Any]]) -> None:
        """Append rows, column by column in the schema's order."""
        table = pa.table(list(columns), schema=self.schema)
        self._held.append(table)
        self._held_rows += table.num_rows
        self._held_bytes += table.nbytes
        if self._held_rows >= GROUP_ROWS or self._held_bytes >= GROUP_BYTES:
            self._write()

    @property
    def room(self) -> int:
        """Rows that still go into the row group that is collected."""
        return GROUP_ROWS - self._held_rows

    def _write(self) -> None:
        if not self._held:
            return
        table = pa.concat_tables(self._held)
        self._finish_writing()
        self._writing = self._writers.submit(self._writer.write_table, table, row_group_size=GROUP_ROWS)
        self.rows += table.num_rows
        self._held, self._held_rows, self._held_bytes = [], 0, 0

    def _finish_writing(self) -> None:
        """Wait for the row group under way; raise what it failed with."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def close(self) -> None:
        """Write what is held and end the file."""
        self._write()
        self._finish_writing()
        self._writer.close()

    def fit(self, frame: pa.Table, waiting: Sequence[pa.Table] = ()) -> pa.Table | Clash:
        """A frame with this table's columns, which widen where no value changes; or why that cannot be.

        Args:
            frame: the frame.
            waiting: frames that were fitted and not added yet; they must bear the wider columns too.
        """
        held = pa.schema([self.schema.field(name) for name in self.own])
        own = frame.drop_columns([frames.ROW, layout.SORT_SUBINDEX])
        if len(self.typed_by) == len(self.own) and own.schema.equals(held):
            return frame
        head = pa.schema([f if f.name in self.typed_by else pa.field(f.name, pa.null()) for f in held])
        valued = frames.of_values(own)
        wider = frames.widen(head, valued)
        if wider is None:
            return _clash(head, valued)
        wider = frames.fill_missing_types(wider, [held, own.schema])
        tail = [frame.schema.field(frames.ROW), frame.schema.field(layout.SORT_SUBINDEX)]
        try:
            fitted = frames.fit(frame, pa.schema([*wider, *tail]))
            if not wider.equals(held):
                for other in waiting:
                    frames.fit(other, pa.schema([*wider, *tail]))
                self._rewrite(pa.schema([*wider, *list(self.schema)[len(self.own) :]]))
        except frames.NO_FIT:
            return _clash(head, valued)
        for name in valued.names:
            if name not in self.typed_by and frames.has_values(column := frame.column(name)):
                rows = frame.column(frames.ROW).filter(pc.is_valid(column))
                self.typed_by[name] = cast("int", pc.min(rows).as_py())
        return fitted

    def refit(self, frame: pa.Table) -> pa.Table:
        """A frame that was fitted before the table widened once more."""
        head = [self.schema.field(name) for name in self.own]
        return frames.fit(
            frame, pa.schema([*head, frame.schema.field(frames.ROW), frame.schema.field(layout.SORT_SUBINDEX)])
        )

    def _rewrite(self, schema: pa.Schema) -> None:
        """Start the file again with wider columns. Raises one of `frames.NO_FIT` when a value would change."""
        held = [frames.fit(table, schema) for table in self._held]
        self._finish_writing()
        self._writer.close()
        narrow = self.path.rename(self.path.with_suffix(".narrow"))
        old = self.schema
        self._open(schema)
        try:
            for batch in pq.ParquetFile(narrow).iter_batches(GROUP_ROWS):
                self._writer.write_table(frames.fit(pa.Table.from_batches([batch]), self.schema))
        except frames.NO_FIT:
            self._writer.close()
            self._open(old)
            for batch in pq.ParquetFile(narrow).iter_batches(GROUP_ROWS):
                self._writer.write_batch(batch)
            raise
        finally:
            narrow.unlink()
        self._held = [table.replace_schema_metadata(self.schema.metadata) for table in held]


def _clash(head: pa.Schema, own: pa.Schema) -> Clash:
    for field in own:
        at = head.get_field_index(field.name)
        if at >= 0 and head.field(at).type not in (field.type, pa.null()) and not pa.types.is_null(field.type):
            return Clash(field.name, f"column {field.name!r} is {field.type}, not {head.field(at).type},")
    return Clash(None, "the types of a column differ")


def _metadata(schema: pa.Schema, index: Sequence[str], about: dict[str, Any]) -> dict[bytes, bytes]:
    levels = [name for name in index if name in schema.names]
    columns = [
        {
            "name": field.name,
            "field_name": field.name,
            "pandas_type": _pandas_type(field.type),
            "numpy_type": _numpy_type(field),
            "metadata": None,
        }
        for field in schema
    ]
    return {
        b"pandas": json.dumps({"index_columns": levels, "columns": columns}).encode(),
        ABOUT: json.dumps(about).encode(),
    }


def _pandas_type(kind: pa.DataType) -> str:
    if pa.types.is_string(kind):
        return "unicode"
    if pa.types.is_float64(kind):
        return "float64"
    if pa.types.is_timestamp(kind):
        return "datetimetz" if kind.tz else "datetime"
    return {"date32[day]": "date", "double": "float64", "float": "float32"}.get(str(kind), str(kind))


def _numpy_type(field: pa.Field[Any]) -> str:
    kind = field.type
    if pa.types.is_integer(kind):  # pandas' own integers with nulls, where the model expects nulls; else numpy's
        optional = outcomes.OPTIONAL in (field.metadata or {})
        return str(kind).capitalize().replace("Uint", "UInt") if optional else str(kind)
    if pa.types.is_timestamp(kind):
        return f"datetime64[{kind.unit}]"
    if pa.types.is_duration(kind):
        return f"timedelta64[{kind.unit}]"
    return {"double": "float64", "float": "float32", "bool": "bool"}.get(str(kind), "object")

"""One frame's final table in the making: which specs' frames go together, with which columns, labels and levels.

Input: opened parts of a frame, block by block, in order. Output: its final table, in one or several local files; and of
each spec whose frame does not go with those before it, why.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.columns.column_blocks import own_columns, unpack
from scythe_cli.columns.frame_header import PLACE, ROW, FrameHeader, read_header, with_metadata
from scythe_cli.columns.frame_labels import OtherLevels, check_levels, merge_headers
from scythe_cli.columns.frame_stack import (
    NO_FIT,
    arranged,
    counted_columns,
    counts_from_zero,
    fill_missing_types,
    fit,
    has_values,
    of_values,
    places,
    widen,
)
from scythe_cli.columns.pandas_metadata import PANDAS, arrow_metadata, pandas_metadata
from scythe_cli.core import layout
from scythe_cli.final_tables import frame_rows
from scythe_cli.final_tables.final_table import ABOUT
from scythe_cli.final_tables.frame_files import FrameFiles
from scythe_cli.final_tables.frame_rows import Piece
from scythe_cli.final_tables.publish import FinishedTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor
    from pathlib import Path

    from scythe_cli.columns.frame_header import Pandas
    from scythe_cli.final_tables.frame_order import FrameRows

KNOWN = 8
"""Schemas of parts that are remembered as fitting."""


@dataclass(frozen=True)
class Clash:
    """Why a frame cannot be part of a table.

    Attributes:
        message: a sentence without its end.
        unlike: the row of the spec whose frame it is unlike; None where it is not one alone.
    """

    message: str
    unlike: int | None = None


@dataclass(frozen=True)
class _Decided:
    """What frames have decided for a table: see the attributes of `FrameTable`."""

    typed_by: dict[str, int]
    header: FrameHeader
    levels: tuple[Pandas, int] | None
    has_rows: bool
    schema: pa.Schema


class FrameTable:
    """A frame's final table.

    Args:
        path: names the next local file.
        index: the index columns.
        about: what the metadata say of the run.
        max_file: the size at which a file ends, about.
        writers: threads that encode a row group while the next is collected.

    Attributes:
        typed_by: the row of the spec whose value was the first in a column and set its type; until then the type is a
            guess.
        schema: the frames' own columns, levels of their index among them.
    """

    def __init__(
        self, path: Callable[[], Path], index: pa.Schema, about: dict[str, Any], *, max_file: int, writers: Executor
    ) -> None:
        self._index = pa.schema([field.with_nullable(field.name not in _IDS) for field in index])
        self._about = about
        self.schema: pa.Schema = pa.schema([])
        self._header = FrameHeader()
        self._levels: tuple[Pandas, int] | None = None
        self._counted = self._has_rows = self._old = False
        self._repeated: bool | None = None
        self._known: list[pa.Schema] = []
        self._last = (-1, 0)
        self.typed_by: dict[str, int] = {}
        self._files = FrameFiles(
            path,
            max_file=max_file,
            build=self._build,
            metadata=self._metadata,
            index=[*index.names, PLACE],
            as_written=self._as_written,
            writers=writers,
        )

    @property
    def rows(self) -> int:
        """How many rows were appended."""
        return self._files.rows

    def knows(self, schema: pa.Schema) -> bool:
        """Whether frames of this schema fit as they are, whatever their values."""
        return any(known.equals(schema, check_metadata=True) for known in self._known)

    def decided(self) -> _Decided:
        """What the frames so far have decided, to go back to."""
        return _Decided(dict(self.typed_by), self._header, self._levels, self._has_rows, self.schema)

    def go_back(self, before: _Decided) -> None:
        """Forget what frames have decided that were not appended. What was made wider stays so, once rows are there."""
        self.typed_by, self._known = dict(before.typed_by), []
        self._header, self._levels, self._has_rows = before.header, before.levels, before.has_rows
        if not self.rows:
            self.schema = before.schema

    def fit(self, frame: pa.Table, waiting: Callable[[], Iterator[pa.Table]] = lambda: iter(())) -> Clash | None:
        """Make this table's columns hold a frame's, widened where no value changes; or say why that cannot be.

        Args:
            frame: the frame, with the row of its spec.
            waiting: frames that fit and were not appended yet; they must fit the wider columns too.
        """
        header = read_header(frame.schema)
        if clash := self._other_levels(header, frame):
            return clash
        plain = self._plain(frame, header)
        head = pa.schema([f if f.name in self.typed_by else pa.field(f.name, pa.null()) for f in self.schema])
        valued = of_values(plain)
        wider = widen(head, valued)
        if wider is None:
            return self._clash(head, valued)
        wider = fill_missing_types(wider, [self.schema, plain.schema])
        try:
            fit(plain, wider)
            if not wider.equals(self.schema):
                for other in waiting():
                    fit(self._plain(other, read_header(other.schema)), wider)
                self._widen(wider, header)
        except NO_FIT:
            return self._clash(head, valued)
        self._note(frame, header, plain)
        return None

    def _other_levels(self, header: FrameHeader, frame: pa.Table) -> Clash | None:
        if header.pandas is None or not frame.num_rows:
            return None
        if self._levels is None:
            self._levels = header.pandas, cast("int", frame.column(ROW)[0].as_py())
        try:
            check_levels(self._levels[0], header.pandas)
        except OtherLevels as exc:
            return Clash(str(exc), self._levels[1])
        return None

    def _plain(self, frame: pa.Table, header: FrameHeader) -> pa.Table:
        """The frame's own columns alone, with those that are counted and known to the table."""
        table = with_metadata(unpack(frame), None)
        counted = counted_columns([self._header, header], [])
        for name in counts_from_zero(header, table.column_names):
            if name in counted:
                table = table.append_column(name, places(table))
        return table.drop_columns([name for name in (ROW, PLACE) if name in table.column_names])

    def _clash(self, head: pa.Schema, own: pa.Schema) -> Clash:
        for field in own:
            at = head.get_field_index(field.name)
            if at >= 0 and head.field(at).type not in (field.type, pa.null()) and not pa.types.is_null(field.type):
                message = f"column {field.name!r} is {field.type}, not {head.field(at).type},"
                return Clash(message, self.typed_by.get(field.name))
        return Clash("columns do not go together")

    def _note(self, frame: pa.Table, header: FrameHeader, plain: pa.Table) -> None:
        """Remember what a frame that fits says of the table."""
        if frame.num_rows or not self._has_rows:
            known = [(self._header, self.schema.names)] if self._has_rows else []
            self._header = merge_headers([*known, (header, own_columns(frame.schema))])
            self._has_rows = self._has_rows or bool(frame.num_rows)
        for name in plain.column_names:
            if name not in self.typed_by and has_values(column := plain.column(name)):
                rows = frame.column(ROW).filter(pc.is_valid(column))
                self.typed_by[name] = cast("int", pc.min(rows).as_py())
        typed = all(name in self.typed_by for name in plain.column_names)
        if typed and plain.schema.equals(self.schema):
            self._known = [frame.schema, *self._known[: KNOWN - 1]]

    def _widen(self, wider: pa.Schema, header: FrameHeader) -> None:
        """Give what is collected and written wider columns, for a frame with this header.

        Raises one of `NO_FIT` where a value would change.
        """
        for piece in self._files.held:
            fit(self._plain(piece.own, read_header(piece.own.schema)), wider)
        self._files.rewrite(self._refit(wider, header, counted=self._counted))
        self.schema, self._known = wider, []

    def count_places(self) -> None:
        """Give each row its place in its spec, `sort_subindex`."""
        if not self._counted:
            self._files.rewrite(self._refit(self.schema, self._header, counted=True))
            self._counted = True

    def keep_levels_as_columns(self) -> None:
        """Have the levels of the frames' own indexes as columns, as they were in the run's older parts."""
        self._old = True

    def _refit(self, wider: pa.Schema, header: FrameHeader, *, counted: bool) -> Callable[[pa.Table], pa.Table]:
        """What makes wider row groups of written ones, in order; a column that counts rows starts at each spec.

        The frame with this header may need an unnamed index, which the frames that are written have counted.
        """
        last = (None, 0)
        wanted = counted_columns([self._header, header], [PLACE])
        schema = pa.schema([*wider, *self._index, *([_PLACE] if counted else [])])

        def refit(table: pa.Table) -> pa.Table:
            nonlocal last
            missing = [name for name in counts_from_zero(self._header, table.column_names) if name in wanted]
            if missing and table.num_rows:
                found, last = count_rows(table.column(layout.SORT_INDEX).to_numpy(), last)
                for name in missing:
                    table = table.append_column(name, pa.array(found))
            return self._as_written(fit(table, schema))

        return refit

    def append(self, frames: Iterator[FrameRows], specs: pa.Table, offset: int) -> None:
        """Append rows of frames that fit.

        Args:
            frames: the rows, in order.
            specs: the index columns of one block's specs.
            offset: the row of the first of these.
        """
        for table, rows, lengths in frames:
            first = self._last[1] if rows[0] == self._last[0] else 0
            self._files.add(Piece(table, specs, rows - offset, lengths, first))
            self._last = int(rows[-1]), int(lengths[-1]) + (first if len(rows) == 1 else 0)

    def _build(self, pieces: list[Piece]) -> pa.Table:
        """A row group: the frames' own columns, the index, the place in the spec."""
        schema = pa.schema([*self.schema, *([_PLACE] if self._counted else [])])
        own = frame_rows.own_columns(pieces, schema)
        if self._repeated is None:
            self._repeated = frame_rows.have_several_rows(pieces)
        index = frame_rows.index_columns(pieces, self._index, repeated=self._repeated)
        columns = [*own.select(self.schema.names).columns, *index]
        if self._counted:
            columns.append(own.column(PLACE))
        return self._as_written(pa.table(columns, names=self._names()))

    def _names(self) -> list[str]:
        return [*self.schema.names, *self._index.names, *([PLACE] if self._counted else [])]

    def _as_written(self, table: pa.Table) -> pa.Table:
        known = self._header.pandas.categories if self._header.pandas else {}
        categories = {name: values for name, (values, _) in known.items()}
        kept = () if self._repeated else (layout.WORKFLOW_RUN_ID,)
        columns = frame_rows.as_dictionaries(table, categories, kept)
        fields = [
            pa.field(name, column.type, nullable=name not in _IDS)
            for name, column in zip(table.column_names, columns, strict=True)
        ]
        return pa.table(columns, schema=pa.schema(fields))

    def _full_schema(self) -> pa.Schema:
        return pa.schema([*self.schema, *self._index, *([_PLACE] if self._counted else [])])

    def _metadata(self) -> dict[bytes, bytes]:
        schema = self._full_schema()
        header = arranged(self._header, self.schema.names)
        levels = dict(header.pandas.index_levels) if header.pandas and not self._old else {}
        if self._counted:
            levels.setdefault(PLACE, PLACE)
        else:
            levels.pop(PLACE, None)
        index = {**{name: name for name in self._index.names}, **levels}
        about = json.dumps(self._about).encode()
        return arrow_metadata(schema, header, {PANDAS: pandas_metadata(schema, index, header), ABOUT: about})

    def finish(self) -> FinishedTable:
        """End the last file."""
        if not self.rows:
            self._counted = True  # without rows nobody can say, and the column is usual
        files = self._files.finish(self._as_written(self._full_schema().empty_table()))
        return FinishedTable(files, self.rows)

    def close(self) -> None:
        """Stop; what was written is of no use."""
        self._files.close()


_PLACE = pa.field(PLACE, pa.int64())  # a frame's own column of this name may lack values
_IDS = frozenset(layout.INDEX_HEAD)
"""They have a value in every row, which makes them quick to write."""


def count_rows(specs: np.ndarray[Any, Any], last: tuple[Any, int]) -> tuple[np.ndarray[Any, Any], tuple[Any, int]]:
    """The place of each row in its spec; `last` is the spec before the first row, and how many rows it has had."""
    starts = np.flatnonzero(np.diff(specs, prepend=specs[0] - 1))
    counted = np.arange(len(specs)) - np.repeat(starts, np.diff(starts, append=len(specs)))
    if specs[0] == last[0]:
        end = starts[1] if len(starts) > 1 else len(specs)
        counted[:end] += last[1]
    return counted, (specs[-1], int(counted[-1]) + 1)

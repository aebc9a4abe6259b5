"""Collect the validated chunks of one source.

Input: chunks of raw cells. Output: one table of typed columns, or a report of all that is wrong. A table beyond
`MEMORY_LIMIT` waits on the disk.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from scythe_cli.columns.checks import pc
from scythe_cli.columns.disk_table import DiskTable
from scythe_cli.columns.model_fields import read_fields
from scythe_cli.columns.rows import RAW_INPUT
from scythe_cli.columns.schema import arrow_schema
from scythe_cli.core import layout
from scythe_cli.errors import StoreError
from scythe_cli.experiment.field_kinds import file_fields
from scythe_cli.experiment.plain_values import to_plain
from scythe_cli.spec_table.cell_text import BlankRows, Problems, blank_rows, expanded, is_text, with_points
from scythe_cli.spec_table.cell_validation import EMPTY, CellValidator, ValidatedChunk
from scythe_cli.spec_table.nested_files import NestedFiles
from scythe_cli.spec_table.report import DuplicateIndex, MissingValue
from scythe_cli.spec_table.row_validation import by_model, by_row
from scythe_cli.spec_table.sources import ABSENT
from scythe_cli.spec_table.table import EXTRA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.columns.checks import Column
    from scythe_cli.core.validation_errors import Problem
    from scythe_cli.experiment.models import ExperimentInputSpec
    from scythe_cli.spec_table.cell_validation import Nulls
    from scythe_cli.spec_table.file_check import ReferencedFiles
    from scythe_cli.spec_table.report import TableReport
    from scythe_cli.spec_table.sources import Chunk, SpecSource

MEMORY_LIMIT = 64 << 20
"""The most bytes of validated rows that stay in memory; a larger table waits on the disk."""


class Reading:
    """Collects validated chunks; after the first error only the files that their rows name.

    Args:
        source: of the chunks.
        model: the input model.
        names: from columns to fields.
        report: of what is wrong.
        references: collects the files that rows name.
        by_code: code of the user's may make fields of other columns, so that no field is missing before it ran.
    """

    def __init__(
        self,
        source: SpecSource,
        model: type[ExperimentInputSpec],
        names: dict[str, str],
        report: TableReport,
        references: ReferencedFiles,
        *,
        by_code: bool,
    ) -> None:
        self.n_rows = 0
        self._references = references
        self._file_fields = file_fields(model)
        self._source = source
        self._names = names
        self._report = report
        self._cell_validator = CellValidator(model, none_is_explicit=source.none_is_explicit)
        self._fields = {field.name: field for field in read_fields(model).fields}
        self._missing = [
            field.name
            for field in read_fields(model).fields
            if field.required and not by_code and field.name not in names.values()
        ]
        self._nested_files = NestedFiles(model)
        self._has_custom_validation = read_fields(model).has_custom_validation
        self._schema = arrow_schema(model)
        self._extends = bool(set(names.values()) - set(self._fields) - {layout.SORT_INDEX})
        self._refuses_blank = source.empty_is_null and any(
            field.required and not field.nullable for field in self._fields.values()
        )
        self._blank = BlankRows(source.where)
        self.disk: DiskTable | None = None
        self._pieces: list[dict[str, Column]] = []
        self._bytes = 0
        self._indexes: list[Column] = []

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong so far."""
        return self._report.clean

    def add(self, chunk: Chunk, n: int) -> None:
        """Check some rows."""
        known = {name: self._emptied(name, chunk[found]) for found, name in self._names.items()}
        known, nulls = self._with_nulls(known)
        first, self.n_rows = self.n_rows, self.n_rows + n
        if self._has_custom_validation and self._missing:
            return  # each row would repeat what the columns say
        known, wrong = self._with_points(known)
        validated = self._validate(known, n, nulls)
        replaced = {(row, problem.field) for row, problem in wrong}
        wrong += [(row, problem) for row, problem in validated.problems if (row, problem.field) not in replaced]
        wrong += self._nested_files.problems(validated.columns)
        wrong += self._expand(validated.columns)
        blank = blank_rows(known) if self._refuses_blank else set()
        for row in sorted(blank):
            self._blank.add(first + row)
        for row, problem in sorted(wrong, key=lambda one: one[0]):
            if problem.field not in self._missing and row not in blank:
                self._report.add(first + row, self._described(first + row, problem))
        if layout.SORT_INDEX in validated.columns:
            self._indexes.append(validated.columns.pop(layout.SORT_INDEX))
        extra = {name: cells for name, cells in known.items() if name not in self._fields and name != layout.SORT_INDEX}
        self._pieces.append({**validated.columns, **{name: _as_column(cells) for name, cells in extra.items()}})
        if not self._report.clean:
            self._keep_files()
        elif not self._has_custom_validation and not self._extends:
            self._bytes += sum(column.nbytes for column in self._pieces[-1].values())
            if self._bytes > MEMORY_LIMIT:
                self._move_to_disk()

    def _with_nulls(self, chunk: Chunk) -> tuple[Chunk, Nulls]:
        """The chunk without `ABSENT`, and the nulls that stay None although their fields have another default."""
        if not self._source.keeps_nulls:
            return {name: _without_absent(cells) for name, cells in chunk.items()}, {}
        nulls: Nulls = {}
        for name, cells in chunk.items():
            field = self._fields.get(name)
            if field is not None and field.nullable and not field.required:
                held = cells if isinstance(cells, list) else cells.to_pylist()
                nulls[name] = frozenset(at for at, cell in enumerate(held) if cell is None)
                if nulls[name] and self._has_custom_validation:
                    chunk[name] = held  # so that the row is kept as it was given, see `rows.RAW_INPUT`
        return {name: _without_absent(cells) for name, cells in chunk.items()}, nulls

    def _with_points(self, chunk: Chunk) -> tuple[Chunk, Problems]:
        """The chunk with decimal points, where the file has commas."""
        if self._source.decimal == ".":
            return chunk, []
        changed, problems = dict(chunk), []
        for name, cells in chunk.items():
            field = self._fields.get(name)
            if field is not None and (field.is_number or field.has_number_choices) and is_text(cells):
                changed[name], wrong = with_points(name, cells)
                problems += wrong
        return changed, problems

    def _expand(self, columns: dict[str, Column]) -> Problems:
        """Put the values of variables into the addresses of files."""
        problems = []
        for name in self._file_fields:
            if name in columns:
                columns[name], wrong = expanded(name, columns[name])
                problems += wrong
        return problems

    def _move_to_disk(self) -> None:
        """Write the rows to the disk, and keep only which files they name."""
        with self._on_disk():
            self.disk = self.disk or DiskTable(self._schema)
            for piece in self._pieces:
                self.disk.add(piece)
        self._keep_files()

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise StoreError(
                f"cannot keep {self._source.label} in the temporary folder: {exc.strerror or exc}",
                hint="free some space there, or set TMPDIR to a folder with more",
            ) from exc

    def finish(self, *, check_files: bool) -> None:
        """Raise what was found, with the files that rows name and that do not exist."""
        if self._blank.first is not None:
            self._report.add(self._blank.first, self._blank)
        if check_files and not self._report.clean:
            self._keep_files()
            self._references.check(self._report)
        self._report.finish()

    def _keep_files(self) -> None:
        """Keep only the files that the rows name: the rows are on the disk, or the table will not be made."""
        first = self.n_rows - sum(len(next(iter(piece.values()))) for piece in self._pieces if piece)
        for piece in self._pieces:
            for name in self._file_fields:
                if name in piece:
                    self._references.add(name, piece[name], first)
            first += len(next(iter(piece.values()))) if piece else 0
        self._pieces.clear()

    def _described(self, row: int, problem: Problem) -> Problem | MissingValue:
        if problem.rule != EMPTY:
            return problem
        found = {name: column for column, name in self._names.items()}
        return MissingValue(problem, self._source, row, found.get(problem.field, problem.field))

    def _validate(self, chunk: Chunk, n: int, nulls: Nulls) -> ValidatedChunk:
        if not self._has_custom_validation:
            return self._cell_validator.validate_chunk(chunk, n, nulls)
        return (
            by_model(self._cell_validator, chunk)
            if self._source.none_is_explicit
            else by_row(self._cell_validator, chunk, n, nulls)
        )

    def order(self) -> Column | None:
        """Where each row of the sorted table is in the source; None when they are the same. Duplicates are reported."""
        if not self._indexes:
            return None
        index: Column = pa.concat_arrays(self._indexes)
        if not index.null_count and pc.all(pc.greater(index[1:], index[:-1])).as_py() is not False:
            self._indexes = [index]
            return None
        order: Column = pc.array_sort_indices(index)
        self._indexes = [index]
        ranked = index.take(order)
        same = pc.fill_null(pc.equal(ranked[1:], ranked[:-1]), False)
        duplicates = sorted((order[at + 1].as_py(), order[at].as_py()) for at in pc.indices_nonzero(same).to_pylist())
        for later, earlier in duplicates:
            self._report.add(later, DuplicateIndex(index[later].as_py(), self._source, earlier))
        return order

    def table(self) -> pa.Table:
        """The checked rows, in the source's order."""
        index = self._indexes[0] if self._indexes else _counted(self.n_rows)
        if self.disk is not None:
            self._move_to_disk()
            with self._on_disk():
                held = self.disk.table()
            fields = [pa.field(layout.SORT_INDEX, pa.int64(), nullable=False), *self._schema]
            return pa.table([index, *held.columns], schema=pa.schema(fields))
        columns: dict[str, Column] = {}
        for name in list(self._pieces[0]):
            columns[name] = _joined([piece.pop(name) for piece in self._pieces])
        given = columns.pop(RAW_INPUT, None)
        fields = [pa.field(layout.SORT_INDEX, pa.int64(), nullable=False), *self._schema]
        fields += [pa.field(name, columns[name].type, metadata=EXTRA) for name in columns if name not in self._fields]
        arrays: list[Column] = [index, *(columns[f.name] for f in fields[1:])]
        if given is not None:
            fields.append(pa.field(RAW_INPUT, given.type))
            arrays.append(given)
        return pa.table(arrays, schema=pa.schema(fields))

    def _emptied(self, name: str, cells: Column | list[Any]) -> Column | list[Any]:
        field = self._fields.get(name)
        if not self._source.empty_is_null or (field is not None and field.takes_text) or isinstance(cells, list):
            return cells
        if field is None and name != layout.SORT_INDEX:
            return cells
        return pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)


def _counted(n: int) -> Column:
    return pa.array(np.arange(n, dtype="i8"))


def _without_absent(cells: Column | list[Any]) -> Column | list[Any]:
    if not isinstance(cells, list) or not any(cell is ABSENT for cell in cells):
        return cells
    return [None if cell is ABSENT else cell for cell in cells]


def _as_column(cells: Column | list[Any]) -> Column:
    """A column that no field has, as it is."""
    if not isinstance(cells, list):
        return cells
    try:
        return pa.array([to_plain(cell) for cell in cells])
    except (pa.ArrowException, OverflowError, TypeError):
        return pa.array([None if cell is None else str(to_plain(cell)) for cell in cells], pa.string())


def _joined(pieces: list[Column]) -> Column:
    kinds = {piece.type for piece in pieces if not pa.types.is_null(piece.type)}
    kind = kinds.pop() if len(kinds) == 1 else pa.string() if kinds else pieces[0].type
    return pa.chunked_array([piece if piece.type == kind else piece.cast(kind) for piece in pieces], kind)

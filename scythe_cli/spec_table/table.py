"""The specs table: read, checked and typed, or one report of everything that is wrong with it.

Takes a file, an address, a table or a list of models; leaves a `SpecTable`, whose arrow columns hold exactly what
pydantic makes of each row, sorted by `sort_index`.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
from pydantic import BaseModel

from scythe_cli.columns.checks import pc
from scythe_cli.columns.disk_table import Spill
from scythe_cli.columns.model_fields import anatomy
from scythe_cli.columns.rows import GIVEN
from scythe_cli.columns.schema import arrow_schema, to_plain
from scythe_cli.core import layout
from scythe_cli.errors import StoreError, TableError
from scythe_cli.experiment.field_kinds import file_fields, index_columns
from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.spec_table.cell_validation import EMPTY, Cells, Settled
from scythe_cli.spec_table.file_check import Addresses, absolute
from scythe_cli.spec_table.header import match_columns
from scythe_cli.spec_table.report import Empty, Report, Twin
from scythe_cli.spec_table.row_validation import by_model, by_row
from scythe_cli.spec_table.sources import Source, open_source
from scythe_cli.storage import references as files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.columns.checks import Column
    from scythe_cli.core.validation_errors import Problem
    from scythe_cli.spec_table.sources import Chunk

_EXTRA = {b"scythe": b"extra"}
SPILL_BYTES = 64 << 20
"""What checked rows may weigh in memory; of a larger table they wait on the disk."""


@dataclass
class SpecTable:
    """Validated specs.

    Attributes:
        table: `sort_index` (int64), the user's fields in the model's order with the types of `arrow_schema(model)`,
            columns that the model takes beside its fields, and `rows.GIVEN` where the model runs the user's code.
        model: the input model.
        name: what messages call the table.
    """

    table: pa.Table
    model: type[ExperimentInputSpec]
    name: str
    _source: Source = field(repr=False)
    _order: Column | None = field(default=None, repr=False)
    _spill: Spill | None = field(default=None, repr=False)

    @property
    def rows(self) -> int:
        """How many specs there are."""
        return self.table.num_rows

    @property
    def computed(self) -> bool:
        """Whether the model computes more index columns from its fields."""
        return self.model.computed_features is not ExperimentInputSpec.computed_features

    @property
    def index(self) -> tuple[str, ...]:
        """The index columns: ids, fields that can be index levels, and extra columns that can; no computed features."""
        return (*index_columns(self.model), *self.extra)

    @property
    def extra(self) -> tuple[str, ...]:
        """The index columns that the model takes beside its fields."""
        return tuple(f.name for f in self.table.schema if f.metadata == _EXTRA and not pa.types.is_nested(f.type))

    def let_go(self) -> None:
        """Forget the rows, which are in the store now: a run's memory is not to grow with its specs."""
        self.table, self._spill = self.table.schema.empty_table(), None
        self.__dict__.pop("references", None)
        pa.default_memory_pool().release_unused()

    def relax(self) -> None:
        """Give back the memory of rows that were looked at and wait on the disk."""
        if self._spill is not None:
            self._spill.relax()

    def where(self, row: int) -> str:
        """The place of a row of `table` in what the user gave, "specs.csv:12"."""
        return self._source.where(row if self._order is None else self._order[row].as_py())

    @cached_property
    def references(self) -> dict[str, list[str]]:
        """By file field, the addresses in the table, each once, in order; local ones are absolute paths."""
        found = {}
        for name in file_fields(self.model):
            found[name] = [address for address in pc.unique(self.table[name]).to_pylist() if address is not None]
        return found

    def check_files(self) -> None:
        """Look whether the files are there that the table names.

        Raises:
            InputFileError: some are not, all in one report.
            StoreError: as far as the servers answered, they are.
        """
        found = files.probe(chain.from_iterable(self.references.values()))
        if not any(isinstance(one, files.Problem) for one in found.values()):
            return
        named = Addresses([Path()])
        for name in file_fields(self.model):
            column: Column = self.table[name].combine_chunks()
            named.add(name, column if self._order is None else column.take(pc.array_sort_indices(self._order)))
        report = Report(self._source)
        named.check(report, found)
        report.finish()


def read_specs(
    source: Any,
    model: type[ExperimentInputSpec],
    *,
    base: Path | None = None,
    limit: int | None = None,
    renumber: bool = False,
    place: str | None = None,
    check_files: bool = False,
) -> SpecTable:
    """Read and check specs.

    Args:
        source: a path or address of a csv, parquet, feather or ndjson file; a polars, pandas or arrow table; a list of
            input models.
        model: the input model.
        base: the experiment file's folder; relative paths start from the specs file's folder, else from this.
        limit: take the first so many specs.
        renumber: number the specs by their place, whatever `sort_index` they bring.
        place: where the settings give the source, for messages.
        check_files: look too whether the files are there that the rows name.

    Raises:
        TableError: everything that is wrong, in one report.
        InputFileError: a remote specs file does not exist, or nothing is wrong but files that the rows name.
        StoreError: nothing is wrong but that servers of the specs or of files are away, fail or refuse.
    """
    folder = (base or Path()).absolute()
    _refuse_other_models(source, model)
    opened = open_source(source, folder, place=place)
    report = Report(opened)
    names = match_columns(opened, model, report)
    if renumber:
        names = {found: name for found, name in names.items() if name != layout.SORT_INDEX}
    folders = [folder for folder in (opened.folder, folder) if folder is not None]
    reading = _Reading(opened, model, names, report, Addresses(folders))
    for chunk, n in _limited(opened.chunks(), limit):
        reading.add(chunk, n)
    report.add_faults(reading.n_rows if limit is not None else None)
    order = reading.order()
    reading.finish(check_files=check_files)
    if reading.n_rows == 0:
        raise TableError(f"{opened.label} has no specs; give at least one row")
    table = reading.table()
    if order is not None:
        table = table.take(order)
    table = _addressed(table, model, folders)
    pa.default_memory_pool().release_unused()
    specs = SpecTable(table, model, opened.label, opened, order, reading.spill)
    if check_files:
        specs.check_files()
    return specs


class _Reading:
    """Gathers settled chunks; from the first error on, of each of them only which files it names."""

    def __init__(
        self,
        source: Source,
        model: type[ExperimentInputSpec],
        names: dict[str, str],
        report: Report,
        named: Addresses,
    ) -> None:
        self.n_rows = 0
        self._files = named
        self._file_fields = file_fields(model)
        self._source = source
        self._names = names
        self._report = report
        self._fields = Cells(model, explicit=source.explicit)
        self._parts = {part.name: part for part in anatomy(model).parts}
        self._missing = [
            part.name for part in anatomy(model).parts if part.required and part.name not in names.values()
        ]
        self._hooked = anatomy(model).hooked
        self._schema = arrow_schema(model)
        self._extends = bool(set(names.values()) - set(self._parts) - {layout.SORT_INDEX})
        self.spill: Spill | None = None
        self._pieces: list[dict[str, Column]] = []
        self._weight = 0
        self._indexes: list[Column] = []

    def add(self, chunk: Chunk, n: int) -> None:
        """Check some rows."""
        known = {name: self._cells(name, chunk[found]) for found, name in self._names.items()}
        first, self.n_rows = self.n_rows, self.n_rows + n
        if self._hooked and self._missing:
            return  # each row would say again what the columns say
        settled = self._settle(known, n)
        for row, problem in sorted(settled.problems, key=lambda one: one[0]):
            if problem.field not in self._missing:
                self._report.add(first + row, self._worded(first + row, problem))
        if layout.SORT_INDEX in settled.columns:
            self._indexes.append(settled.columns.pop(layout.SORT_INDEX))
        extra = {name: cells for name, cells in known.items() if name not in self._parts and name != layout.SORT_INDEX}
        self._pieces.append({**settled.columns, **{name: _as_column(cells) for name, cells in extra.items()}})
        if not self._report.clean:
            self._keep_files()
        elif not self._hooked and not self._extends:
            self._weight += sum(column.nbytes for column in self._pieces[-1].values())
            if self._weight > SPILL_BYTES:
                self._spill_pieces()

    def _spill_pieces(self) -> None:
        """Put the rows that are there on the disk, and remember only which files they name."""
        with self._on_disk():
            self.spill = self.spill or Spill(self._schema)
            for piece in self._pieces:
                self.spill.add(piece)
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
        """Raise what was found, with the files that rows name in vain."""
        if check_files and not self._report.clean:
            self._keep_files()
            self._files.check(self._report)
        self._report.finish()

    def _keep_files(self) -> None:
        """Of the rows that are there, only the files they name: they are on the disk, or the table will not be made."""
        first = self.n_rows - sum(len(next(iter(piece.values()))) for piece in self._pieces if piece)
        for piece in self._pieces:
            for name in self._file_fields:
                if name in piece:
                    self._files.add(name, piece[name], first)
            first += len(next(iter(piece.values()))) if piece else 0
        self._pieces.clear()

    def _worded(self, row: int, problem: Problem) -> Problem | Empty:
        if problem.rule != EMPTY:
            return problem
        found = {name: column for column, name in self._names.items()}
        return Empty(problem, self._source, row, found.get(problem.field, problem.field))

    def _settle(self, chunk: Chunk, n: int) -> Settled:
        if not self._hooked:
            return self._fields.settle(chunk, n)
        return by_model(self._fields, chunk) if self._source.explicit else by_row(self._fields, chunk, n)

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
        twins = sorted((order[at + 1].as_py(), order[at].as_py()) for at in pc.indices_nonzero(same).to_pylist())
        for later, earlier in twins:
            self._report.add(later, Twin(index[later].as_py(), self._source, earlier))
        return order

    def table(self) -> pa.Table:
        """The checked rows, in the source's order."""
        index = self._indexes[0] if self._indexes else _counted(self.n_rows)
        if self.spill is not None:
            self._spill_pieces()
            with self._on_disk():
                spilled = self.spill.table()
            fields = [pa.field(layout.SORT_INDEX, pa.int64(), nullable=False), *self._schema]
            return pa.table([index, *spilled.columns], schema=pa.schema(fields))
        columns: dict[str, Column] = {}
        for name in list(self._pieces[0]):
            columns[name] = _joined([piece.pop(name) for piece in self._pieces])
        given = columns.pop(GIVEN, None)
        fields = [pa.field(layout.SORT_INDEX, pa.int64(), nullable=False), *self._schema]
        fields += [pa.field(name, columns[name].type, metadata=_EXTRA) for name in columns if name not in self._parts]
        arrays: list[Column] = [index, *(columns[f.name] for f in fields[1:])]
        if given is not None:
            fields.append(pa.field(GIVEN, given.type))
            arrays.append(given)
        return pa.table(arrays, schema=pa.schema(fields))

    def _cells(self, name: str, cells: Column | list[Any]) -> Column | list[Any]:
        part = self._parts.get(name)
        if not self._source.empty_is_null or (part is not None and part.takes_text) or isinstance(cells, list):
            return cells
        if part is None and name != layout.SORT_INDEX:
            return cells
        return pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)


def _counted(n: int) -> Column:
    return pl.int_range(n, dtype=pl.Int64, eager=True).to_arrow()


def _limited(chunks: Iterator[Chunk], limit: int | None) -> Iterator[tuple[Chunk, int]]:
    left = limit
    for chunk in chunks:
        n = len(next(iter(chunk.values()))) if chunk else 0
        if left is None:
            yield chunk, n
            continue
        n = min(n, left)
        yield {name: cells[:n] for name, cells in chunk.items()}, n
        left -= n
        if left == 0:
            return


def _refuse_other_models(source: Any, model: type[ExperimentInputSpec]) -> None:
    for row, spec in enumerate(source) if isinstance(source, list | tuple) else ():
        if isinstance(spec, BaseModel) and not isinstance(spec, model):
            raise TableError(f"specs row {row}  is a {type(spec).__name__}, and the experiment takes {model.__name__}")


def _as_column(cells: Column | list[Any]) -> Column:
    """A column that is no field's, as it is."""
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


def _addressed(table: pa.Table, model: type[ExperimentInputSpec], folders: list[Path]) -> pa.Table:
    """File fields with absolute local paths."""
    for name in file_fields(model):
        place = table.column_names.index(name)
        column: Column = table[name].combine_chunks()
        coded = column.dictionary_encode()
        known = [absolute(address, folders) for address in coded.dictionary.to_pylist()]
        found: Column = pa.array(known, pa.string()).take(coded.indices)
        table = table.set_column(place, table.schema.field(name), found)
    return table

"""The validated specs table.

Input: what `read_specs` checked. Output: Arrow columns that hold exactly what pydantic makes of each row, sorted by
`sort_index`, the place of each row in what the user gave, and the files that the rows name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from scythe_cli.columns.checks import pc
from scythe_cli.core.validation_errors import Problem
from scythe_cli.experiment.field_kinds import file_fields, index_columns, path_fields
from scythe_cli.experiment.field_types import PATH, SHIP
from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.spec_table.file_check import ReferencedFiles
from scythe_cli.spec_table.report import TableReport
from scythe_cli.storage import references

if TYPE_CHECKING:
    from scythe_cli.columns.checks import Column
    from scythe_cli.columns.disk_table import DiskTable
    from scythe_cli.spec_table.sources import SpecSource
    from scythe_cli.storage.cache import Remote

EXTRA = {b"scythe": b"extra"}
"""Metadata of a column that the model takes but has no field for."""


@dataclass
class SpecTable:
    """Validated specs.

    Attributes:
        table: `sort_index` (int64), the user's fields in the model's order with the types of `arrow_schema(model)`,
            columns that the model takes besides its fields, and `rows.RAW_INPUT` where the model runs the user's code.
        model: the input model.
        name: what messages call the table.
        heads: size and version of each file that the table names, once they were checked.
    """

    table: pa.Table
    model: type[ExperimentInputSpec]
    name: str
    _source: SpecSource = field(repr=False)
    _order: Column | None = field(default=None, repr=False)
    _disk: DiskTable | None = field(default=None, repr=False)
    heads: dict[str, Remote] = field(default_factory=dict, repr=False)

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
        """The index columns that the model takes besides its fields."""
        return tuple(f.name for f in self.table.schema if f.metadata == EXTRA and not pa.types.is_nested(f.type))

    def sampled(self, n: int, seed: int) -> SpecTable:
        """`n` specs at random, in their order and with their sort_index; all of them where there are no more."""
        if n >= self.rows:
            return self
        picked = np.sort(np.random.default_rng(seed).choice(self.rows, n, replace=False))
        rows: Column = pa.array(picked)
        order = rows if self._order is None else self._order.take(picked)
        return SpecTable(self.table.take(picked), self.model, self.name, self._source, order)

    def release(self) -> None:
        """Drop the rows, which are in the store now: the memory of a run must not grow with its specs."""
        self.table, self._disk = self.table.schema.empty_table(), None
        self.__dict__.pop("references", None)
        pa.default_memory_pool().release_unused()

    def drop_pages(self) -> None:
        """Free the memory of rows that were read and wait on the disk."""
        if self._disk is not None:
            self._disk.drop_pages()

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
        """Check that the files exist that the table names.

        Raises:
            InputFileError: some do not, all in one report.
            StoreError: as far as the servers answered, they do.
            TableError: a field of type `Path` names a file that would not go with the run.
        """
        self._check_paths()
        found = references.probe(chain.from_iterable(self.references.values()))
        self.heads = {address: one for address, one in found.items() if not isinstance(one, references.FileProblem)}
        if len(self.heads) == len(found):
            return
        named = ReferencedFiles([Path()])
        for name in file_fields(self.model):
            column: Column = self.table[name].combine_chunks()
            named.add(name, column if self._order is None else column.take(pc.array_sort_indices(self._order)))
        report = TableReport(self._source)
        named.check(report, found)
        report.finish()

    @property
    def notes(self) -> list[str]:
        """What the user should know of the specs: files that do not go with the run."""
        there = [name for name in path_fields(self.model) if self.table[name].null_count < self.rows]
        return [f"{name}: the files of these paths do not go with the run; {SHIP}" for name in there]

    def _check_paths(self) -> None:
        """The function runs in another folder: a relative `Path` means nothing there."""
        report = TableReport(self._source)
        for name in path_fields(self.model):
            column: Column = self.table[name].combine_chunks()
            relative = [
                path for path in pc.unique(column).to_pylist() if path is not None and not Path(path).is_absolute()
            ]
            for row in pc.indices_nonzero(pc.is_in(column, value_set=pa.array(relative, pa.string()))).to_pylist():
                place = row if self._order is None else self._order[row].as_py()
                report.add(place, Problem(name, column[row].as_py(), PATH))
        report.finish()

"""The cells of one chunk of rows, settled: each is a value of its field, or a problem.

Takes raw columns; leaves typed ones, equal to what pydantic makes of them. A column goes through at once, and only
cells in doubt go through pydantic, each distinct one once. For models in which only a field's own value decides.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from scythe_cli.columns.checks import certain, keep, pc
from scythe_cli.columns.model_fields import Anatomy, anatomy
from scythe_cli.columns.rows import as_input
from scythe_cli.columns.schema import ZONE, ZONE_OF_TIME, ColumnError, arrow_schema, has_zone, to_column
from scythe_cli.core.validation_errors import NOTHING, Problem, model_errors
from scythe_cli.errors import TableError
from scythe_cli.spec_table.parse_text import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scythe_cli.columns.checks import Column
    from scythe_cli.columns.model_fields import Part
    from scythe_cli.spec_table.sources import Chunk

EMPTY = "is empty, and needs a value"
NUMBER = (
    "is a number, which stands for seconds in UTC: write a date and time such as 2026-01-31T12:00:00, "
    "or annotate the field AwareDatetime"
)
NUMBER_FOR_TIME = "is a number, which stands for seconds in UTC: write a time such as 12:00:00"
_REMEMBERED = 50_000
"""Distinct texts of a column whose values are kept for the next chunk."""
_SORT_INDEX = pa.field("sort_index", pa.int64(), nullable=False)
_BUILTIN: dict[type, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    dt.date: pa.date32(),
}


@dataclass
class Settled:
    """A chunk after validation.

    Attributes:
        columns: typed; null where a problem is.
        problems: by row of the chunk.
    """

    columns: dict[str, Column] = field(default_factory=dict)
    problems: list[tuple[int, Problem]] = field(default_factory=list)


class Cells:
    """Settles the fields of chunk after chunk of one source, each for itself.

    Args:
        model: the input model.
        explicit: whether None was written by someone, and stands for itself.
    """

    def __init__(self, model: type[BaseModel], *, explicit: bool) -> None:
        self.model = model
        self.body: Anatomy = anatomy(model)
        self._schema = arrow_schema(model)
        self._explicit = explicit
        self._known: dict[str, dict[str, Any]] = {}

    def settle(self, chunk: Chunk, n: int) -> Settled:
        """The chunk's `n` rows; `sort_index` is among the columns when it is among the chunk's."""
        settled = Settled()
        parts = {part.name: part for part in self.parts(chunk) if part.name in chunk or not part.required}
        raws = {name: _as_array(chunk[name]) if name in chunk else pa.nulls(n) for name in parts}
        texts = {name: raw for name, raw in raws.items() if isinstance(raw, pa.StringArray)}
        typed = parse(texts, parts)
        for name, part in parts.items():
            wanted = self._field(name)
            source = typed.get(name) if name in texts else raws[name]
            sure = None
            if isinstance(source, pa.Array) and source.null_count < n:
                sure = certain(source, part, self.body.config, wanted.type)
            settled.columns[name] = self.column(part, raws[name], sure, settled)
        return settled

    def column(self, part: Part, raw: Column, sure: Column | None, settled: Settled) -> Column:
        """One column: certain values, then the doubtful ones, then the empty cells."""
        wanted = self._field(part.name)
        if isinstance(raw, list):
            column = self._one_by_one(part, raw, range(len(raw)), settled)
            empty = pa.array([cell is None for cell in raw], pa.bool_())
        else:
            empty = pc.is_null(raw)
            doubtful = pc.is_valid(raw) if sure is None else pc.and_(pc.is_valid(raw), pc.is_null(sure))
            column = sure if sure is not None else pa.nulls(len(raw), wanted.type)
            if pc.any(doubtful).as_py():
                column = _merge(doubtful, self._doubtful(part, keep(raw, doubtful), settled), column)
        return self._fill(part, column, empty, settled) if pc.any(empty).as_py() else column

    def _doubtful(self, part: Part, raw: Column, settled: Settled) -> Column:
        """The cells that are not null, through pydantic; each distinct one once where arrow can tell them apart."""
        try:
            coded = raw.dictionary_encode()
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            cells = raw.to_pylist()
            return self._one_by_one(part, cells, [at for at, cell in enumerate(cells) if cell is not None], settled)
        values: list[Any] = []
        wrong: dict[int, Problem] = {}
        for code, cell in enumerate(coded.dictionary.to_pylist()):
            value = self._remembered(part, cell)
            if isinstance(value, Problem):
                wrong[code] = value
            values.append(None if isinstance(value, Problem) else value)
        column = self.typed(part, values, wrong)
        if wrong:
            bad = pc.is_in(coded.indices, value_set=pa.array(list(wrong), coded.indices.type))
            rows = pc.indices_nonzero(bad).to_pylist()
            codes = coded.indices.take(pa.array(rows, pa.int64())).to_pylist()
            settled.problems += [(row, wrong[code]) for row, code in zip(rows, codes, strict=True)]
        return column.take(coded.indices)

    def _one_by_one(self, part: Part, cells: list[Any], rows: Sequence[int], settled: Settled) -> Column:
        values: list[Any] = [None] * len(cells)
        wrong: dict[int, Problem] = {}
        for row in rows:
            if cells[row] is not None:
                value = self._value(part, cells[row])
                if isinstance(value, Problem):
                    wrong[row] = value
                else:
                    values[row] = value
        column = self.typed(part, values, wrong)
        settled.problems += wrong.items()
        return column

    def typed(self, part: Part, values: list[Any], wrong: dict[int, Problem]) -> Column:
        """Values as a column; what does not fit it becomes a problem."""
        wanted = self._field(part.name).with_nullable(True)
        try:
            return to_column(values, wanted)
        except ColumnError:
            pass
        kept = list(values)
        for at, value in enumerate(values):
            try:
                to_column([value], wanted)
            except ColumnError as exc:
                wrong[at] = Problem(part.name, value, str(exc))
                kept[at] = None
        return to_column(kept, wanted)

    def _remembered(self, part: Part, cell: Any) -> Any:
        if not isinstance(cell, str):
            return self._value(part, cell)
        known = self._known.setdefault(part.name, {})
        if cell not in known:
            if len(known) >= _REMEMBERED:
                return self._value(part, cell)
            known[cell] = self._value(part, cell)
        return known[cell]

    def _value(self, part: Part, cell: Any) -> Any:
        """What pydantic makes of one cell, or the problem it has with it."""
        given = as_input(part, cell)
        try:
            value = part.validator.validate_python(given, strict=False)
        except ValidationError as exc:
            problems = model_errors(exc, inside=part.name)
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            rule = problems[0].rule + more
            if isinstance(given, str) and part.takes_json:
                rule += "; in a cell of text, write it as JSON"
            inner = problems[0].field != part.name
            return Problem(problems[0].field, problems[0].value if inner else cell, rule)
        kind = self._field(part.name).type
        if not pa.types.is_nested(kind) and has_zone(value, kind):
            clock = pa.types.is_time(kind)
            zone, number = (ZONE_OF_TIME, NUMBER_FOR_TIME) if clock else (ZONE, NUMBER)
            return Problem(part.name, cell, number if _is_number(cell) else zone)
        return value

    def _fill(self, part: Part, column: Column, empty: Column, settled: Settled) -> Column:
        """The empty cells: None, the default, or a problem."""
        if part.nullable and (part.required or self._explicit):
            return column
        if part.required or (self._explicit and part.info.default is not None):
            settled.problems += [
                (row, Problem(part.name, NOTHING, EMPTY)) for row in pc.indices_nonzero(empty).to_pylist()
            ]
            return column
        if part.info.default_factory is None:
            values = [part.info.get_default(call_default_factory=False)]
            if values == [None]:
                return column
            places = pc.if_else(empty, len(column), pa.array(range(len(column)), pa.int64()))
        else:
            rows = pc.indices_nonzero(empty).to_pylist()
            values = [part.info.get_default(call_default_factory=True) for _ in rows]
            moved = dict(zip(rows, range(len(column), len(column) + len(rows)), strict=True))
            places = pa.array([moved.get(row, row) for row in range(len(column))], pa.int64())
        wrong: dict[int, Problem] = {}
        defaults = self.typed(part, values, wrong)
        if wrong:
            raise TableError(f"{self.model.__name__}: the default of {next(iter(wrong.values()))}")
        return pa.concat_arrays([column, defaults]).take(places)

    def parts(self, chunk: Chunk) -> list[Part]:
        """The fields, with `sort_index` in front when the chunk has it."""
        own = self.body.sort_index
        parts = list(self.body.parts)
        return [own, *parts] if own is not None and own.name in chunk else parts

    def _field(self, name: str) -> pa.Field[Any]:
        return _SORT_INDEX if name == _SORT_INDEX.name else self._schema.field(name)


def _is_number(cell: object) -> bool:
    """Whether a cell that pydantic made a moment of is a number of seconds, or the text of one."""
    if not isinstance(cell, str):
        return not isinstance(cell, dt.datetime | dt.time)
    return ":" not in cell


def _as_array(cells: Column | list[Any]) -> Column:
    """Python cells of one builtin type as a column, others as they are."""
    if not isinstance(cells, list):
        return cells
    kinds = set(map(type, cells)) - {type(None)}
    kind = _BUILTIN.get(kinds.pop()) if len(kinds) == 1 else None
    try:
        return cells if kind is None else pa.array(cells, kind)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return cells


def _merge(mask: Column, ours: Column, others: Column) -> Column:
    if not pa.types.is_nested(ours.type):
        return pc.if_else(mask, ours, others)
    n = len(mask)
    places = pc.if_else(mask, pa.array(range(n), pa.int64()), pa.array(range(n, 2 * n), pa.int64()))
    return pa.concat_arrays([ours, others]).take(places)

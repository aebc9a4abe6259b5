"""Validate the cells of one chunk of rows: each is a value of its field, or a problem.

Input: raw columns. Output: typed columns, equal to what pydantic makes of them. A whole column is checked at once;
pydantic checks only the cells that this leaves in doubt, each distinct one once. For models in which a field's own
value decides alone.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from scythe_cli.columns.checks import keep, pc, surely_valid
from scythe_cli.columns.column_values import NANOSECONDS, ZONE, ZONE_OF_TIME, ColumnError, as_cell, has_zone, to_column
from scythe_cli.columns.model_fields import ModelFields, read_fields
from scythe_cli.columns.rows import as_input
from scythe_cli.columns.schema import arrow_schema, is_json
from scythe_cli.core.validation_errors import NOTHING, Problem, model_errors
from scythe_cli.errors import TableError
from scythe_cli.experiment.plain_values import UnsupportedValue, is_same
from scythe_cli.spec_table.cell_text import number_rule
from scythe_cli.spec_table.parse_text import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scythe_cli.columns.checks import Column
    from scythe_cli.columns.model_fields import FieldSchema
    from scythe_cli.spec_table.sources import Chunk

NOT_REPEATABLE = "cannot be made again in another process: validating its own values again fails or changes them"
EMPTY = "is empty, and needs a value"
NUMBER = (
    "is a number, which stands for seconds in UTC: write a date and time such as 2026-01-31T12:00:00, "
    "or annotate the field AwareDatetime"
)
NUMBER_FOR_TIME = "is a number, which stands for seconds in UTC: write a time such as 12:00:00"
NUMBER_RULES = {ZONE: NUMBER, ZONE_OF_TIME: NUMBER_FOR_TIME}
"""By the rule about a time zone, the rule where the cell is a number and has none."""
REPEATED = 3
"""Rows of a source that are validated a second time, where the user's code runs: it must give the same again."""
_REMEMBERED = 50_000
"""Distinct texts of a column whose values are kept for the next chunk."""
_NANOSECONDS = re.compile(r"[:T][^:T]*[.,]\d{6}\d*[1-9]")
"""In the text of a moment or a duration; pydantic would cut it."""
_SORT_INDEX = pa.field("sort_index", pa.int64(), nullable=False)
_BUILTIN: dict[type, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    dt.date: pa.date32(),
}


Nulls = dict[str, frozenset[int]]
"""By field, the rows of a chunk whose null is a value, and not an empty cell."""


@dataclass
class ValidatedChunk:
    """A chunk after validation.

    Attributes:
        columns: typed; null where a problem is.
        problems: by row of the chunk.
    """

    columns: dict[str, Column] = dataclasses.field(default_factory=dict)
    problems: list[tuple[int, Problem]] = dataclasses.field(default_factory=list)


class CellValidator:
    """Validates the fields of chunk after chunk of one source, each for itself.

    Attributes:
        rows_to_repeat: rows that are still to be validated a second time, where the user's code runs.

    Args:
        model: the input model.
        none_is_explicit: whether somebody wrote None, and it is a value.
    """

    def __init__(self, model: type[BaseModel], *, none_is_explicit: bool) -> None:
        self.model = model
        self.schema: ModelFields = read_fields(model)
        self._schema = arrow_schema(model)
        self._none_is_explicit = none_is_explicit
        self._known: dict[str, dict[str, Any]] = {}
        self.rows_to_repeat = REPEATED

    def validate_chunk(self, chunk: Chunk, n: int, nulls: Nulls) -> ValidatedChunk:
        """The chunk's `n` rows; `sort_index` is among the columns when it is among the chunk's.

        Args:
            chunk: raw columns.
            n: its rows.
            nulls: by field, the rows whose null is a value.
        """
        validated = ValidatedChunk()
        fields = {field.name: field for field in self.fields(chunk) if field.name in chunk or not field.required}
        raws = {name: _as_array(chunk[name]) if name in chunk else pa.nulls(n) for name in fields}
        texts = {name: raw for name, raw in raws.items() if isinstance(raw, pa.StringArray)}
        typed = parse(texts, fields)
        for name, field in fields.items():
            wanted = self._field(name)
            source = typed.get(name) if name in texts else raws[name]
            valid = None
            if isinstance(source, pa.Array) and source.null_count < n:
                valid = surely_valid(source, field, self.schema.config, wanted.type)
            validated.columns[name] = self.column(field, raws[name], valid, validated, nulls=nulls.get(name))
        return validated

    def column(
        self,
        field: FieldSchema,
        raw: Column,
        valid: Column | None,
        validated: ValidatedChunk,
        *,
        nulls: frozenset[int] | None = None,
    ) -> Column:
        """One column: certain values, then the needs_pydantic ones, then the empty cells."""
        wanted = self._field(field.name)
        if isinstance(raw, list):
            column = self._one_by_one(field, raw, range(len(raw)), validated)
            empty = pa.array([cell is None for cell in raw], pa.bool_())
        else:
            empty = pc.is_null(raw)
            needs_pydantic = pc.is_valid(raw) if valid is None else pc.and_(pc.is_valid(raw), pc.is_null(valid))
            column = valid if valid is not None else pa.nulls(len(raw), wanted.type)
            if pc.any(needs_pydantic).as_py():
                column = _merge(needs_pydantic, self._by_pydantic(field, keep(raw, needs_pydantic), validated), column)
        if nulls:
            empty = pa.array([cell and at not in nulls for at, cell in enumerate(empty.to_pylist())], pa.bool_())
        return self._fill(field, column, empty, validated) if pc.any(empty).as_py() else column

    def _by_pydantic(self, field: FieldSchema, raw: Column, validated: ValidatedChunk) -> Column:
        """Validate the cells that are not null with pydantic; each distinct one once where arrow can compare them."""
        try:
            coded = raw.dictionary_encode()
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            cells = raw.to_pylist()
            return self._one_by_one(field, cells, [at for at, cell in enumerate(cells) if cell is not None], validated)
        values: list[Any] = []
        wrong: dict[int, Problem] = {}
        for code, cell in enumerate(coded.dictionary.to_pylist()):
            value = self._remembered(field, cell)
            if isinstance(value, Problem):
                wrong[code] = value
            values.append(None if isinstance(value, Problem) else value)
        column = self.typed(field, values, wrong)
        if wrong:
            bad = pc.is_in(coded.indices, value_set=pa.array(list(wrong), coded.indices.type))
            rows = pc.indices_nonzero(bad).to_pylist()
            codes = coded.indices.take(pa.array(rows, pa.int64())).to_pylist()
            validated.problems += [(row, wrong[code]) for row, code in zip(rows, codes, strict=True)]
        return column.take(coded.indices)

    def _one_by_one(
        self, field: FieldSchema, cells: list[Any], rows: Sequence[int], validated: ValidatedChunk
    ) -> Column:
        values: list[Any] = [None] * len(cells)
        wrong: dict[int, Problem] = {}
        for row in rows:
            if cells[row] is not None:
                value = self._value(field, cells[row])
                if isinstance(value, Problem):
                    wrong[row] = value
                else:
                    values[row] = value
        column = self.typed(field, values, wrong)
        validated.problems += wrong.items()
        return column

    def typed(self, field: FieldSchema, values: list[Any], wrong: dict[int, Problem]) -> Column:
        """Values as a column; what does not fit it becomes a problem."""
        wanted = self._field(field.name).with_nullable(True)
        try:
            return to_column(values, wanted)
        except ColumnError:
            pass
        kept = list(values)
        for at, value in enumerate(values):
            try:
                to_column([value], wanted)
            except ColumnError as exc:
                wrong[at] = Problem(field.name, value, str(exc))
                kept[at] = None
        return to_column(kept, wanted)

    def _remembered(self, field: FieldSchema, cell: Any) -> Any:
        if not isinstance(cell, str):
            return self._value(field, cell)
        known = self._known.setdefault(field.name, {})
        if cell not in known:
            if len(known) >= _REMEMBERED:
                return self._value(field, cell)
            known[cell] = self._value(field, cell)
        return known[cell]

    def _value(self, field: FieldSchema, cell: Any) -> Any:
        """What pydantic makes of one cell, or the problem it has with it."""
        given = as_input(field, cell)
        try:
            value = field.validator.validate_python(given, strict=False)
        except ValidationError as exc:
            problems = model_errors(exc, inside=field.name)
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            rule = problems[0].rule + more
            if isinstance(given, str) and field.takes_json:
                rule += "; in a cell of text, write it as JSON"
            inner = problems[0].field != field.name
            return Problem(problems[0].field, problems[0].value if inner else cell, rule)
        if isinstance(cell, str) and (wrong := self.text_rule(field, cell, value)):
            return Problem(field.name, cell, wrong)
        if field.is_exotic and not self.schema.has_custom_validation and not self._comes_back(field, value):
            return Problem(field.name, cell, NOT_REPEATABLE)
        kind = self._field(field.name).type
        if not pa.types.is_nested(kind) and has_zone(value, kind):
            zone = ZONE_OF_TIME if pa.types.is_time(kind) else ZONE
            return Problem(field.name, cell, NUMBER_RULES[zone] if is_seconds(cell) else zone)
        return value

    def has_text_rule(self, field: FieldSchema) -> bool:
        """Whether `text_rule` may refuse a text."""
        return field.is_number or pa.types.is_temporal(self._field(field.name).type)

    def text_rule(self, field: FieldSchema, cell: str, value: Any) -> str | None:
        """Why a text is refused that pydantic takes for `value`: Python alone reads it so, or a part of it is lost."""
        if field.is_number:
            return number_rule(cell, value)
        return NANOSECONDS if self.has_text_rule(field) and _NANOSECONDS.search(cell) else None

    def _comes_back(self, field: FieldSchema, value: Any) -> bool:
        """Whether another process makes the same value of what the column holds."""
        wanted = self._field(field.name)
        try:
            kept = as_cell(value, wanted)
            again = field.validator.validate_python(from_json(kept) if is_json(wanted) else kept, strict=False)
        except UnsupportedValue:
            return True  # that no column holds it is the better message, see `typed`
        except ValidationError:
            return False
        return is_same(value, again)

    def _fill(self, field: FieldSchema, column: Column, empty: Column, validated: ValidatedChunk) -> Column:
        """The empty cells: None, the default, or a problem."""
        if field.nullable and (field.required or self._none_is_explicit):
            return column
        if field.required or (self._none_is_explicit and field.info.default is not None):
            validated.problems += [
                (row, Problem(field.name, NOTHING, EMPTY)) for row in pc.indices_nonzero(empty).to_pylist()
            ]
            return column
        if field.info.default_factory is None:
            values = [field.info.get_default(call_default_factory=False)]
            if values == [None]:
                return column
            places = pc.if_else(empty, len(column), pa.array(range(len(column)), pa.int64()))
        else:
            rows = pc.indices_nonzero(empty).to_pylist()
            values = [field.info.get_default(call_default_factory=True) for _ in rows]
            moved = dict(zip(rows, range(len(column), len(column) + len(rows)), strict=True))
            places = pa.array([moved.get(row, row) for row in range(len(column))], pa.int64())
        wrong: dict[int, Problem] = {}
        defaults = self.typed(field, values, wrong)
        if wrong:
            raise TableError(f"{self.model.__name__}: the default of {next(iter(wrong.values()))}")
        return pa.concat_arrays([column, defaults]).take(places)

    def fields(self, chunk: Chunk) -> list[FieldSchema]:
        """The fields, with `sort_index` in front when the chunk has it."""
        own = self.schema.sort_index
        fields = list(self.schema.fields)
        return [own, *fields] if own is not None and own.name in chunk else fields

    def _field(self, name: str) -> pa.Field[Any]:
        return _SORT_INDEX if name == _SORT_INDEX.name else self._schema.field(name)


def is_seconds(cell: object) -> bool:
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

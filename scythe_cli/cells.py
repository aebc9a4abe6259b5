"""The cells of one chunk of rows, settled: each is a value of its field, or a problem.

Takes raw columns; leaves typed ones, equal to what pydantic makes of each row. Where nothing of the user's runs, a
column goes through at once, and only cells in doubt go through pydantic, each distinct one once. Else each row does.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from scythe_cli.anatomy import Anatomy, anatomy
from scythe_cli.columns import certain, keep, pc
from scythe_cli.errors import TableError
from scythe_cli.rows import GIVEN, as_input, as_row, carry, typed_rows
from scythe_cli.rules import NOTHING, Problem, model_errors
from scythe_cli.schema import ColumnError, arrow_schema, to_column, to_plain
from scythe_cli.texts import parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scythe_cli.anatomy import Part
    from scythe_cli.columns import Column
    from scythe_cli.sources import Chunk

_EMPTY = "is empty, and needs a value"
_REMEMBERED = 50_000
"""Distinct texts of a column whose values are kept for the next chunk."""
_NAIVE = (pa.timestamp("us"), pa.time64("us"))
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


class Checker:
    """Settles chunk after chunk of one source.

    Args:
        model: the input model.
        columns: the names the source has, of fields and others the model takes.
        explicit: whether None was written by someone, and stands for itself.
    """

    def __init__(self, model: type[BaseModel], columns: Sequence[str], *, explicit: bool) -> None:
        self._model = model
        self._body: Anatomy = anatomy(model)
        self._schema = arrow_schema(model)
        self._columns = set(columns)
        self._explicit = explicit
        self._known: dict[str, dict[str, Any]] = {}

    def settle(self, chunk: Chunk, n: int) -> Settled:
        """The chunk's `n` rows; `sort_index` is among the columns when it is among the chunk's."""
        if not self._body.hooked:
            return self._by_column(chunk, n)
        if self._explicit:
            return self._by_model(chunk)
        return self._by_row(chunk, n)

    def _by_column(self, chunk: Chunk, n: int) -> Settled:
        """Each field for itself: nothing but its own value decides."""
        settled = Settled()
        parts = {part.name: part for part in self._parts(chunk) if part.name in chunk or not part.required}
        raws = {name: _as_array(chunk[name]) if name in chunk else pa.nulls(n) for name in parts}
        texts = {name: raw for name, raw in raws.items() if isinstance(raw, pa.StringArray)}
        typed = parse(texts, parts)
        for name, part in parts.items():
            wanted = self._field(name)
            source = typed.get(name) if name in texts else raws[name]
            sure = None
            if isinstance(source, pa.Array) and source.null_count < n:
                sure = certain(source, part, self._body.config, wanted.type)
            settled.columns[name] = self._column(part, raws[name], sure, settled)
        return settled

    def _column(self, part: Part, raw: Column, sure: Column | None, settled: Settled) -> Column:
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
        column = self._typed(part, values, wrong)
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
        column = self._typed(part, values, wrong)
        settled.problems += wrong.items()
        return column

    def _typed(self, part: Part, values: list[Any], wrong: dict[int, Problem]) -> Column:
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
        if (
            isinstance(value, dt.datetime | dt.time)
            and value.tzinfo is not None
            and self._field(part.name).type in _NAIVE
        ):
            return Problem(part.name, cell, "has a time zone, which the field does not keep: make it an AwareDatetime")
        return value

    def _fill(self, part: Part, column: Column, empty: Column, settled: Settled) -> Column:
        """The empty cells: None, the default, or a problem."""
        if part.nullable and (part.required or self._explicit):
            return column
        if part.required or (self._explicit and part.info.default is not None):
            settled.problems += [
                (row, Problem(part.name, NOTHING, _EMPTY)) for row in pc.indices_nonzero(empty).to_pylist()
            ]
            return column
        if part.info.default_factory is None:
            values = [part.info.get_default(call_default_factory=False)]
            places = pc.if_else(empty, len(column), pa.array(range(len(column)), pa.int64()))
        else:
            rows = pc.indices_nonzero(empty).to_pylist()
            values = [part.info.get_default(call_default_factory=True) for _ in rows]
            moved = dict(zip(rows, range(len(column), len(column) + len(rows)), strict=True))
            places = pa.array([moved.get(row, row) for row in range(len(column))], pa.int64())
        wrong: dict[int, Problem] = {}
        defaults = self._typed(part, values, wrong)
        if wrong:
            raise TableError(f"{self._model.__name__}: the default of {next(iter(wrong.values()))}")
        return pa.concat_arrays([column, defaults]).take(places)

    def _by_row(self, chunk: Chunk, n: int) -> Settled:
        """Each row through pydantic as a whole, as the user's code wants it."""
        settled = Settled()
        cells = {name: column if isinstance(column, list) else column.to_pylist() for name, column in chunk.items()}
        listed = any(isinstance(column, list) for column in chunk.values())
        rows = [
            as_row(self._body.parts, dict(zip(cells, row, strict=True))) for row in zip(*cells.values(), strict=True)
        ]
        made = [self._instance(at, row, settled) for at, row in enumerate(rows or [{}] * n)]
        self._columns_of(made, chunk, settled)
        if listed:
            settled.columns[GIVEN] = pa.array([_json(row) for row in rows], pa.string())
        elif chunk:
            raw: list[Column] = list(chunk.values())
            settled.columns[GIVEN] = pa.StructArray.from_arrays(raw, names=list(chunk))
        return settled

    def _by_model(self, chunk: Chunk) -> Settled:
        """Instances that someone made: their fields must be sound, and another process must be able to make them."""
        settled = Settled()
        parts = self._parts(chunk)
        keys = {part.name: part.key for part in self._body.parts}
        columns = {part.name: self._column(part, list(chunk[part.name]), None, settled) for part in parts}
        settled.columns = columns
        wrong = {row for row, _ in settled.problems}
        names = [part.name for part in parts]
        extra = [name for name in chunk if name not in names]
        table = pa.table(settled.columns)
        given: list[str | None] = []
        for at, row in enumerate(typed_rows(table, self._model)):
            if at in wrong:
                given.append(None)
                continue
            exact = {keys.get(name, name): chunk[name][at] for name in [*names, *extra]}
            wanted = {name: chunk[name][at] for name in names if name in keys}
            if self._gives(exact, wanted):
                given.append(_json(exact))
                continue
            given.append(None)
            if extra or not _same(carry(self._model, row, {}), wanted):
                why = "cannot be made again in another process: its validators do not take what they gave"
                settled.problems.append((at, Problem("this spec", NOTHING, why)))
        settled.columns[GIVEN] = pa.array(given, pa.string())
        return settled

    def _gives(self, row: dict[str, Any], wanted: dict[str, Any]) -> bool:
        """Whether validating a row once more gives the same values."""
        try:
            again = self._model.model_validate(from_json(_json(row)), strict=False)
        except Exception:  # noqa: BLE001 - validators are the user's code
            return False
        return _same(again, wanted)

    def _instance(self, at: int, row: dict[str, Any], settled: Settled) -> BaseModel | None:
        try:
            return self._model.model_validate(row, strict=False)
        except ValidationError as exc:
            for problem in model_errors(exc):
                empty = problem.value is None and "." not in problem.field
                settled.problems.append((at, Problem(problem.field, NOTHING, _EMPTY) if empty else problem))
        except Exception as exc:  # noqa: BLE001 - validators are the user's code
            why = f"{self._model.__name__} raises {type(exc).__name__}: {exc}"
            settled.problems.append((at, Problem("this row", NOTHING, why)))
        return None

    def _columns_of(self, made: list[BaseModel | None], chunk: Chunk, settled: Settled) -> None:
        for part in self._parts(chunk):
            wrong: dict[int, Problem] = {}
            values = [None if one is None else getattr(one, part.name) for one in made]
            settled.columns[part.name] = self._typed(part, values, wrong)
            settled.problems += wrong.items()

    def _parts(self, chunk: Chunk) -> list[Part]:
        own = self._body.sort_index
        parts = list(self._body.parts)
        return [own, *parts] if own is not None and own.name in chunk else parts

    def _field(self, name: str) -> pa.Field[Any]:
        return _SORT_INDEX if name == _SORT_INDEX.name else self._schema.field(name)


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


def _same(model: BaseModel, wanted: Mapping[str, Any]) -> bool:
    """Whether a model has these values; NaN is itself here."""
    for name, value in wanted.items():
        other = getattr(model, name)
        if type(other) is not type(value) or (other != value and _json({"": other}) != _json({"": value})):
            return False
    return True


def _json(row: dict[str, Any]) -> str:
    return to_json(to_plain(row), inf_nan_mode="constants", fallback=str).decode()

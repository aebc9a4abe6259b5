"""Validate the rows of models that run the user's code: pydantic validates each row as a whole, once.

Input: raw columns of some rows. Output: typed columns, and in `rows.RAW_INPUT` what another process needs to make the
same instances again, without running a validator on its own result.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from scythe_cli.columns.rows import RAW_INPUT, as_input, construct_without_validation, typed_rows
from scythe_cli.core.validation_errors import NOTHING, Problem, model_errors
from scythe_cli.experiment.plain_values import Change, first_change, is_same, to_json_text
from scythe_cli.spec_table.cell_validation import EMPTY, NOT_REPEATABLE, NUMBER_RULES, ValidatedChunk, is_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scythe_cli.columns.checks import Column
    from scythe_cli.columns.model_fields import FieldSchema
    from scythe_cli.spec_table.cell_text import Problems
    from scythe_cli.spec_table.cell_validation import CellValidator, Nulls
    from scythe_cli.spec_table.sources import Chunk


def by_row(cells: CellValidator, chunk: Chunk, n: int, nulls: Nulls) -> ValidatedChunk:
    """The `n` rows of a table."""
    validated = ValidatedChunk()
    with _no_collection():
        rows = _rows(cells, chunk, n, nulls)
        made = [_instance(cells.model, at, row, validated) for at, row in enumerate(rows)]
        for at, one in enumerate(made[: cells.rows_to_repeat]):
            if one is not None and not _is_repeatable(cells, rows[at], one):
                validated.problems.append((at, Problem("this row", NOTHING, NOT_REPEATABLE)))
        cells.rows_to_repeat = max(0, cells.rows_to_repeat - n)
        validated.problems += _text_problems(cells, chunk, made)
        for field in cells.fields(chunk):
            wrong: dict[int, Problem] = {}
            values = [None if one is None else one.__dict__[field.name] for one in made]
            validated.columns[field.name] = cells.typed(field, values, wrong)
            given = chunk.get(field.name)
            validated.problems += (
                (at, problem if given is None else _zoned(given[at], problem)) for at, problem in wrong.items()
            )
    if any(isinstance(column, list) for column in chunk.values()):
        raw_texts = [
            _raw_text(cells, at, row, one, validated) for at, (row, one) in enumerate(zip(rows, made, strict=True))
        ]
        validated.columns[RAW_INPUT] = pa.array(raw_texts, pa.string())
    elif chunk:
        raw: list[Column] = list(chunk.values())
        validated.columns[RAW_INPUT] = pa.StructArray.from_arrays(raw, names=list(chunk))
    return validated


def by_model(cells: CellValidator, chunk: Chunk) -> ValidatedChunk:
    """Instances that someone made: their fields must be valid, and another process must be able to make them again."""
    validated = ValidatedChunk()
    fields = cells.fields(chunk)
    for field in fields:
        validated.columns[field.name] = cells.column(field, list(chunk[field.name]), None, validated)
    wrong = {row for row, _ in validated.problems}
    keys = {field.name: field.key for field in fields}
    extra = chunk.keys() - keys.keys()
    given: list[str | None] = []
    for at, row in enumerate(typed_rows(pa.table(validated.columns), cells.model)):
        given.append(None)
        if at in wrong:
            continue
        exact = {keys.get(name, name): column[at] for name, column in chunk.items()}
        wanted = {name: chunk[name][at] for name in [*keys, *extra]}
        again = _validated(cells.model, exact)
        if again is not None and _same(again, wanted):
            given[at] = to_json_text(exact)
        elif extra or not _is_carried(cells.model, row, wanted):
            validated.problems.append((at, _not_repeatable("this spec", again, wanted)))
    validated.columns[RAW_INPUT] = pa.array(given, pa.string())
    return validated


def _rows(cells: CellValidator, chunk: Chunk, n: int, nulls: Nulls) -> list[dict[str, Any]]:
    """Pydantic's input: cells as their fields read them, and an empty cell takes the default where there is one."""
    fields = {field.name: field for field in cells.schema.fields}
    columns: dict[str, list[Any]] = {}
    defaulted: list[tuple[str, list[int]]] = []
    for name, column in chunk.items():
        values = column if isinstance(column, list) else column.to_pylist()
        field = fields.get(name)
        if field is not None and _is_read(field):
            values = [None if cell is None else as_input(field, cell) for cell in values]
        key = name if field is None else field.key
        columns[key] = values
        if field is not None and not field.required:
            kept = nulls.get(name, frozenset())
            defaulted.append((key, [at for at, cell in enumerate(values) if cell is None and at not in kept]))
    rows = [dict(zip(columns, row)) for row in zip(*columns.values(), strict=True)]  # noqa: B905 - strict costs
    for key, empty in defaulted:
        for at in empty:
            del rows[at][key]
    return rows or [{} for _ in range(n)]


def _is_read(field: FieldSchema) -> bool:
    """Whether `as_input` may change a cell of the field."""
    return field.takes_json or field.takes_both_numbers or any(not isinstance(choice, str) for choice in field.choices)


def _instance(model: type[BaseModel], at: int, row: dict[str, Any], validated: ValidatedChunk) -> BaseModel | None:
    try:
        return model.model_validate(dict(row), strict=False)  # a copy: a validator may change the row
    except ValidationError as exc:
        for problem in model_errors(exc):
            empty = problem.value is None and "." not in problem.field
            validated.problems.append((at, Problem(problem.field, NOTHING, EMPTY) if empty else problem))
    except Exception as exc:  # noqa: BLE001 - validators are the user's code
        why = f"{model.__name__} raises {type(exc).__name__}: {exc}"
        validated.problems.append((at, Problem("this row", NOTHING, why)))
    return None


def _zoned(cell: Any, problem: Problem) -> Problem:
    """A problem with a time zone as a cell alone would have it: pydantic reads a number as seconds in UTC."""
    cell = cell.as_py() if isinstance(cell, pa.Scalar) else cell
    if problem.rule not in NUMBER_RULES or not is_seconds(cell):
        return problem
    return Problem(problem.field, cell, NUMBER_RULES[problem.rule])


def _is_repeatable(cells: CellValidator, row: dict[str, Any], made: BaseModel) -> bool:
    """Whether validating a row again gives the same: no validator makes a random value, or reads a clock."""
    factories = {field.name: field.key for field in cells.schema.fields if field.info.default_factory is not None}
    kept = {key: made.__dict__[name] for name, key in factories.items() if key not in row}  # as `rows` keeps them
    wanted = {field.name: made.__dict__[field.name] for field in cells.schema.fields} | (made.model_extra or {})
    try:
        return _same(cells.model.model_validate({**deepcopy(row), **kept}, strict=False), wanted)
    except Exception:  # noqa: BLE001 - validators are the user's code
        return False


def _text_problems(cells: CellValidator, chunk: Chunk, made: list[BaseModel | None]) -> Problems:
    """The texts that pydantic reads in a way of its own, in rows that are right otherwise."""
    problems = []
    for field in cells.schema.fields:
        if field.name in chunk and cells.has_text_rule(field):
            column = chunk[field.name]
            for at, cell in enumerate(column if isinstance(column, list) else column.to_pylist()):
                if not isinstance(cell, str) or made[at] is None:
                    continue
                if wrong := cells.text_rule(field, cell, getattr(made[at], field.name, None)):
                    problems.append((at, Problem(field.name, cell, wrong)))
    return problems


def _raw_text(
    cells: CellValidator, at: int, row: dict[str, Any], made: BaseModel | None, validated: ValidatedChunk
) -> str | None:
    """A row of Python objects as JSON. A row that JSON changes must give the same values again."""
    if made is None:
        return None
    if not _is_native(row):
        wanted = {field.name: made.__dict__[field.name] for field in cells.schema.fields} | (made.model_extra or {})
        again = _validated(cells.model, row)
        if again is None or not _same(again, wanted):
            validated.problems.append((at, _not_repeatable("this row", again, wanted)))
            return None
    return to_json_text(row)


def _is_native(value: Any) -> bool:
    """Whether a value is the same after it was written as JSON and read."""
    if isinstance(value, dict):
        return all(type(key) is str and _is_native(inner) for key, inner in value.items())
    if type(value) is list:
        return all(map(_is_native, value))
    return value is None or type(value) in {str, int, float, bool}


def _is_carried(model: type[BaseModel], row: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether the typed columns alone give an instance with these values, without the model's validators."""
    try:
        return _same(construct_without_validation(model, row, {}), wanted)
    except ValidationError:
        return False


def _validated(model: type[BaseModel], row: dict[str, Any]) -> BaseModel | None:
    """What validating a row once more gives, after it was JSON; None where it fails."""
    try:
        return model.model_validate(from_json(to_json_text(row)), strict=False)
    except Exception:  # noqa: BLE001 - validators are the user's code
        return None


def _not_repeatable(what: str, again: BaseModel | None, wanted: Mapping[str, Any]) -> Problem:
    """Which part of a spec another process would get with another type; the whole spec where that is not the reason."""
    if again is None:
        return Problem(what, NOTHING, NOT_REPEATABLE)
    for name, value in wanted.items():
        change = first_change(value, getattr(again, name))
        if change is not None and (change.path or name not in type(again).model_fields):
            return Problem(name + change.path, change.value, _changed(change))
    return Problem(what, NOTHING, NOT_REPEATABLE)


def _changed(change: Change) -> str:
    """Why a part of a value is refused, and what to write."""
    kind, other = type(change.value).__name__, type(change.other).__name__
    if kind == other:
        return f"{NOT_REPEATABLE}; write keys and values that JSON has: text and numbers"
    return (
        f"is a {kind}, and another process would get a {other}: give the field a type that has only {kind} there, or "
        f"write a {other}"
    )


def _same(model: BaseModel, wanted: Mapping[str, Any]) -> bool:
    """Whether a model has these values; NaN is itself here."""
    return all(is_same(value, getattr(model, name)) for name, value in wanted.items())


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hundreds of thousands of new objects, none of them garbage, are not worth looking through again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()

"""Validate the rows of models that run the user's code: pydantic validates each row as a whole, once.

Input: raw columns of some rows. Output: typed columns, and in `rows.RAW_INPUT` what another process needs to make the
same instances again, without running a validator on its own result.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from scythe_cli.columns.rows import RAW_INPUT, as_input, construct_without_validation, typed_rows
from scythe_cli.columns.schema import to_plain
from scythe_cli.core.validation_errors import NOTHING, Problem, model_errors
from scythe_cli.spec_table.cell_validation import EMPTY, ValidatedChunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scythe_cli.columns.checks import Column
    from scythe_cli.spec_table.cell_validation import CellValidator
    from scythe_cli.spec_table.sources import Chunk

_NOT_REPEATABLE = "cannot be made again in another process: validating its own values again fails or changes them"


def by_row(cells: CellValidator, chunk: Chunk, n: int) -> ValidatedChunk:
    """The `n` rows of a table."""
    validated = ValidatedChunk()
    with _no_collection():
        rows = _rows(cells, chunk, n)
        made = [_instance(cells.model, at, row, validated) for at, row in enumerate(rows)]
        for field in cells.fields(chunk):
            wrong: dict[int, Problem] = {}
            values = [None if one is None else one.__dict__[field.name] for one in made]
            validated.columns[field.name] = cells.typed(field, values, wrong)
            validated.problems += wrong.items()
    if any(isinstance(column, list) for column in chunk.values()):
        validated.columns[RAW_INPUT] = pa.array([_json(row) for row in rows], pa.string())
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
        wanted = {name: chunk[name][at] for name in keys}
        if _gives(cells.model, exact, wanted):
            given[at] = _json(exact)
        elif extra or not _same(construct_without_validation(cells.model, row, {}), wanted):
            validated.problems.append((at, Problem("this spec", NOTHING, _NOT_REPEATABLE)))
    validated.columns[RAW_INPUT] = pa.array(given, pa.string())
    return validated


def _rows(cells: CellValidator, chunk: Chunk, n: int) -> list[dict[str, Any]]:
    """Pydantic's input: cells as their fields read them, and an empty cell takes the default where there is one."""
    fields = {field.name: field for field in cells.schema.fields}
    columns: dict[str, list[Any]] = {}
    defaulted: list[tuple[str, list[int]]] = []
    for name, column in chunk.items():
        values = column if isinstance(column, list) else column.to_pylist()
        field = fields.get(name)
        if field is not None and (field.takes_json or any(not isinstance(choice, str) for choice in field.choices)):
            values = [None if cell is None else as_input(field, cell) for cell in values]
        key = name if field is None else field.key
        columns[key] = values
        if field is not None and not field.required:
            defaulted.append((key, [at for at, cell in enumerate(values) if cell is None]))
    rows = [dict(zip(columns, row)) for row in zip(*columns.values(), strict=True)]  # noqa: B905 - strict costs
    for key, empty in defaulted:
        for at in empty:
            del rows[at][key]
    return rows or [{} for _ in range(n)]


def _instance(model: type[BaseModel], at: int, row: dict[str, Any], validated: ValidatedChunk) -> BaseModel | None:
    try:
        return model.model_validate(row, strict=False)
    except ValidationError as exc:
        for problem in model_errors(exc):
            empty = problem.value is None and "." not in problem.field
            validated.problems.append((at, Problem(problem.field, NOTHING, EMPTY) if empty else problem))
    except Exception as exc:  # noqa: BLE001 - validators are the user's code
        why = f"{model.__name__} raises {type(exc).__name__}: {exc}"
        validated.problems.append((at, Problem("this row", NOTHING, why)))
    return None


def _gives(model: type[BaseModel], row: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether validating a row once more gives the same values."""
    try:
        again = model.model_validate(from_json(_json(row)), strict=False)
    except Exception:  # noqa: BLE001 - validators are the user's code
        return False
    return _same(again, wanted)


def _same(model: BaseModel, wanted: Mapping[str, Any]) -> bool:
    """Whether a model has these values; NaN is itself here."""
    for name, value in wanted.items():
        other = getattr(model, name)
        if type(other) is not type(value) or (other != value and _json({"": other}) != _json({"": value})):
            return False
    return True


def _json(row: dict[str, Any]) -> str:
    return to_json(to_plain(row), inf_nan_mode="constants", fallback=str).decode()


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

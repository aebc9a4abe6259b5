"""Rows of models that run the user's code: each goes through pydantic as a whole, once.

Takes raw columns of some rows; leaves typed ones, and in `rows.GIVEN` what another process needs to make the same
instances again without running a validator on what it gave.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from scythe_cli.columns.rows import GIVEN, as_input, carry, typed_rows
from scythe_cli.columns.schema import to_plain
from scythe_cli.core.validation_errors import NOTHING, Problem, model_errors
from scythe_cli.spec_table.cell_validation import EMPTY, Settled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scythe_cli.columns.checks import Column
    from scythe_cli.spec_table.cell_validation import Cells
    from scythe_cli.spec_table.sources import Chunk

_FOREVER = "cannot be made again in another process: its validators do not take what they gave"


def by_row(cells: Cells, chunk: Chunk, n: int) -> Settled:
    """The `n` rows of a table."""
    settled = Settled()
    with _no_collection():
        rows = _rows(cells, chunk, n)
        made = [_instance(cells.model, at, row, settled) for at, row in enumerate(rows)]
        for part in cells.parts(chunk):
            wrong: dict[int, Problem] = {}
            values = [None if one is None else one.__dict__[part.name] for one in made]
            settled.columns[part.name] = cells.typed(part, values, wrong)
            settled.problems += wrong.items()
    if any(isinstance(column, list) for column in chunk.values()):
        settled.columns[GIVEN] = pa.array([_json(row) for row in rows], pa.string())
    elif chunk:
        raw: list[Column] = list(chunk.values())
        settled.columns[GIVEN] = pa.StructArray.from_arrays(raw, names=list(chunk))
    return settled


def by_model(cells: Cells, chunk: Chunk) -> Settled:
    """Instances that someone made: their fields must be sound, and another process must be able to make them."""
    settled = Settled()
    parts = cells.parts(chunk)
    for part in parts:
        settled.columns[part.name] = cells.column(part, list(chunk[part.name]), None, settled)
    wrong = {row for row, _ in settled.problems}
    keys = {part.name: part.key for part in parts}
    extra = chunk.keys() - keys.keys()
    given: list[str | None] = []
    for at, row in enumerate(typed_rows(pa.table(settled.columns), cells.model)):
        given.append(None)
        if at in wrong:
            continue
        exact = {keys.get(name, name): column[at] for name, column in chunk.items()}
        wanted = {name: chunk[name][at] for name in keys}
        if _gives(cells.model, exact, wanted):
            given[at] = _json(exact)
        elif extra or not _same(carry(cells.model, row, {}), wanted):
            settled.problems.append((at, Problem("this spec", NOTHING, _FOREVER)))
    settled.columns[GIVEN] = pa.array(given, pa.string())
    return settled


def _rows(cells: Cells, chunk: Chunk, n: int) -> list[dict[str, Any]]:
    """Pydantic's input: cells as their fields read them, and what is empty left to the default where there is one."""
    parts = {part.name: part for part in cells.body.parts}
    columns: dict[str, list[Any]] = {}
    defaulted: list[tuple[str, list[int]]] = []
    for name, column in chunk.items():
        values = column if isinstance(column, list) else column.to_pylist()
        part = parts.get(name)
        if part is not None and (part.takes_json or any(not isinstance(choice, str) for choice in part.choices)):
            values = [None if cell is None else as_input(part, cell) for cell in values]
        key = name if part is None else part.key
        columns[key] = values
        if part is not None and not part.required:
            defaulted.append((key, [at for at, cell in enumerate(values) if cell is None]))
    rows = [dict(zip(columns, row)) for row in zip(*columns.values(), strict=True)]  # noqa: B905 - strict costs
    for key, empty in defaulted:
        for at in empty:
            del rows[at][key]
    return rows or [{} for _ in range(n)]


def _instance(model: type[BaseModel], at: int, row: dict[str, Any], settled: Settled) -> BaseModel | None:
    try:
        return model.model_validate(row, strict=False)
    except ValidationError as exc:
        for problem in model_errors(exc):
            empty = problem.value is None and "." not in problem.field
            settled.problems.append((at, Problem(problem.field, NOTHING, EMPTY) if empty else problem))
    except Exception as exc:  # noqa: BLE001 - validators are the user's code
        why = f"{model.__name__} raises {type(exc).__name__}: {exc}"
        settled.problems.append((at, Problem("this row", NOTHING, why)))
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

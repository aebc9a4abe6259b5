"""Rows of a table as pydantic's input, and as instances of the input model.

Input: cells as a source or the validated table has them. Output: dicts for `model_validate`, or instances equal to
those that pydantic made when the table was validated.
"""

from __future__ import annotations

import re
from collections import deque
from functools import lru_cache, partial
from itertools import repeat
from operator import setitem
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pyarrow as pa
from pydantic import BaseModel, TypeAdapter
from pydantic_core import from_json

from scythe_cli.columns.model_fields import is_plain, read_fields
from scythe_cli.columns.schema import arrow_schema, is_json
from scythe_cli.core import layout
from scythe_cli.experiment.field_kinds import file_fields, user_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scythe_cli.columns.model_fields import FieldSchema

S = TypeVar("S", bound="BaseModel")

_WHOLE = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)
_SLOTS = vars(BaseModel)
RAW_INPUT = "_given"
"""A column of tables whose model runs the user's code: the row before validation, since validating twice may fail.

A struct of the source's cells, or pydantic's input as JSON text. Where it is null, the typed columns are taken as they
are and no validator runs.
"""


def make_specs(table: pa.Table, model: type[S], const: Mapping[str, Any]) -> list[S]:
    """The instances of a table's rows, in its order.

    Args:
        table: rows of a `SpecTable.table`, as a whole or a slice; id columns in it go before `const`, and columns that
            are neither ids nor fields are left out.
        model: the input model.
        const: what all rows share, `experiment_id` and `root_workflow_run_id`.
    """
    if is_plain(model) and set(table.column_names).issuperset(user_fields(model)):
        return _construct_directly(table, model, const)
    return [make() for make in spec_factories(table, model, const)]


def spec_factories(table: pa.Table, model: type[S], const: Mapping[str, Any]) -> Iterator[Callable[[], S]]:
    """A function for each row, which makes the row's instance; it raises when the model refuses the row now.

    For models that are not plain: their validation is the user's code, and its time counts as the spec's.
    """
    rows = typed_rows(table, model)
    if RAW_INPUT not in table.column_names:
        for row in rows:
            yield partial(model.model_validate, {**const, **row}, strict=False)
        return
    fields = read_fields(model).fields
    from_factory = {field.name for field in fields if field.info.default_factory is not None}
    files = set(file_fields(model))  # were copied into the run since
    for row, given in zip(rows, table[RAW_INPUT].to_pylist(), strict=True):
        if given is None:
            yield partial(construct_without_validation, model, row, const)
            continue
        original = from_json(given) if isinstance(given, str) else as_row(fields, given)
        newer = {
            field.key
            for field in fields
            if field.name in files or (field.name in from_factory and field.key not in original)
        }
        now = {key: cell for key, cell in row.items() if key in newer or key in layout.INDEX_HEAD}
        yield partial(model.model_validate, {**const, **original, **now}, strict=False)


def as_input(field: FieldSchema, cell: Any) -> Any:
    """One cell as pydantic takes it: JSON text is read, and text or a whole float may name a number of a Literal."""
    if isinstance(cell, str) and field.takes_json:
        try:
            read = from_json(cell, allow_inf_nan=False)
        except ValueError:
            return cell
        return cell if field.reads_text and not isinstance(read, list | dict) else read
    if field.takes_both_numbers and isinstance(cell, str) and _WHOLE.fullmatch(cell):
        return int(cell)
    if not field.choices or cell in field.choices or not isinstance(cell, str | float):
        return cell
    named = [choice for choice in field.choices if not isinstance(choice, str) and _names(cell, choice)]
    if not named and field.is_flag and _WHOLE.fullmatch(str(cell).removesuffix(".0")):
        return int(cell)  # a combination of members
    return named[0] if named else cell


def as_row(fields: tuple[FieldSchema, ...], cells: Mapping[str, Any]) -> dict[str, Any]:
    """Cells by column name as pydantic's input: an empty cell takes the default where there is one."""
    row = dict(cells)
    for field in fields:
        cell = row.pop(field.name, None)
        if cell is not None:
            row[field.key] = as_input(field, cell)
        elif field.required and field.name in cells:
            row[field.key] = None
    return row


def typed_rows(table: pa.Table, model: type[BaseModel]) -> Iterator[dict[str, Any]]:
    """The rows of a validated table as pydantic's input: None is a value, unless only a default can have left it."""
    schema = arrow_schema(model)
    fields = {field.name: field for field in read_fields(model).fields}
    names = [name for name in table.column_names if name in fields or name in layout.INDEX_HEAD]
    columns = [_cells(table[name], json=name in fields and is_json(schema.field(name))) for name in names]
    keys = [fields[name].key if name in fields else name for name in names]
    defaulted = [name in fields and not fields[name].nullable and not fields[name].required for name in names]
    for cells in zip(*columns, strict=True):
        row = zip(keys, cells, defaulted, strict=True)
        yield {key: cell for key, cell, default in row if cell is not None or not default}


def construct_without_validation(model: type[S], row: Mapping[str, Any], const: Mapping[str, Any]) -> S:
    """An instance with the values of a typed row and no validator of the model's own."""
    fields = {field.key: field for field in read_fields(model).fields}
    typed = {
        fields[key].name: _adapter(cast("Any", fields[key].info.annotation)).validate_python(value, strict=False)
        for key, value in row.items()
        if key in fields
    }
    others = {name: value for name, value in row.items() if name not in fields}
    made = model.model_construct(**{**const, **others, **typed})
    made.__dict__.update(typed)  # a model_post_init may have changed them once more
    return made


@lru_cache(maxsize=256)
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def _names(cell: str | float, choice: object) -> bool:
    """Whether a cell means a choice that is not text."""
    if isinstance(choice, bool) or choice is None:
        return str(cell).lower() == str(choice).lower()
    try:
        return float(cell) == choice
    except ValueError:
        return False


def _construct_directly(table: pa.Table, model: type[S], const: Mapping[str, Any]) -> list[S]:
    """Instances without a call of pydantic, in less than half of its time."""
    n, present = table.num_rows, set(table.column_names)
    shared = {name: model.model_fields[name].default for name in layout.INDEX_HEAD} | dict(const)
    held = [{**shared} for _ in range(n)]
    for name in (*layout.INDEX_HEAD, *user_fields(model)):
        if name in present:  # column by column takes two thirds of the time of a dict of each row's names and cells
            deque(map(setitem, held, repeat(name), _cells(table[name])), maxlen=0)
    specs = [*map(model.__new__, repeat(model, n))]
    values = {
        "__dict__": held,
        "__pydantic_fields_set__": repeat({*layout.INDEX_HEAD, *user_fields(model)}),  # all: none can be added to it
        "__pydantic_extra__": repeat(None),
        "__pydantic_private__": repeat(None),
    }
    for slot, given in values.items():
        deque(map(_SLOTS[slot].__set__, specs, given), maxlen=0)
    return specs


def _cells(column: pa.ChunkedArray[Any], *, json: bool = False) -> list[Any]:
    if json:
        return [None if cell is None else from_json(cell) for cell in column.to_pylist()]
    if not pa.types.is_date(column.type):
        return column.to_pylist()
    days = column.combine_chunks().dictionary_encode()  # making a date of a number costs arrow 2 us, so once for each
    known = days.dictionary.to_pylist()
    return [None if place is None else known[place] for place in days.indices.to_pylist()]

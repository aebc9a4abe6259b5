"""Rows of a validated table as instances of the input model.

Takes a slice of the specs table and the ids that all of its rows share; leaves instances, equal to those that pydantic
made when the table was validated.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pyarrow as pa
from pydantic import TypeAdapter
from pydantic_core import from_json

from scythe_cli import layout
from scythe_cli.anatomy import anatomy, is_plain
from scythe_cli.schema import arrow_schema, is_json
from scythe_cli.specs import file_fields, user_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scythe_cli.specs import ExperimentInputSpec

S = TypeVar("S", bound="ExperimentInputSpec")

GIVEN = "row_as_given"
"""A column of tables whose model runs the user's code: the row as it was before, for a validator may not bear it twice.

A struct of the source's columns, or JSON text. Where it is null, the typed columns are taken as they are.
"""


def make_specs(table: pa.Table, model: type[S], const: Mapping[str, Any]) -> list[S]:
    """The instances of a table's rows, in its order.

    Args:
        table: rows of a `SpecTable.table`, as a whole or a slice; id columns in it go before `const`.
        model: the input model.
        const: what all rows share, `experiment_id` and `root_workflow_run_id`.
    """
    if is_plain(model):
        return _by_hand(table, model, const)
    return list(_validated(table, model, const))


def unpack(table: pa.Table, model: type[ExperimentInputSpec]) -> Iterator[dict[str, Any]]:
    """The typed rows of a table as pydantic's input; JSON text is read, and what the default filled is left out."""
    columns = {name: _values(table, name, model) for name in table.column_names if name != GIVEN}
    keys = {part.name: part.key for part in anatomy(model).parts}
    filled = {part.name for part in anatomy(model).parts if not part.nullable and not part.info.is_required()}
    for cells in zip(*columns.values(), strict=True):
        row = zip(columns, cells, strict=True)
        yield {keys.get(name, name): cell for name, cell in row if cell is not None or name not in filled}


def carry(model: type[S], row: Mapping[str, Any], const: Mapping[str, Any]) -> S:
    """An instance with the values of a typed row and no validator of the model's own."""
    parts = {part.key: part for part in anatomy(model).parts}
    adapters: dict[str, TypeAdapter[Any]] = {
        key: TypeAdapter(part.info.annotation or Any) for key, part in parts.items()
    }
    typed = {
        parts[key].name: adapters[key].validate_python(value, strict=False)
        for key, value in row.items()
        if key in parts
    }
    others = {name: value for name, value in row.items() if name not in parts}
    made = cast("S", model.model_construct(**others, **{**const, **typed}))
    made.__dict__.update(typed)  # a model_post_init may have changed them once more
    return made


@lru_cache(maxsize=256)
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def _by_hand(table: pa.Table, model: type[S], const: Mapping[str, Any]) -> list[S]:
    """Instances without a call of pydantic, in less than half of its time."""
    names = (*layout.INDEX_HEAD, *user_fields(model))
    shared = {name: model.model_fields[name].default for name in layout.INDEX_HEAD} | dict(const)
    present = set(table.column_names)
    columns = (_cells(table[name]) if name in present else repeat(shared[name], table.num_rows) for name in names)
    make, put, given = model.__new__, object.__setattr__, set(names)  # a set of all names: nothing can be added to it
    specs = []
    for cells in zip(*columns, strict=True):
        spec = make(model)
        put(spec, "__dict__", dict(zip(names, cells)))  # noqa: B905 - both are as long as names, and strict costs
        put(spec, "__pydantic_fields_set__", given)
        put(spec, "__pydantic_extra__", None)
        put(spec, "__pydantic_private__", None)
        specs.append(spec)
    return specs


def _cells(column: pa.ChunkedArray[Any]) -> list[Any]:
    if not pa.types.is_date(column.type):
        return column.to_pylist()
    days = column.combine_chunks().dictionary_encode()  # making a date of a number costs arrow 2 us, so once for each
    known = days.dictionary.to_pylist()
    return [None if place is None else known[place] for place in days.indices.to_pylist()]


def _validated(table: pa.Table, model: type[S], const: Mapping[str, Any]) -> Iterator[S]:
    rows = unpack(table, model)
    if GIVEN not in table.column_names:
        for row in rows:
            yield model.model_validate({**const, **row}, strict=False)
        return
    keys = {part.name: part.key for part in anatomy(model).parts}
    current = [keys[name] for name in file_fields(model)] + [
        name for name in layout.INDEX_HEAD if name in table.column_names
    ]
    for row, given in zip(rows, table[GIVEN].to_pylist(), strict=True):
        if given is None:
            yield carry(model, row, const)
            continue
        original = from_json(given) if isinstance(given, str) else given
        newer = {key: row[key] for key in current if key in row}  # files are copied into the run after validation
        yield model.model_validate({**const, **original, **newer}, strict=False)


def _values(table: pa.Table, name: str, model: type[ExperimentInputSpec]) -> list[Any]:
    values: list[Any] = table[name].to_pylist()
    schema = arrow_schema(model)
    if name in schema.names and is_json(schema.field(name)):
        return [None if value is None else from_json(value) for value in values]
    return values

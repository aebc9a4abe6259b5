"""Which fields of a model are files, scalars, index columns.

Input: a model's class. Output: names of its fields, in the model's order.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from scythe_cli.core import layout
from scythe_cli.experiment.field_types import annotated, is_path
from scythe_cli.experiment.file_reference import FileMark
from scythe_cli.experiment.plain_values import to_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

_NATIVE = (bool, int, float, bytes, dt.date, dt.time, dt.timedelta)

DATAFRAMES = "dataframes"
"""The field of an output model that holds the tables of a case."""
SPEC_FIELDS = frozenset(layout.INDEX_HEAD)
"""The fields that scythe sets."""


def is_file(field: FieldInfo) -> bool:
    """Whether a field is a `FileReference`, also inside `Optional`."""
    return any(isinstance(mark, FileMark) for mark in field.metadata) or _holds_mark(field.annotation)


def file_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """The names of a model's file fields, in its order; of an output model also those of type `Path`."""
    kind: Any = model
    return _file_fields(kind) if model.__pydantic_complete__ else _file_fields.__wrapped__(kind)


@lru_cache(maxsize=64)
def _file_fields(model: type[BaseModel]) -> tuple[str, ...]:
    fields = model.model_fields
    paths = DATAFRAMES in fields
    return tuple(name for name, field in fields.items() if is_file(field) or (paths and is_path(annotated(field))))


def path_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """An input model's fields of type `Path`, whose files do not go with the run."""
    fields = model.model_fields
    return tuple(name for name in user_fields(model) if not is_file(fields[name]) and is_path(annotated(fields[name])))


def user_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """The names of the fields the user wrote, in the model's order."""
    return tuple(name for name in model.model_fields if name not in SPEC_FIELDS and name != DATAFRAMES)


def scalar_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """The columns of `scalars.pq`: an output model's fields without the files, then its computed fields."""
    files = set(file_fields(model))
    return (*(name for name in user_fields(model) if name not in files), *model.model_computed_fields)


def index_columns(model: type[BaseModel]) -> tuple[str, ...]:
    """The index columns that an input model's fields give: the four ids, then every field that can be an index level.

    Lists, sets, dicts and models cannot; they stay in `specs.pq` alone. Computed features come after these.
    """
    return layout.INDEX_HEAD + tuple(
        name for name in user_fields(model) if not is_nested(model.model_fields[name].annotation)
    )


def is_nested(annotation: Any) -> bool:
    """Whether values of a type hold several values: lists, dicts, models. Such a field is not an index level."""
    origin = get_origin(annotation)
    if origin is Annotated or (origin is not None and not isinstance(origin, type)):
        return any(is_nested(arg) for arg in get_args(annotation))
    kind = origin or annotation
    if isinstance(kind, type):
        if issubclass(kind, BaseModel | list | dict | set | frozenset | tuple):
            return True
        return any(is_nested(arg) for arg in get_args(annotation)) if origin else False
    return annotation is Any


def nested_file_field(
    annotation: Any, above: frozenset[type] = frozenset(), *, allowed: tuple[type, ...] = ()
) -> str | None:
    """Where a model, dataclass or typed dict inside a field's type has a file, "Layer.drawing"; None where none has.

    Args:
        annotation: the field's type.
        above: the types that hold it.
        allowed: models that may have files.
    """
    for part in _parts(annotation):
        if isinstance(part, type) and part not in above:
            for name, (is_marked, inner) in _inner_fields(part).items():
                if is_marked and not issubclass(part, allowed):
                    return f"{part.__name__}.{name}"
                if found := nested_file_field(inner, above | {part}, allowed=allowed):
                    return found
        elif part is not annotation and (found := nested_file_field(part, above, allowed=allowed)):
            return found
    return None


def _inner_fields(kind: type) -> dict[str, tuple[bool, Any]]:
    """The fields of a structured type: whether each is a file, and its type."""
    if issubclass(kind, BaseModel):
        return {name: (is_file(info), info.annotation) for name, info in kind.model_fields.items()}
    if not any(hasattr(kind, mark) for mark in ("__dataclass_fields__", "__total__", "_fields")):
        return {}
    try:
        hints = get_type_hints(kind, include_extras=True)
    except (NameError, AttributeError, TypeError):  # names that pydantic found where the class was defined
        return {}
    return {name: (_holds_mark(inner), inner) for name, inner in hints.items()}


def _holds_mark(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        _, *marks = get_args(annotation)
        return any(isinstance(mark, FileMark) for mark in marks)
    return any(part is not annotation and _holds_mark(part) for part in _parts(annotation))


def _parts(annotation: Any) -> Iterator[Any]:
    """A type, and the types in its brackets or in its alias."""
    yield annotation
    yield from get_args(annotation)
    for alias in ("__value__", "__supertype__"):  # type X = ..., NewType
        if hasattr(annotation, alias):
            yield getattr(annotation, alias)
    if origin := get_origin(annotation):
        yield origin


def index_value(value: Any) -> Any:
    """An index column's value as tables hold it: numbers, booleans, dates and times as they are, all else as text."""
    plain = to_plain(value)
    return plain if plain is None or isinstance(plain, _NATIVE) else str(plain)

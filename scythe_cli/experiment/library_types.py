"""Scalars of numpy and pandas as types of fields: `np.float64`, `pd.Timestamp`, `pd.Timedelta` and their like.

Input: the core schema of a model that pydantic made. Output: the same schema, in which such a type also takes what a
table holds (text, a number, a date and time) and not only values that are of it already.
"""

from __future__ import annotations

import datetime as dt
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic_core import CoreSchema, core_schema

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_CHILD = frozenset({"metadata", "serialization", "default", "expected", "members", "cls", "config"})


def accept_scalars(schema: CoreSchema, resolve: Callable[[Any], Any]) -> CoreSchema:
    """Replace each "is an instance of" that is about a scalar type of a library, in the model's own fields.

    A model inside of it has a validator of its own, which was made before.

    Args:
        schema: of a model; changed in place.
        resolve: finds the schema that a reference means.
    """
    _replace(resolve(schema))
    return schema


def is_library_scalar(kind: type) -> bool:
    """Whether a class is a scalar of numpy or pandas that a column holds."""
    return _scalar(kind) is not None


def _replace(node: Any) -> None:
    if isinstance(node, list | tuple):
        for inner in node:
            _replace(inner)
    if not isinstance(node, dict):
        return
    if node.get("type") == "is-instance" and (scalar := _scalar(node["cls"])) is not None:
        node.clear()
        node.update(scalar)
        return
    for key, inner in node.items():
        if key not in _NO_CHILD:
            _replace(inner)


def _scalar(kind: type) -> dict[str, Any] | None:
    library = kind.__module__.partition(".")[0]
    if library == "pandas" and kind.__name__ in {"Timestamp", "Timedelta"}:
        moment = kind.__name__ == "Timestamp"
        return _made(kind, core_schema.datetime_schema() if moment else core_schema.timedelta_schema())
    numpy = sys.modules.get("numpy") if library == "numpy" else None
    return None if numpy is None else _numpy_scalar(numpy, kind)


def _numpy_scalar(np: Any, kind: Any) -> dict[str, Any] | None:
    """The schema of a concrete scalar type of numpy."""
    if not issubclass(kind, np.generic):
        return None
    if issubclass(kind, np.datetime64):
        return _made(kind, _from_numpy(core_schema.datetime_schema()))
    if issubclass(kind, np.timedelta64):
        return _made(kind, _from_numpy(core_schema.timedelta_schema()))
    if issubclass(kind, np.integer):
        bounds = np.iinfo(kind) if kind.__subclasses__() == [] else np.iinfo(np.int64)
        return _made(kind, core_schema.int_schema(ge=int(bounds.min), le=int(bounds.max)))
    known = (
        (np.bool_, core_schema.bool_schema()),
        (np.floating, core_schema.float_schema()),
        (np.complexfloating, core_schema.complex_schema()),
        (np.str_, core_schema.str_schema()),
        (np.bytes_, core_schema.bytes_schema()),
    )
    return next((_made(kind, schema) for base, schema in known if issubclass(kind, base)), None)


def _made(kind: Any, schema: CoreSchema) -> dict[str, Any]:
    made: Any = core_schema.no_info_after_validator_function(partial(_construct, kind), schema)
    return made  # type: ignore[no-any-return]


def _from_numpy(schema: CoreSchema) -> CoreSchema:
    return core_schema.no_info_before_validator_function(_as_python, schema)


def _construct(kind: Any, value: Any) -> Any:
    """The library's own value of a Python one; a type that has no values of its own keeps the Python value."""
    if isinstance(value, kind) or kind.__name__ in {"integer", "floating", "generic", "number"}:
        return value
    if isinstance(value, dt.datetime) and value.tzinfo is not None and kind.__module__ == "numpy":
        raise ValueError("has a time zone, which numpy does not keep: leave the offset out")
    return kind(value)


def _as_python(value: Any) -> Any:
    """A moment of numpy as Python's, to the microsecond."""
    return value.astype(f"{value.dtype.kind}8[us]").item() if hasattr(value, "astype") else value

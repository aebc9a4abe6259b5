"""Which types a field may have: those whose every value a table holds. For each other one, what to write instead.

Input: the annotation of a field. Output: the first part of it that no table holds, as messages say it, or None.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import types
import typing
from collections import abc, deque
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, ForwardRef, Literal, NewType, TypeVar, Union, get_args, get_origin
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ImportString, Json, PydanticUserError, Secret, SecretBytes, SecretStr, TypeAdapter
from pydantic.types import PathType
from pydantic_core import MultiHostUrl, Url

from scythe_cli.experiment.file_reference import FileMark
from scythe_cli.experiment.library_types import is_library_scalar

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


_NAMED_FIELDS = ("__dataclass_fields__", "__total__", "_fields")
_SCALARS = (
    *(bool, int, float, complex, str, bytes, type(None), Decimal, Fraction, UUID, PurePath, re.Pattern, ZoneInfo),
    *(dt.date, dt.time, dt.timedelta, Url, MultiHostUrl),
    *(ipaddress.IPv4Address, ipaddress.IPv4Interface, ipaddress.IPv4Network),
    *(ipaddress.IPv6Address, ipaddress.IPv6Interface, ipaddress.IPv6Network),
)
_CONTAINERS = (list, tuple, set, frozenset, dict, deque)
_MAPPINGS = (abc.Mapping, abc.MutableMapping)
_ABSTRACT = (abc.Sequence, abc.MutableSequence, abc.Set, abc.MutableSet, *_MAPPINGS)
_SECRETS: tuple[Any, ...] = (SecretStr, SecretBytes, Secret)
_JSON_MARK: Any = Json
_IMPORT_MARK: Any = ImportString
_STREAMS = (abc.Iterable, abc.Iterator, abc.Generator, abc.AsyncIterable, abc.AsyncIterator)
_ENUM_VALUES = (bool, int, float, str, bytes, dt.date, dt.time, dt.timedelta, Decimal, type(None))
_WRAPPERS = tuple(
    found
    for name in ("ClassVar", "Final", "Required", "NotRequired", "ReadOnly")
    if (found := getattr(typing, name, None)) is not None
)

_NOT_KEPT = (
    "is a secret, and what a table holds is written to the files of the run: leave the field out, and let the function "
    "read it from an environment variable (os.environ) or from a file outside the run"
)
SHIP = (
    "write FileReference, which copies the file; the function still gets a Path (where the text names no file, write "
    "str)"
)
PATH = f"is a Path, and scythe would not copy its file: {SHIP}"
_FOLDER = "is a folder, and a run keeps files: write FileReference and give one file, such as a zip of the folder"
_CODE = "is code, which no table holds: write str, and look the name up in the function"
_JSON = "is JSON text: write the type that the text has, such as list[int]; a cell of text is read as JSON then"
_KEYS = "is a dict with keys of several values, and a key is text or a number there: write a list of [key, value] pairs"
_STREAM = "can be read only once: write list[...] or tuple[...]"


@dataclass(frozen=True)
class _Key:
    """The type of a dict's keys."""

    annotation: Any


@dataclass(frozen=True)
class _InnerPath:
    """The type of a field of a model inside, whose values are single paths, or paths or text."""

    annotation: Any


def unsupported(annotation: Any, *, output: bool) -> str | None:
    """What is wrong with a field's type, if anything: a clause that follows "the field, which ".

    Args:
        annotation: the field's type, without its default.
        output: it is a field of an output model; else of an input model.
    """
    if is_path(annotation):
        return None  # a file of an output; of an input, where its value does not name a file: see PATH
    for path, part in _unknown(annotation, frozenset()):
        if (output or not path) and _is_library_scalar(part):
            continue
        if output and (_is_json(part) or get_origin(part) is Literal):
            continue
        if isinstance(part, _InnerPath):
            if not output:
                continue  # text that a model carries along: a spec may hold a whole configuration
            part = Path  # noqa: PLW2901 - messages name it so
        inside = f"holds {path}, which " if path else ""
        return f"{inside}{_explained(part, output=output)}"
    return None


def annotated(field: FieldInfo) -> Any:
    """A field's type with its metadata, such as the mark of a file."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def is_table_dict(annotation: Any) -> bool:
    """Whether a type is that of tables by name: `dict[str, Any]`, `dict[str, pd.DataFrame]`, also with None."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return is_table_dict(args[0])
    if origin in (Union, types.UnionType):
        return all(is_table_dict(arg) for arg in args if arg is not type(None))
    return (origin or annotation) in (dict, abc.Mapping, abc.MutableMapping) and args[:1] in ((), (str,))


def is_path(annotation: Any) -> bool:
    """Whether values are paths of single files: `Path`, `FilePath`, `Path | None`; not a list of them."""
    if isinstance(annotation, NewType):
        return is_path(annotation.__supertype__)
    if hasattr(annotation, "__value__"):
        return is_path(annotation.__value__)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return is_path(args[0]) and not any(map(_is_folder, args[1:]))
    if origin in (Union, types.UnionType):
        return all(is_path(arg) for arg in args if arg is not type(None))
    return isinstance(annotation, type) and issubclass(annotation, Path)


def _unknown(annotation: Any, above: frozenset[Any]) -> list[tuple[str, Any]]:  # noqa: PLR0911 - one line a kind
    """The parts of a type that no table holds, each with where it is: "Layer.drawing", "" at the top."""
    if isinstance(annotation, NewType):
        return _unknown(annotation.__supertype__, above)
    if hasattr(annotation, "__value__"):  # type X = ...
        return [] if annotation in above else _unknown(annotation.__value__, above | {annotation})
    if isinstance(annotation, TypeVar):
        return _unknown(Any if annotation.__bound__ is None else annotation.__bound__, above)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return [("", annotation)] if any(isinstance(arg, Enum) for arg in args) else []
    if isinstance(annotation, str | ForwardRef) or annotation in (Any, object, None, Ellipsis):
        return []
    if origin is Annotated:
        return _of_annotated(args[0], args[1:], above)
    if origin in (Union, types.UnionType, *_WRAPPERS):
        return _of_all(args, above)
    if isinstance(annotation, type) or _has_named_fields(origin):
        return _of_class(annotation, above)
    if origin in _MAPPINGS or (isinstance(origin, type) and issubclass(origin, dict)):
        return _of_keys(args[0]) + _of_all(args, above)
    if origin in _ABSTRACT or _is_container(origin) or getattr(origin, "__value__", None) is not None:
        return _of_all(args, above)
    return [] if origin is re.Pattern else [("", annotation)]


def _of_all(args: tuple[Any, ...], above: frozenset[Any]) -> list[tuple[str, Any]]:
    return [found for arg in args for found in _unknown(arg, above)]


def _of_keys(annotation: Any) -> list[tuple[str, Any]]:
    """A key is text in JSON: nothing that holds several values can be one."""
    kind = get_origin(annotation) or annotation
    several = _is_container(kind) or kind in _ABSTRACT or _has_named_fields(kind)
    return [("", _Key(annotation))] if several else []


def _of_annotated(inner: Any, marks: tuple[Any, ...], above: frozenset[Any]) -> list[tuple[str, Any]]:
    if any(isinstance(mark, FileMark) for mark in marks):
        return []
    found: list[tuple[str, Any]] = [
        ("", mark) for mark in marks if _is_folder(mark) or _imports(mark) or _is_json(mark)
    ]
    return found or _unknown(inner, above)


def _of_class(annotation: Any, above: frozenset[Any]) -> list[tuple[str, Any]]:
    kind = get_origin(annotation) or annotation
    if annotation in above:
        return []
    if _has_named_fields(kind):
        return [
            (path or f"{kind.__name__}.{name}", part)
            for name, inner in _inner_types(annotation).items()
            for path, part in (
                [("", _InnerPath(inner))] if _is_path_or_text(inner) else _unknown(inner, above | {annotation})
            )
        ]
    if issubclass(kind, Enum):
        return [] if all(isinstance(member.value, _ENUM_VALUES) for member in kind) else [("", kind)]
    return [("", kind)] if issubclass(kind, Path) or is_library_scalar(kind) or not _is_known(kind) else []


def _is_path_or_text(annotation: Any) -> bool:
    """`Path`, `Path | None`, `Path | str`; not text alone."""
    if get_origin(annotation) in (Union, types.UnionType):
        args = [arg for arg in get_args(annotation) if arg not in (type(None), str)]
        return bool(args) and all(map(is_path, args))
    return is_path(annotation)


def _is_known(kind: type) -> bool:
    if issubclass(kind, _SCALARS) or kind in _ABSTRACT or _is_container(kind):
        return not _is_secret(kind)
    if kind.__module__.partition(".")[0] in {"pandas", "numpy"} or _is_secret(kind):
        return False
    return (
        kind not in (_IMPORT_MARK, _JSON_MARK) and hasattr(kind, "__get_pydantic_core_schema__") and _writes_json(kind)
    )


def _writes_json(kind: type) -> bool:
    """Whether a type of somebody else's says how its values are written."""
    try:
        TypeAdapter(kind).json_schema(mode="serialization")
    except (PydanticUserError, TypeError):
        return False
    return True


def _is_container(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, _CONTAINERS)


def _has_named_fields(kind: Any) -> bool:
    """Whether it is a model, a dataclass, a typed dict or a named tuple."""
    return isinstance(kind, type) and (
        issubclass(kind, BaseModel) or any(hasattr(kind, mark) for mark in _NAMED_FIELDS)
    )


def _inner_types(annotation: Any) -> dict[str, Any]:
    kind = get_origin(annotation) or annotation
    if issubclass(kind, BaseModel):
        return {name: annotated(info) for name, info in annotation.model_fields.items()}
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except (NameError, AttributeError, TypeError):  # names that pydantic found where the class was defined
        return {}


def _is_secret(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, _SECRETS)


def _is_library_scalar(part: Any) -> bool:
    return isinstance(part, type) and is_library_scalar(part)


def _is_folder(mark: Any) -> bool:
    return isinstance(mark, PathType) and mark.path_type == "dir"


def _is_json(mark: Any) -> bool:
    return isinstance(mark, _JSON_MARK) or mark is _JSON_MARK


def _imports(mark: Any) -> bool:
    return isinstance(mark, _IMPORT_MARK) or mark is _IMPORT_MARK


def _explained(part: Any, *, output: bool) -> str:  # noqa: PLR0911 - one line a kind
    kind = get_origin(part) or part
    if _is_folder(part):
        return _FOLDER
    if isinstance(part, _Key):
        return _KEYS
    if _is_json(part):
        return _JSON
    if get_origin(part) is Literal:
        return "is a Literal of enum members: write the enum itself, or a Literal of its values"
    if _imports(part) or kind in (type, abc.Callable, types.FunctionType):
        return _CODE
    if _is_secret(kind):
        return _NOT_KEPT
    if isinstance(kind, type) and issubclass(kind, Path):
        return PATH if not output else "is a file: give each file a field of its own, of type FileReference"
    if kind in _STREAMS:
        return _STREAM
    name = _name_of(kind)
    if _is_library_scalar(kind):
        return f"is a {name}: inside a model write Python's own type, such as float, int or datetime"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"is the enum {kind.__name__} with values that no table holds: give it values of text or numbers"
    return f"is a {name}: {_instead(kind, output=output)}"


def _instead(kind: Any, *, output: bool) -> str:
    library, name = getattr(kind, "__module__", "").partition(".")[0], getattr(kind, "__name__", "")
    if library == "numpy":
        to_file = "for a large one save it to a file and write FileReference"
        return f"write list[float] and give array.tolist(); {to_file}" if output else f"write list[float]; {to_file}"
    if library in {"pandas", "polars", "pyarrow"} or hasattr(kind, "__arrow_c_stream__"):
        if not output:
            return "write FileReference and give a parquet file"
        frame = "a frame of it (.to_frame())" if "Series" in name or "Array" in name else "it"
        return f"give {frame} in `dataframes`, which makes a table over all cases: dataframes={{'name': ...}}"
    which = "column" if output else "table"
    return f"no {which} holds one; write numbers, text, lists, dicts or a model of these"


def _name_of(kind: Any) -> str:
    if not isinstance(kind, type):
        return str(kind)
    module = kind.__module__
    return kind.__name__ if module == "builtins" else f"{module.partition('.')[0]}.{kind.__name__}"

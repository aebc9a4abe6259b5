"""Files that stand inside a model, a list or a dict: they must be remote, since nothing brings local ones along.

Input: validated columns. Output: a problem for each local file inside one of their values.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from scythe_cli.columns.schema import arrow_field, is_json
from scythe_cli.core.validation_errors import Problem
from scythe_cli.experiment.field_kinds import file_fields, is_file, nested_file_field
from scythe_cli.experiment.plain_values import input_name
from scythe_cli.storage.address import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.columns.checks import Column

RULE = (
    "is a local file inside a value, where no worker finds it: write its s3:// or https:// address, or give the file "
    "a field of its own"
)


class NestedFiles:
    """Looks into the values of the fields that can hold files deeper inside.

    Args:
        model: the input model.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        own = set(file_fields(model))
        self._fields = {
            name: info.annotation
            for name, info in model.model_fields.items()
            if name not in own and nested_file_field(info.annotation) is not None
        }

    def problems(self, columns: Mapping[str, Column]) -> Iterator[tuple[int, Problem]]:
        """The local files inside of values, row by row."""
        for name in self._fields.keys() & columns.keys():
            text = is_json(arrow_field(name, self._fields[name]))
            for row, cell in enumerate(columns[name].to_pylist()):
                value = json.loads(cell) if text and cell is not None else cell
                for place, address in _local_files(self._fields[name], value, name):
                    yield row, Problem(place, address, RULE)


def _local_files(annotation: Any, value: Any, place: str) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _local_files(args[0], value, place)
    elif origin in (Union, types.UnionType):
        for member in args:
            yield from _local_files(member, value, place)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from _in_model(annotation, value, place)
    elif isinstance(value, Mapping):
        for part in args:
            for key, inner in value.items():
                yield from _local_files(part, inner, f"{place}[{key!r}]")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for part in args:
            for at, inner in enumerate(value):
                yield from _local_files(part, inner, f"{place}[{at}]")


def _in_model(model: type[BaseModel], value: Any, place: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        return
    for name, info in model.model_fields.items():
        inner = value.get(name, value.get(input_name(model, name)))
        if is_file(info):
            if isinstance(inner, str) and not is_remote(inner):
                yield f"{place}.{name}", inner
        else:
            yield from _local_files(info.annotation, inner, f"{place}.{name}")

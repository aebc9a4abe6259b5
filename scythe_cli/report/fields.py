"""What the models of a run say about its columns: kind, unit, description, bounds.

Input: `experiment_io_spec.yml` and the Arrow types of the columns. Output: a `FieldText` for each column. A unit is the
`[unit]` at the end of a description, or `unit` of `json_schema_extra`.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from scythe_cli.core import layout, yaml_document
from scythe_cli.errors import ScytheError
from scythe_cli.report.document import FieldText
from scythe_cli.show.field_notes import note_of
from scythe_cli.storage.base import PLAN_LIMIT

if TYPE_CHECKING:
    from scythe_cli.report.document import Kind
    from scythe_cli.storage.base import Store

MOST_TEXT = 400
"""Characters of a description."""


class ModelTexts:
    """The JSON Schema of a run's models.

    Args:
        store: rooted at the run.
    """

    def __init__(self, store: Store) -> None:
        try:
            text = store.read(layout.IO_SPEC, limit=PLAN_LIMIT).decode(errors="replace")
            found = yaml_document.read(text, layout.IO_SPEC).data
        except (ScytheError, ValueError):  # a report without descriptions is better than none
            found = {}
        self._schema: dict[str, Any] = found if isinstance(found, dict) else {}
        self.inputs = self._model("input")
        self.outputs = self._model("output")

    def _model(self, which: str) -> dict[str, Any]:
        node = _mapping(_mapping(self._schema.get("properties")).get(which))
        return self._resolved({"$ref": node.get("$ref", "")})  # its own description is of the wrapper

    def _resolved(self, node: Any) -> dict[str, Any]:
        """A node without its reference, as far as one step leads."""
        node = _mapping(node)
        name = str(node.get("$ref", "")).rpartition("/")[2]
        return {**_mapping(_mapping(self._schema.get("$defs")).get(name)), **node} if name else node

    def field(self, model: dict[str, Any], column: pa.Field[Any]) -> FieldText:
        """What a model says about one column; a name with dots is a field of a nested model."""
        node = model
        for part in column.name.split("."):
            node = self._resolved(_mapping(node.get("properties")).get(part))
            node = {**node, **self._single(node)}
        note = note_of(node)
        text = note.description if len(note.description) <= MOST_TEXT else f"{note.description[: MOST_TEXT - 3]}..."
        low, high = _bound(node, "minimum", "exclusiveMinimum"), _bound(node, "maximum", "exclusiveMaximum")
        return FieldText(column.name, kind_of(column.type), note.unit, text, low, high)

    def _single(self, node: dict[str, Any]) -> dict[str, Any]:
        """The only choice of an `anyOf` that is not null: what an optional field is when it is given."""
        choices = node.get("anyOf")
        given = [one for one in choices if _mapping(one).get("type") != "null"] if isinstance(choices, list) else []
        return {key: value for key, value in self._resolved(given[0]).items() if key not in node} if given else {}


def kind_of(kind: pa.DataType) -> Kind:
    """How a column of a type is counted and drawn."""
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_duration(kind):
        return "number"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "date"
    return "category" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else "other"


def _mapping(node: Any) -> dict[str, Any]:
    return node if isinstance(node, dict) else {}


def _bound(node: dict[str, Any], *names: str) -> float | None:
    for name in names:
        value = node.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        if isinstance(value, dt.date):
            return float((value - dt.date(1970, 1, 1)).days)
    return None

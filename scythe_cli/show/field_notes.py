"""What a run's models say of their fields: a description, and the unit at its end.

Input: `experiment_io_spec.yml`. Output: a `FieldNote` for each input and each output. A run can be shown without them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout, yaml_document
from scythe_cli.core.printable import printable
from scythe_cli.errors import ConfigError, KeyMissing
from scythe_cli.storage.base import MANIFEST_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scythe_cli.run.run import Run

_BRACKETS = re.compile(r"\s*\[(?P<unit>(?![\d\s.,;+-]+\])[^\[\]]{1,40}|-|1)\]\s*")
"""Not around numbers: those are bounds."""
MOST_UNIT = 40
_NONE = frozenset({"-", "1", ""})
"""How people write that a number has no unit."""


@dataclass(frozen=True)
class FieldNote:
    """What a model says of a field.

    Attributes:
        description: its description without the unit, or "".
        unit: as in `Field(description="Heating demand [kWh/m2]")`, from the last brackets, or as in
            `Field(json_schema_extra={"unit": "W"})`; "" where there is none, also for `[-]`.
    """

    description: str = ""
    unit: str = ""


def read_field_notes(run: Run) -> dict[str, FieldNote]:
    """The notes of all fields, inputs first; empty where the run has no readable description of its models."""
    try:
        text = run.store.read(layout.IO_SPEC, limit=MANIFEST_LIMIT).decode(errors="replace")
        document = yaml_document.read(text, layout.IO_SPEC).data
    except (KeyMissing, ConfigError):
        return {}
    found: dict[str, FieldNote] = {}
    for side in ("input", "output"):
        for name, schema in _properties(document, side).items():
            if name not in layout.INDEX_HEAD and isinstance(schema, dict):
                found.setdefault(str(name), note_of(schema))
    return found


def note_of(schema: Mapping[str, Any]) -> FieldNote:
    """What the JSON Schema of a field says: `Heating demand [kWh/m2]` is a text and a unit; so is a key `unit`."""
    text = " ".join(str(printable(schema.get("description") or "")).split())
    unit = str(printable(schema.get("unit") or schema.get("units") or ""))[:MOST_UNIT]
    *_, found = (None, *_BRACKETS.finditer(text))
    if found is not None:
        unit = unit or found["unit"].strip()
        text = f"{text[: found.start()]} {text[found.end() :]}".strip().replace(" .", ".").replace(" ,", ",")
    return FieldNote(text, "" if unit in _NONE else unit)


def units(notes: dict[str, FieldNote], names: Iterable[str]) -> dict[str, str]:
    """The units of the fields that have one."""
    return {name: notes[name].unit for name in names if name in notes and notes[name].unit}


def units_of(run: Run) -> dict[str, str]:
    """The units of all fields of a run that have one."""
    notes = read_field_notes(run)
    return units(notes, notes)


def _properties(document: Any, side: str) -> dict[Any, Any]:
    """The fields of one model, wherever the reference to it leads."""
    try:
        reference = document["properties"][side]["$ref"]
        found = document["$defs"][reference.rpartition("/")[2]]["properties"]
    except (KeyError, TypeError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}

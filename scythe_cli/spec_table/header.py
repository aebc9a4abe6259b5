"""The names of a source's columns against the fields of a model.

Input: names as found. Output: which column is which field, and a line in the report for each that is wrong or missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.columns.model_fields import read_fields
from scythe_cli.core import layout
from scythe_cli.errors import nearest

if TYPE_CHECKING:
    from pydantic import BaseModel

    from scythe_cli.spec_table.report import Report
    from scythe_cli.spec_table.sources import SpecSource

_IGNORED = frozenset({layout.EXPERIMENT_ID, layout.WORKFLOW_RUN_ID, layout.ROOT_WORKFLOW_RUN_ID})
"""Columns that scythe fills; users of the original write placeholders into them."""
MOST_SUGGESTIONS = 100
"""Columns for which the nearest field is looked for: a report shows fewer."""


def match_columns(source: SpecSource, model: type[BaseModel], report: Report) -> dict[str, str]:
    """From a source's columns to fields; each column that is wrong or missing is reported once."""
    schema = read_fields(model)
    fields = {field.name: field.name for field in schema.fields} | {field.key: field.name for field in schema.fields}
    fields[layout.SORT_INDEX] = layout.SORT_INDEX
    matched: dict[str, str] = {}
    suggested: set[str] = set()
    extra = model.model_config.get("extra")
    seen: set[str] = set()
    free: list[str] | None = None
    for name in source.columns:
        if name in seen:
            report.add_column(f"column {name!r} is there twice")
        elif name in fields:
            matched[name] = fields[name]
        elif name in _IGNORED or extra == "ignore":
            continue
        elif extra == "allow" and name.strip() == name != "":
            matched[name] = name
        else:
            if free is None:
                columns = set(source.columns)
                free = [field for field in fields if field not in columns]
            near = nearest(name.strip(), free) or "" if len(seen) < MOST_SUGGESTIONS else ""
            suggested.add(fields.get(near, ""))
            report.add_column(_stranger(name, near, model, fields), name)
        seen.add(name)
    for field in schema.fields:
        if field.required and field.name not in matched.values() and field.name not in suggested:
            report.add_column(f"column {field.key!r} is missing")
    return matched


def _stranger(name: str, near: str, model: type[BaseModel], fields: dict[str, str]) -> str:
    if name == "":
        return "a column has no name"
    if name.strip() in fields:
        return f"column {name!r} has spaces around its name; write {name.strip()!r}"
    hint = f" Did you mean {near!r}?" if near else ""
    return f"column {name!r} is not a field of {model.__name__}.{hint}"

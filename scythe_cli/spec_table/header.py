"""The names of a source's columns against the fields of a model.

Input: names as found. Output: which column is which field, and a line in the report for each that is wrong or missing.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING
from unicodedata import normalize

from pydantic import AliasChoices, AliasPath

from scythe_cli.columns.model_fields import read_fields
from scythe_cli.columns.rows import RAW_INPUT
from scythe_cli.core import layout
from scythe_cli.errors import nearest
from scythe_cli.experiment.field_kinds import user_fields
from scythe_cli.spec_table.readers.column_letters import spell_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from scythe_cli.spec_table.report import TableReport
    from scythe_cli.spec_table.sources import SpecSource

_UNIT = re.compile(r"\s*[\[(].*$")
"""What follows a name in a header: "[W/m2]", "(kWh)"."""
_PANDAS_INDEX = re.compile(r"Unnamed: ?\d+|__index_level_\d+__|level_\d+")
_IGNORED = frozenset({layout.EXPERIMENT_ID, layout.WORKFLOW_RUN_ID, layout.ROOT_WORKFLOW_RUN_ID})
"""Columns that scythe fills; users of the original write placeholders into them."""
MOST_SUGGESTIONS = 100
"""Columns for which the nearest field is looked for: a report shows fewer."""


def match_columns(
    source: SpecSource, model: type[BaseModel], report: TableReport, *, by_code: bool = False
) -> dict[str, str]:
    """From a source's columns to fields; each column that is wrong or missing is reported once.

    Args:
        source: has the names.
        model: has the fields.
        report: of what is wrong.
        by_code: code of the user's reads the rows before the fields do: a column may be no field, a field no column.
    """
    schema = read_fields(model)
    fields = _names_of_fields(model)
    plain = {normalize("NFKC", name): field for name, field in fields.items()}
    matched: dict[str, str] = {}
    found: dict[str, str] = {}
    suggested: set[str] = set()
    extra = model.model_config.get("extra")
    for message in [*_nameless(source), *_unreachable(model)]:
        report.add_column(message)
    seen: set[str] = set()
    columns = set(source.columns)
    free = [field for field in fields if field not in columns]
    for name in filter(None, source.columns):
        field = fields.get(name) or (None if extra == "allow" else plain.get(normalize("NFKC", name)))
        if name in seen:
            report.add_column(f"column {name!r} is there twice")
        elif field is not None:
            matched[name] = field
            other = found.setdefault(field, name)
            if other != name:
                both = f"columns {other!r} and {name!r} are both the field {field}"
                report.add_column(f"{both}: delete one of them", name)
        elif name in _IGNORED or (extra == "ignore" and not by_code):
            continue
        elif name == RAW_INPUT:
            report.add_column(f"column {name!r} has a name that scythe uses itself: rename it", name)
        elif (extra == "allow" or by_code) and name.strip() == name != "":
            matched[name] = name
        else:
            near = _nearest_field(name, free) if len(seen) < MOST_SUGGESTIONS else ""
            suggested.add(fields.get(near, ""))
            report.add_column(_stranger(name, near, model, fields), name)
        seen.add(name)
    for known in schema.fields:
        if known.required and not by_code and known.name not in found and known.name not in suggested:
            report.add_column(f"column {known.key!r} is missing")
    return matched


def _names_of_fields(model: type[BaseModel]) -> dict[str, str]:
    """By each name that a column may have, the field: its name, its alias, every alias that it takes."""
    schema = read_fields(model)
    names = {field.name: field.name for field in schema.fields}
    for field in schema.fields:
        names[field.key] = field.name
        alias = field.info.validation_alias
        for choice in alias.choices if isinstance(alias, AliasChoices) else ():
            if isinstance(choice, str):
                names.setdefault(choice, field.name)
    return {**names, layout.SORT_INDEX: layout.SORT_INDEX}


def _nameless(source: SpecSource) -> list[str]:
    """What to do about columns without a name: those that Excel leaves at the end, the index that pandas writes."""
    columns = source.columns
    width = len(columns)
    last = width - sum(1 for _ in takewhile(lambda name: not name, reversed(columns)))
    messages = []
    if last < width:
        name = "it a name" if last + 1 == width else "them names"
        messages.append(f"delete the empty {spell_columns(last + 1, width)}, or give {name} in the header")
    for place, name in enumerate(columns[:last]):
        if not name:
            index = place == 0 and "; an index that pandas wrote goes with df.to_csv(..., index=False)"
            messages.append(f"{spell_columns(place + 1, place + 1)} has no name{index or ''}")
    return messages


def _unreachable(model: type[BaseModel]) -> list[str]:
    """The fields that pydantic reads from inside of another value alone, where a column is one value."""
    if model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name"):
        return []
    messages = []
    for name in user_fields(model):
        alias = model.model_fields[name].validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        if all(isinstance(choice, AliasPath) for choice in choices):
            messages.append(
                f"field {name} of {model.__name__} has the alias {choices[0]!r}, and a column cannot be inside of "
                f"another: give it an alias of text, such as Field(alias={name!r})"
            )
    return messages


def _nearest_field(name: str, free: Sequence[str]) -> str:
    """The field that a column's name means: `lpd` of "lpd [W/m2]", "LPD", "lpd_"."""
    plain = _UNIT.sub("", name).strip()
    return nearest(plain.replace(" ", "_"), free) or nearest(name.strip(), free) or ""


def _stranger(name: str, near: str, model: type[BaseModel], fields: dict[str, str]) -> str:
    if name.strip() in fields:
        return f"column {name!r} has spaces around its name; write {name.strip()!r}"
    if _PANDAS_INDEX.fullmatch(name):
        return f"column {name!r} is an index that pandas wrote: leave it out with df.to_csv(..., index=False)"
    hint = f" Did you mean {near!r}?" if near else ""
    return f"column {name!r} is not a field of {model.__name__}.{hint}"

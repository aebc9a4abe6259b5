"""The index columns that a model computes from its fields.

Input: a validated table. Output: a column for each feature, or one error with the row and the value.
"""

from __future__ import annotations

from bisect import bisect_left
from enum import Enum
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from scythe_cli.columns.rows import make_specs
from scythe_cli.core import layout
from scythe_cli.core.validation_errors import repr_value
from scythe_cli.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scythe_cli.columns.checks import Column
    from scythe_cli.experiment.models import ExperimentInputSpec
    from scythe_cli.spec_table.table import SpecTable


def compute_features(table: SpecTable) -> pa.Table | None:
    """The columns that `computed_features` returns; None where the model computes none. Local files are absolute paths.

    Raises:
        TableError: the user's code raises, or returns what cannot be an index column.
    """
    if not table.computed:
        return None
    rows: list[dict[str, Any]] = []
    for first in range(0, table.rows, layout.BLOCK):
        for spec in make_specs(table.table.slice(first, layout.BLOCK), table.model, {}):
            rows.append(_features_of(spec, table.where, len(rows)))
    names = list(dict.fromkeys(name for row in rows for name in row))
    taken = set(table.table.column_names) | set(layout.INDEX_HEAD) | {layout.SORT_SUBINDEX}
    if clash := [name for name in names if name in taken]:
        raise TableError(f"computed_features returns {clash[0]!r}, which is a field already; choose another name")
    return pa.table({name: _column(name, [_plain(row.get(name)) for row in rows], table.where) for name in names})


def _features_of(spec: ExperimentInputSpec, where: Callable[[int], str], row: int) -> dict[str, Any]:
    try:
        features = spec.computed_features
    except Exception as exc:
        raise TableError(f"{where(row)}  computed_features raises {type(exc).__name__}: {exc}") from exc
    if not isinstance(features, dict) or not all(isinstance(name, str) for name in features):
        raise TableError(f"{where(row)}  computed_features must be a dict of values by name; it is {features!r}")
    return features


def _column(name: str, values: list[Any], where: Callable[[int], str]) -> Column:
    column = _as_column(values)
    if column is None:
        raise TableError(_misfit(f"computed_features[{name!r}]", values, where))
    if pa.types.is_nested(column.type):
        raise TableError(f"computed_features[{name!r}] must be text, numbers, booleans or dates; it is {column.type}")
    return column


def _misfit(label: str, values: list[Any], where: Callable[[int], str]) -> str:
    """The first value that makes no column with those before it."""
    at = bisect_left(range(len(values)), True, key=lambda row: _as_column(values[: row + 1]) is None)
    value = values[at]
    if _as_column([value]) is None:
        return (
            f"{where(at)}  {label} = {repr_value(value)}: must be text, a number of 64 bits, a boolean, a date or None"
        )
    first = next(row for row, other in enumerate(values) if other is not None)
    kinds = f"{_kind(value)}, and {where(first)} gives {_kind(values[first])}"
    return f"{where(at)}  {label} = {repr_value(value)}: is {kinds}; give one type in all rows"


def _as_column(values: list[Any]) -> Column | None:
    """Values as a column, or None. Arrow would cut off times of day, or zones, that only some of them have."""
    try:
        column: Column = pa.array(values)
    except (pa.ArrowException, OverflowError):
        return None
    mixed = pa.types.is_temporal(column.type) and len({_kind(value) for value in values if value is not None}) > 1
    return None if mixed else column


def _kind(value: Any) -> str:
    """A type as messages name it."""
    zone = " with a time zone" if getattr(value, "tzinfo", None) is not None else ""
    return f"{type(value).__name__}{zone}"


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value

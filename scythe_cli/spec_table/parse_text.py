"""Columns of text as the types of their fields, where the reading is certain.

Input: text columns. Output: typed columns, null wherever pydantic might read the text differently. What is read here
was compared with pydantic over random texts (tests/unit/spec_table/test_read_properties.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from scythe_cli.columns.checks import pc

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from scythe_cli.columns.checks import Column
    from scythe_cli.columns.model_fields import FieldSchema

_TRUE = ("1", "on", "t", "true", "y", "yes")
_FALSE = ("0", "off", "f", "false", "n", "no")
_DAY = "[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}"
FEW = 1_000
"""Below so many rows each distinct text is read by pydantic: that takes less time than the import of polars."""
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"


def parse(columns: Mapping[str, Column], fields: Mapping[str, FieldSchema]) -> dict[str, Column]:
    """Typed columns of text columns, in parallel; a column of which nothing is certain is left out."""
    found: dict[str, Column] = {}
    if max(map(len, columns.values()), default=0) >= FEW:
        import polars as pl

        wanted = {name: expression for name in columns if (expression := _expression(name, fields[name])) is not None}
        frame = pl.DataFrame({name: pl.Series(values=columns[name]) for name in wanted})
        typed = frame.select(**wanted).to_arrow()
        found = {name: typed[name].combine_chunks() for name in wanted}
    for name in columns.keys() - found.keys():
        text = _choice(columns[name], fields[name])
        if text is not None:
            found[name] = text
    return found


def _expression(name: str, field: FieldSchema) -> pl.Expr | None:
    import polars as pl

    column = pl.col(name)
    match field.core["type"]:
        case "int":
            return column.cast(pl.Int64, strict=False)
        case "float":
            number = column.cast(pl.Float64, strict=False)
            return pl.when(number.is_finite()).then(number)
        case "date":
            return pl.when(column.str.contains(f"^{_DAY}$")).then(column).str.to_date("%Y-%m-%d", strict=False)
        case "datetime":
            return pl.coalesce(_moment(column, "T"), _moment(column, " "))
    return None


def _moment(column: pl.Expr, between: str) -> pl.Expr:
    import polars as pl

    text = pl.when(column.str.contains(f"^{_DAY}{between}{_CLOCK}$")).then(column)
    return text.str.to_datetime(f"%Y-%m-%d{between}%H:%M:%S", strict=False, time_unit="us")


def _choice(column: Column, field: FieldSchema) -> Column | None:
    if field.core["type"] == "bool":
        meaning = pa.array([True] * len(_TRUE) + [False] * len(_FALSE))
        return meaning.take(pc.index_in(pc.ascii_lower(column), value_set=pa.array([*_TRUE, *_FALSE])))
    if field.choices and all(type(choice) is int for choice in field.choices):
        named = pa.array([str(choice) for choice in field.choices])
        return pa.array(field.choices, pa.int64()).take(pc.index_in(column, value_set=named))
    if field.core["type"] in {"str", "literal", "enum"}:
        return column
    return None

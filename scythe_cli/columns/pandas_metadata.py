"""The metadata by which pandas makes its frame again from a table: index, labels, types of its own.

Input: a table's columns, which of them are levels of the index, and what is known of a pandas frame. Output: the entry
`pandas` of the metadata, and the columns' types as pyarrow should read them.
Format: https://pandas.pydata.org/docs/development/developer.html
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.columns.frame_header import FrameHeader, Pandas

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

PANDAS = b"pandas"
ARROW = b"ARROW:schema"
_PANDAS_TYPES = {"date32[day]": "date", "double": "float64", "float": "float32", "string": "unicode"}
_NULLABLE = re.compile(r"U?Int(8|16|32|64)|Float(32|64)|boolean")
_NULLABLE_FLOATS = {"double": "Float64", "float": "Float32"}
_NUMPY_TYPES = {"double": "float64", "float": "float32", "bool": "bool"}


def pandas_metadata(
    schema: pa.Schema,
    index: Mapping[str, str | None],
    header: FrameHeader | None = None,
    *,
    optional: Collection[str] = (),
) -> bytes:
    """The text of the metadata.

    Args:
        schema: all columns.
        index: of the columns that are levels of the index, in order, their names in pandas.
        header: what is known of the frame.
        optional: columns of whole numbers that may be missing: they get pandas' own type.
    """
    header = header or FrameHeader()
    known = header.pandas or Pandas()
    labels: dict[str, str | None] = {}
    if header.columns.names is not None and header.columns.labels is not None:
        labels = dict(zip(header.columns.names, header.columns.labels, strict=True))
    columns = [
        {
            "name": index[field.name] if field.name in index else labels.get(field.name, field.name),
            "field_name": field.name,
            **_types(field, known, optional=field.name in optional),
        }
        for field in schema
    ]
    levels = [*header.columns.levels]
    return json.dumps({"index_columns": [*index], "column_indexes": levels, "columns": columns}).encode()


def arrow_metadata(schema: pa.Schema, header: FrameHeader, metadata: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """All metadata of a file whose writer stores no schema: those given, and the schema to read it with.

    Categories are written as their values and read as categories. Format:
    https://arrow.apache.org/docs/cpp/parquet.html#roundtripping-arrow-types-and-schema
    """
    read_as = with_categories(schema, header).with_metadata(cast("Any", metadata))
    return {**metadata, ARROW: base64.b64encode(read_as.serialize().to_pybytes())}


def to_categories(column: pa.ChunkedArray[Any], values: Sequence[str]) -> pa.Array[Any]:
    """Text as categories; all values are written, in their order, also those that no row has."""
    places: Any = pc.index_in(column.combine_chunks(), value_set=pa.array(values, pa.string()))
    return pa.DictionaryArray.from_arrays(places, pa.array(values, pa.string()))


def with_categories(schema: pa.Schema, header: FrameHeader) -> pa.Schema:
    """The columns with the types of those that pandas has as categories."""
    categories = header.pandas.categories if header.pandas else {}
    return pa.schema(
        [
            f.with_type(pa.dictionary(pa.int32(), pa.string(), ordered=cast("Any", categories[f.name][1])))
            if f.name in categories and pa.types.is_string(f.type)
            else f
            for f in schema
        ]
    )


def _types(field: pa.Field[Any], known: Pandas, *, optional: bool) -> dict[str, Any]:
    if field.name in known.categories and pa.types.is_string(field.type):
        values, ordered = known.categories[field.name]
        metadata = {"num_categories": len(values), "ordered": ordered}
        return {"pandas_type": "categorical", "numpy_type": "int32", "metadata": metadata}
    return {
        "pandas_type": _pandas_type(field.type),
        "numpy_type": _own_type(known.dtypes.get(field.name), field.type) or numpy_type(field.type, optional=optional),
        "metadata": None,
    }


def _own_type(dtype: str | None, kind: pa.DataType) -> str | None:
    """pandas' own type of a column, where it holds what the column has: other specs may have made the column wider."""
    if dtype is None:
        return None
    if dtype.endswith("[pyarrow]"):
        return dtype if dtype.removesuffix("[pyarrow]") == str(kind) and not _is_hard_to_read(kind) else None
    if _NULLABLE.fullmatch(dtype) is None:
        return dtype if not pa.types.is_binary(kind) else None
    if pa.types.is_integer(kind):
        return numpy_type(kind, optional=True)
    return _NULLABLE_FLOATS.get(str(kind), "boolean" if pa.types.is_boolean(kind) else None)


def _is_hard_to_read(kind: pa.DataType) -> bool:
    """Whether pandas cannot read its own name of an Arrow type."""
    return pa.types.is_nested(kind) or pa.types.is_decimal(kind) or pa.types.is_dictionary(kind)


def _pandas_type(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "datetimetz" if kind.tz else "datetime"
    return _PANDAS_TYPES.get(str(kind), str(kind))


def numpy_type(kind: pa.DataType, *, optional: bool) -> str:
    """The type that pandas gives a column."""
    if pa.types.is_integer(kind):
        return str(kind).capitalize().replace("Uint", "UInt") if optional else str(kind)
    if pa.types.is_timestamp(kind):
        return f"datetime64[{kind.unit}]"
    if pa.types.is_duration(kind):
        return f"timedelta64[{kind.unit}]"
    return _NUMPY_TYPES.get(str(kind), "object")

"""A pandas frame as an Arrow table of text names, with what pandas needs to have its labels and levels again.

Input: a pandas frame and the spec's index values. Output: an Arrow table: the frame's columns, the levels of its index
that are not the spec's, and a header. A thousand columns of one type are taken over as one block of numbers.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.columns import column_blocks, frame_types
from scythe_cli.columns.bad_frame import BadFrame
from scythe_cli.columns.column_blocks import FROM
from scythe_cli.columns.frame_header import PLACE, FrameColumns, FrameHeader, Packed, Pandas, write_header
from scythe_cli.columns.pandas_labels import SameName, read_labels
from scythe_cli.core import layout
from scythe_cli.experiment.field_kinds import index_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from scythe_cli.columns.pandas_labels import Labels

_OWN_TYPES = ("Int", "UInt", "Float", "boolean", "string")
"""How the names of pandas' types with missing values begin."""
_UNNAMED = "index"
_NEVER_CHANGED = frozenset({str, int, float, bool, type(None)})
"""Classes of objects that Arrow keeps as they are, or refuses together."""


def from_pandas(frame: Any, index: Mapping[str, Any]) -> pa.Table:
    """The frame as Arrow.

    Raises:
        BadFrame: its labels or levels cannot be kept.
        TypeError, ValueError, pa.ArrowException: a column's values cannot be.
    """
    try:
        labels = read_labels(frame.columns)
    except SameName as exc:
        raise BadFrame(str(exc)) from None
    table, header = _columns(frame, labels)
    levels = list(_own_levels(frame.index, index))
    names = [*labels.names, *index]
    fields: list[tuple[str, str | None]] = []
    categories = dict(header.pandas.categories) if header.pandas else {}
    for at, (name, values) in enumerate(levels):
        if name == layout.SORT_SUBINDEX:
            fields.append((PLACE, PLACE))
            if values is not None:
                table = _append(table, PLACE, values)
            continue
        column = _level_column(name, at, len(levels), names)
        names.append(column)
        fields.append((column, None if name is None else str(name)))
        if found := _categories(getattr(values, "dtype", None)):
            categories[column] = found
        try:
            table = _append(table, column, _array(values))
        except (frame_types.UnsupportedType, pa.ArrowException) as exc:
            raise BadFrame(f"the index level {name!r} {exc}") from exc
    return write_header(table, _header(frame, labels, header, fields, categories))


def _header(
    frame: Any, labels: Labels, header: FrameHeader, fields: Sequence[tuple[str, str | None]], categories: Any
) -> FrameHeader:
    assert header.pandas is not None  # noqa: S101 - of _columns
    columns = header.columns
    if not labels.plain:
        columns = FrameColumns(labels.names, labels.labels, labels.levels)
    pandas = Pandas(
        tuple(level["name"] for level in labels.levels),
        tuple(fields),
        _is_numbered(frame.index),
        header.pandas.dtypes,
        categories,
    )
    return FrameHeader(columns, header.blocks, pandas)


def _columns(frame: Any, labels: Labels) -> tuple[pa.Table, FrameHeader]:
    """The frame's own columns, those of a number type in blocks where they are many."""
    dtypes = frame.dtypes.to_numpy()
    blocks: list[Packed] = []
    arrays: dict[str, Any] = {}
    rest = range(len(dtypes))
    if len(dtypes) >= FROM and len(frame):
        for kind, places in _number_types(dtypes).items():
            whole = len(places) == len(dtypes)
            matrix = _matrix(frame if whole else frame.iloc[:, places])
            name = column_blocks.block_name(kind, labels.names)
            blocks.append(Packed(name, kind, kind in ("float", "double"), column_blocks.spans(places)))
            arrays[name] = column_blocks.pack_matrix(matrix)
            rest = [] if whole else sorted(set(rest) - set(places))  # type: ignore[assignment]
    own: dict[str, str] = {}
    categories: dict[str, Any] = {}
    for at in rest:
        name, kind = labels.names[at], str(dtypes[at])
        if kind == "object":
            _refuse_mixed(name, frame.iloc[:, at].array)
        elif found := _categories(dtypes[at]):
            categories[name] = found
        elif kind.startswith(_OWN_TYPES) or kind.endswith("[pyarrow]"):
            own[name] = kind
    if len(rest):
        others = frame.iloc[:, list(rest)] if blocks else frame.copy(deep=False)
        others.columns = [labels.names[at] for at in rest]
        table = pa.Table.from_pandas(others, preserve_index=False)
        arrays.update(zip(table.column_names, table.columns, strict=True))
    columns = FrameColumns(labels.names) if blocks else FrameColumns()
    if not arrays:
        return pa.table({"": pa.nulls(len(frame))}).select([]), FrameHeader(pandas=Pandas())
    return pa.table(arrays), FrameHeader(columns, tuple(blocks), Pandas(dtypes=own, categories=categories))


def _refuse_mixed(name: str, values: Iterable[Any]) -> None:
    """Raise `BadFrame` for objects that Arrow would make one type of by changing some."""
    kinds = {*map(type, values)}
    if kinds <= _NEVER_CHANGED:
        return
    held = [value for value in values if isinstance(value, dt.datetime | dt.timedelta) and value == value]  # noqa: PLR0124 - NaT
    moments = [value for value in held if isinstance(value, dt.datetime)]
    problem = ""
    if {str, bytes} <= kinds:
        problem = "text and bytes"
    elif moments and dt.date in kinds:
        problem = "dates and moments"
    elif len({value.tzinfo is None for value in moments}) > 1:
        problem = "moments with and without a time zone"
    elif any(isinstance(value, dt.time) and value.tzinfo is not None for value in values):
        problem = "times of day with a zone"
    elif any(getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0) for value in held):
        problem = "objects with nanoseconds"
    if problem:
        raise BadFrame(f"column {name!r} has {problem}: give it values of one type")


def _number_types(dtypes: Any) -> dict[str, list[int]]:
    """The places of the columns of each of numpy's number types of which there are many."""
    import numpy as np

    places: dict[Any, list[int]] = {}
    for at, dtype in enumerate(dtypes):
        places.setdefault(dtype, []).append(at)
    arrow = {"float32": "float", "float64": "double"}
    return {
        arrow.get(dtype.name, dtype.name): at
        for dtype, at in places.items()
        if isinstance(dtype, np.dtype)
        and dtype.isnative
        and len(at) >= FROM
        and arrow.get(dtype.name, dtype.name) in column_blocks.KINDS
    }


def _matrix(frame: Any) -> Any:
    import numpy as np

    return np.array(frame.to_numpy(), order="C", copy=True)  # the author may change the frame after it was returned


def _append(table: pa.Table, name: str, values: pa.Array[Any]) -> pa.Table:
    return table.append_column(name, values) if table.num_columns else pa.table({name: values})


def _categories(dtype: Any) -> tuple[tuple[str, ...], bool] | None:
    """The values and the order of categories of text: others come back as their values."""
    values = getattr(dtype, "categories", None)
    if values is None or not all(isinstance(value, str) for value in values):
        return None
    return tuple(values), bool(dtype.ordered)


def _is_numbered(index: Any) -> bool:
    """Whether an index is the plain 0, 1, 2, ... that pandas gives to every frame."""
    import pandas as pd

    return isinstance(index, pd.RangeIndex) and index.name is None and index.start == 0 and index.step == 1


def _level_column(name: Any, at: int, count: int, taken: list[str]) -> str:
    """The column that holds a level: its own name; without one, `index`, or `level_0` where there are several."""
    wanted = str(name) if name is not None else _UNNAMED if count == 1 else f"level_{at}"
    column, number = wanted, 1
    while column in taken:
        column, number = f"{wanted}_{number}", number + 1
    return column


def _own_levels(index: Any, spec: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """The name and values of each level that is the author's own; levels that repeat the spec's values are left out.

    Of `sort_subindex` there are values only where they are not 0, 1, 2, ...
    """
    if _is_numbered(index):
        return
    for at, name in enumerate(index.names):
        values = index if index.nlevels == 1 else _level(index, at)
        if isinstance(name, str) and name == layout.SORT_SUBINDEX:
            yield name, _places(values)
        elif isinstance(name, str) and name in spec:
            if not _repeats(values, spec[name]):
                raise BadFrame(f"the index level {name!r} has the name of an index column but other values; rename it")
        else:
            yield name, values


def _level(index: Any, at: int) -> Any:
    """A level's values; where all rows have the same one, that one value is kept for all."""
    level, codes = index.levels[at], index.codes[at]
    if len(codes) and (codes == codes[0]).all() and codes[0] >= 0:
        return _Constant(level[codes[0] : codes[0] + 1], len(codes))
    return index.get_level_values(at)


class _Constant:
    """One value for all rows."""

    def __init__(self, value: Any, rows: int) -> None:
        self.value = value
        self.rows = rows
        self.dtype = value.dtype


def _array(values: Any) -> pa.Array[Any]:
    if isinstance(values, _Constant):
        one = _storable(pa.array(values.value, from_pandas=True))
        return cast("pa.Array[Any]", one if values.rows == 1 else pa.repeat(one[0], values.rows))
    return cast("pa.Array[Any]", _storable(pa.array(values, from_pandas=True)))


def _storable(values: Any) -> Any:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary.take(values.indices)
    wanted = frame_types.storable(values.type)
    return values if values.type == wanted else values.cast(wanted)


def _places(values: Any) -> pa.Array[Any] | None:
    found: Any = _array(values)
    if pa.types.is_integer(found.type) and found.null_count == 0:
        counted = pa.array(range(len(found)), pa.int64())
        given = found.cast(pa.int64())
        return None if given.equals(counted) else given
    raise BadFrame(f"the index level {layout.SORT_SUBINDEX!r} must be whole numbers; rename it")


def _repeats(values: Any, wanted: Any) -> bool:
    if isinstance(values, _Constant) and _is_same(values.value[0], index_value(wanted)):
        return True
    return repeats(_array(values), wanted)


def _is_same(value: Any, wanted: Any) -> bool:
    """Whether they surely are one value; a doubt costs time only."""
    return type(wanted) in (int, float, str, bool) and value == wanted and (type(wanted) is not bool or value is wanted)


def repeats(column: Any, value: Any) -> bool:
    """Whether a column holds the spec's own value in every row."""
    value = index_value(value)
    if value is None or value != value:  # noqa: PLR0124 - NaN is not itself
        empty = pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))
        return pc.all(empty).as_py() is not False
    if column.null_count:
        return False
    try:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        wanted = pa.scalar(value)
        like_it = column.cast(wanted.type)
        exact = like_it.cast(column.type).equals(column)  # a cast may cut the time off a date, and make true of 2
        same = pc.all(pc.equal(like_it, wanted))
    except pa.ArrowException:
        return False
    return exact and same.as_py() is not False

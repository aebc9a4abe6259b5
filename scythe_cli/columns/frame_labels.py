"""The headers of several specs' frames as one: each column has the label that the first pandas frame gives it.

Input: headers. Output: one header for all their columns, or the ones whose levels are others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scythe_cli.columns.frame_header import FrameColumns, FrameHeader, Pandas

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TEXT = {"pandas_type": "unicode", "numpy_type": "object", "metadata": {"encoding": "UTF-8"}}
UNNAMED_LEVEL = (("index", None),)


class OtherLevels(ValueError):
    """Two pandas frames under one name have different levels; the message follows "dataframes[...]: "."""


def check_levels(one: Pandas, other: Pandas) -> None:
    """Raise `OtherLevels` unless the frames' columns and indexes have the same levels."""
    if one.level_names == other.level_names:
        return
    if one.column_levels != other.column_levels:
        ours, theirs = other.column_levels, one.column_levels
        raise OtherLevels(f"the columns have the levels {[*ours]}, not {[*theirs]},")
    if _may_count(one, other) or _may_count(other, one):
        return
    found, wanted = (sorted(pandas.level_names[1]) for pandas in (other, one))
    raise OtherLevels(f"the index has the levels {found}, not {wanted},")


def _may_count(one: Pandas, other: Pandas) -> bool:
    """Whether an unnamed index and the plain 0, 1, 2, ... meet: these numbers are that index's values."""
    return counts_rows(one.index_levels) and other.numbered and not other.index_levels


def counts_rows(levels: Sequence[tuple[str, str | None]]) -> bool:
    """Whether an index has one level without a name, as a plain 0, 1, 2, ... would be if it were kept."""
    return tuple(levels) == UNNAMED_LEVEL


def merge_headers(frames: Sequence[tuple[FrameHeader, Sequence[str]]]) -> FrameHeader:
    """One header for several frames, each with the names of its own columns; what the first says of a column goes."""
    pandas, own = None, dict[str, None]()
    levels = set[str]()
    for header, names in frames:
        pandas = _merge_pandas(pandas, {*own, *levels}, header.pandas, {*names, *header.level_columns()})
        own.update(dict.fromkeys(names))
        levels.update(header.level_columns())
    columns = merge_columns([header.columns for header, _ in frames], [name for name in own if name not in levels])
    return FrameHeader(columns, (), pandas)


def _merge_pandas(one: Pandas | None, names: set[str], other: Pandas | None, others: set[str]) -> Pandas | None:
    if one is None and other is None:
        return None
    first, second = one or Pandas(), other or Pandas()
    categories = {}
    for column in {**first.categories, **second.categories}:
        known, more = first.categories.get(column), second.categories.get(column)
        if (known is None and column in names) or (more is None and column in others):
            continue  # where one frame has plain text, the table has
        values, ordered = known or ((), more is not None and more[1])
        known_values = set(values)
        categories[column] = (values + tuple(v for v in (more or ((),))[0] if v not in known_values), ordered)
    levels = one or second
    return Pandas(
        levels.column_levels,
        first.index_levels or second.index_levels,
        levels.numbered,
        {**second.dtypes, **first.dtypes},
        categories,
    )


def merge_columns(held: Iterable[FrameColumns], names: Sequence[str]) -> FrameColumns:
    """The labels of columns, each that of the first frame that has it; no labels where no frame has any."""
    levels: list[dict[str, Any]] = []
    labels: dict[str, str | None] = {}
    for columns in held:
        if not columns.levels or columns.labels is None or columns.names is None:
            continue
        levels = _common(levels, columns.levels)
        for name, label in zip(columns.names, columns.labels, strict=True):
            labels.setdefault(name, label)
    if not levels:
        return FrameColumns()
    if len(levels) == 1:
        strangers = {name: name for name in names if name not in labels}
    else:
        nones = ", None" * (len(levels) - 1)
        strangers = {name: f"({name!r}{nones})" for name in names if name not in labels}
    if strangers:
        levels[0] = {**levels[0], **TEXT}
    labels |= strangers
    return FrameColumns(tuple(names), tuple(labels[name] for name in names), tuple(levels))


def _common(levels: list[dict[str, Any]], others: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The levels with types that hold the labels of both; text where they differ."""
    if not levels:
        return [*others]
    return [
        one if one["pandas_type"] == other["pandas_type"] else {**one, **TEXT}
        for one, other in zip(levels, others, strict=True)
    ]


def leader(headers: Sequence[FrameHeader], with_rows: Sequence[bool]) -> FrameHeader | None:
    """The first pandas frame, one that has rows if there is one: its levels are those of the table."""
    known = [(not rows, at) for at, (one, rows) in enumerate(zip(headers, with_rows, strict=True)) if one.pandas]
    return headers[min(known)[1]] if known else None

"""The labels of pandas' columns: plain text names for every library, and what pandas needs to have its labels again.

Input: the columns of a pandas frame. Output: a text name for each column; for pandas' metadata, the name of each column
as text and the type of each level.

The text name of a column with several levels joins the labels by "/", as `Energy/Raw/Lighting/1`; a "/" or "\\" inside
a label has a "\\" before it. The name of a column with one level is its label as text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

MISSING = "nan"
"""The text of a label that is missing."""
KNOWN = 8
"""Different columns that are remembered: the frames of a run usually have the same ones."""


class SameName(ValueError):
    """Two labels that give one text name."""


@dataclass(frozen=True)
class Labels:
    """What pandas calls the columns.

    Attributes:
        names: the text name of each column.
        labels: each column's entry `name` in pandas' metadata; None where it is the text name.
        levels: the entry `column_indexes` of pandas' metadata, one for each level.
    """

    names: tuple[str, ...]
    labels: tuple[str | None, ...]
    levels: tuple[dict[str, Any], ...]

    @property
    def plain(self) -> bool:
        """Whether the text names are the labels, so that pandas needs nothing else."""
        only = self.levels[0]
        return (
            len(self.levels) == 1
            and only["name"] is None
            and only["pandas_type"] == "unicode"
            and self.names == self.labels
        )


_known: list[tuple[pd.Index, tuple[Any, ...], Labels]] = []


def read_labels(columns: pd.Index) -> Labels:
    """The labels of a frame's columns. Raises `SameName` when two of them give one name."""
    levels = tuple(columns.names)
    for known, names, labels in _known:
        if names == levels and _same(known, columns):
            return labels
    labels = _multi(columns) if columns.nlevels > 1 else _single(columns.get_level_values(0))
    _known.insert(0, (columns, levels, labels))
    del _known[KNOWN:]
    return labels


def _same(one: Any, other: Any) -> bool:
    """Whether two sets of labels are equal in value and type."""
    if one is other:
        return True
    if one.nlevels != other.nlevels or len(one) != len(other):
        return False
    if one.nlevels > 1:
        kinds = [a.dtype == b.dtype for a, b in zip(one.levels, other.levels, strict=True)]
        return all(kinds) and bool(one.equals(other))
    return (
        one.dtype == other.dtype and bool(one.equals(other)) and (one.dtype != object or _types(one) == _types(other))
    )


def _types(labels: Any) -> list[type]:
    """1, True and 1.0 are equal, their names are not."""
    return [type(label) for label in labels]


def _single(columns: Any) -> Labels:
    values = list(columns)
    labels = tuple(_text(label) for label in values)
    names = tuple(str(label) if text is None else text for label, text in zip(values, labels, strict=True))
    _check_unique(names, values)
    return Labels(names, labels, (_level(columns, columns.names[0]),))


def _multi(columns: Any) -> Labels:
    texts = [[_text(label) for label in level] for level in columns.levels]
    flat = [[MISSING if text is None else _escape(text) for text in level] + [MISSING] for level in texts]
    quoted = [[repr(text) for text in level] + ["None"] for level in texts]
    codes = [level.tolist() for level in columns.codes]  # -1, a missing label, is the last of each list
    names = tuple(map("/".join, zip(*_taken(flat, codes), strict=True)))
    labels = tuple(f"({', '.join(parts)})" for parts in zip(*_taken(quoted, codes), strict=True))
    _check_unique(names, columns)
    levels = [_level(level, name) for level, name in zip(columns.levels, columns.names, strict=True)]
    zones = [level["metadata"] for level in levels if level["pandas_type"] == "datetimetz"]
    if zones:  # pyarrow reads the zone of any level from the first one
        levels[0]["metadata"] = zones[0]
    return Labels(names, labels, tuple(levels))


def _taken(values: list[list[str]], codes: list[list[int]]) -> list[list[str]]:
    return [[level[code] for code in of] for level, of in zip(values, codes, strict=True)]


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("/", "\\/") if "/" in text or "\\" in text else text


def _text(label: Any) -> str | None:
    """A label as pandas' metadata have it; None where it is missing."""
    if isinstance(label, str):
        return label
    if isinstance(label, bytes):
        return label.decode("utf-8", errors="replace")
    if label is None or label != label:  # noqa: PLR0124 - NaN and NaT are not themselves
        return None
    return str(label)


def _check_unique(names: tuple[str, ...], labels: Sequence[Any] | pd.Index) -> None:
    if len(set(names)) == len(names):
        return
    seen: dict[str, int] = {}
    for at, name in enumerate(names):
        if name in seen:
            one, other = (_shown(labels[place]) for place in (seen[name], at))
            if one == other:
                raise SameName(f"column {name!r} is there twice")
            raise SameName(f"the labels {one} and {other} give one column name, {name!r}; rename one of them")
        seen[name] = at


def _shown(label: Any) -> str:
    """A label as its author writes it: `1`, not `np.int64(1)`."""
    if isinstance(label, tuple):
        return f"({', '.join(map(_shown, label))})"
    return repr(label.item()) if type(label).__module__ == "numpy" else repr(label)


def _level(level: Any, name: Any) -> dict[str, Any]:
    """How pandas' metadata describe a level whose labels are written as text.

    Labels that pyarrow does not make again from text (booleans, dates, several types in one level) stay text.
    """
    from pandas.api.types import infer_dtype

    kind = infer_dtype(level, skipna=True)
    dtype = str(level.dtype)
    metadata = None
    if kind in ("integer", "floating"):
        pandas_type = dtype if dtype != "object" else {"integer": "int64", "floating": "float64"}[kind]
        if pandas_type != pandas_type.lower():  # pandas' own type with nulls
            pandas_type = dtype = pandas_type.lower()
    elif kind == "datetime64" and getattr(level, "tz", None) is not None:
        pandas_type, dtype, metadata = "datetimetz", f"datetime64[{level.unit}]", {"timezone": str(level.tz)}
    elif kind == "datetime64" and dtype != "object":
        pandas_type = "datetime"
    elif kind == "timedelta64" and dtype != "object":
        pandas_type = dtype
    else:
        pandas_type, dtype, metadata = "unicode", "object", {"encoding": "UTF-8"}
    text = None if name is None else str(name)
    return {"name": text, "field_name": text, "pandas_type": pandas_type, "numpy_type": dtype, "metadata": metadata}

"""Classes of an input: the parts of its range that rows are counted in.

Input: the values of a sample. Output: `Classes`, which gives each value the number of its class.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scythe_cli.report.document import Kind
    from scythe_cli.report.rows import Floats

MOST_CLASSES = 48
REGION_CLASSES = 8
"""Parts of an input's range that failures are shown for."""
_DAY = 86_400


@dataclass(frozen=True)
class Classes:
    """A partition of the values of one input.

    Attributes:
        edges: the borders between the classes; a value on a border belongs to the upper one.
        labels: of the classes.
    """

    edges: Floats
    labels: list[str]

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, values: Floats) -> NDArray[np.int64]:
        """The class of each value. What is NaN gets the last, and is for the caller to leave out."""
        return np.searchsorted(self.edges, values, side="right")


def class_count(rows: int) -> int:
    """How many classes the estimator of Plischke, Borgonovo and Smith (2013) takes for so many rows."""
    exponent = 2 / (7 + math.tanh((1500 - rows) / 500))
    return max(2, min(math.ceil(rows**exponent), MOST_CLASSES)) if rows else 2


def make_classes(sample: Floats, kind: Kind, count: int, *, levels: Sequence[str] = ()) -> Classes:
    """Classes of about the same number of rows; each value is a class where there are few.

    Args:
        sample: values of the input, NaN left out.
        kind: of the input.
        count: how many classes there may be.
        levels: the texts of a category, each of which is a class.
    """
    if kind == "category":
        return Classes(np.arange(1, len(levels), dtype=np.float64) - 0.5, list(levels) or ["all"])
    values = np.unique(sample)
    if len(values) <= (count if kind != "boolean" else 2):
        labels = [label(float(one), kind) for one in values] or ["all"]
        return Classes(_between(values), labels)
    edges = np.unique(np.quantile(values if kind == "date" else sample, np.linspace(0, 1, count + 1)[1:-1]))
    edges = edges[(edges > values[0]) & (edges <= values[-1])]
    ends = [float(values[0]), *edges.tolist(), float(values[-1])]
    ranges = pairwise(ends)
    return Classes(edges, [f"{label(low, kind)} to {label(high, kind)}" for low, high in ranges])


def _between(values: Floats) -> Floats:
    """The borders half way between neighbours; where no number is between them, the upper one."""
    middle = values[:-1] / 2 + values[1:] / 2
    return np.asarray(np.where(middle > values[:-1], middle, values[1:]), dtype=np.float64)


def label(value: float, kind: Kind) -> str:
    """One value as text."""
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "date":
        try:
            moment = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=round(value * _DAY))
        except OverflowError:
            return f"{value:.6g}"
        return moment.date().isoformat() if moment.time() == dt.time() else moment.isoformat(" ", "minutes")
    if kind == "integer" and abs(value) < 1e15:
        return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"
    return f"{value:.4g}"

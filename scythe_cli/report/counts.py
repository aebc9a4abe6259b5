"""The second pass over the rows: exact histograms, and sums over the classes of each input.

Input: what the first pass found, and the same chunks again. Output: histograms, sensitivity indices, failures by
region. Needs the memory of one chunk and of one table of classes for each input and output.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scythe_cli.report.classes import REGION_CLASSES, Classes, class_count, make_classes
from scythe_cli.report.document import NUMERIC, Histogram, Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scythe_cli.report.document import FieldText
    from scythe_cli.report.rows import Floats, ReportBlock, RowReader
    from scythe_cli.report.summary import Moments, Summary

BINS = 40
MOST_LEVELS_SHOWN = 30
BINS_A_DECADE = 8
ROUNDING = 1e-13
"""Values that differ by less, as a share of their mean, are one value: an index of rounding errors means nothing."""
HUGE = 1e150
"""The square of a larger number may not be finite."""
MOST_PAIRS = 20_000
"""Of an input and an output: beyond it, the last outputs have no sensitivity index."""


class Counter:
    """Counts the values of one column in bins of equal width, in bins that grow by a factor, or by level.

    Args:
        edges: the ends of the bins, rising; for levels, empty.
        levels: how many levels there are, for a category.
    """

    def __init__(self, edges: Floats, levels: int = 0) -> None:
        self._edges = edges
        self._counts = np.zeros(levels or max(len(edges) - 1, 1), np.int64)

    def add(self, values: Floats) -> None:
        """Count what is finite."""
        finite = values[np.isfinite(values)]
        if len(self._edges) == 0:
            places = finite.astype(np.int64)
        elif len(self._edges) <= 2:
            places = np.zeros(len(finite), np.int64)
        else:
            places = np.searchsorted(self._edges[1:-1], finite, side="right")
        self._counts += np.bincount(places, minlength=len(self._counts))[: len(self._counts)]

    def histogram(self, labels: Sequence[str] = ()) -> Histogram:
        """The counts; of a category those of the most frequent levels."""
        if not labels:
            return Histogram(self._edges.tolist(), [], self._counts.tolist())
        order = np.argsort(-self._counts[: len(labels)], kind="stable")
        shown = [int(at) for at in order[:MOST_LEVELS_SHOWN]]
        counts = [int(self._counts[at]) for at in shown]
        return Histogram([], [labels[at] for at in shown], counts, int(self._counts.sum()) - sum(counts))


def equal_bins(moments: Moments, *, whole: bool) -> Floats:
    """The ends of up to 40 bins over a range, fewer for few rows (Rice's rule); few whole numbers have a bin each."""
    low, high = moments.low, moments.high
    if not moments.count:
        return np.array([0.0, 1.0])
    if low == high:
        return np.array([low, high])
    if whole and high - low < BINS:
        return np.arange(low, high + 2) - 0.5
    shares = np.linspace(0, 1, min(BINS, math.ceil(2 * moments.count ** (1 / 3))) + 1)
    found: Floats = low * (1 - shares) + high * shares  # without a difference, which may be infinite
    found[0], found[-1] = low, high
    return np.maximum.accumulate(found)


def growing_bins(low: float, high: float) -> Floats:
    """The ends of bins that grow by a factor, from below `low` to above `high`."""
    if not (0 < low <= high < math.inf):
        return np.array([0.0, max(high, 0.0)])
    first = math.floor(math.log10(low) * BINS_A_DECADE)
    last = max(first + 1, math.ceil(math.log10(high) * BINS_A_DECADE))
    step = max(1, math.ceil((last - first) / 60))
    return np.asarray(10.0 ** (np.arange(first, last + step, step) / BINS_A_DECADE))


class ClassSums:
    """Count, sum and sum of squares of one output in each class of one input.

    Args:
        classes: how many there are.
        middle: the output's mean, which is taken off: sums of large numbers lose digits.
    """

    def __init__(self, classes: int, middle: float) -> None:
        self._middle = middle
        self._counts = np.zeros(classes)
        self._sums = np.zeros(classes)
        self._squares = 0.0

    def add(self, places: NDArray[np.int64], values: Floats) -> None:
        """Add rows: the class of each, and the output."""
        n = len(self._counts)
        with np.errstate(over="ignore", invalid="ignore"):
            apart = values - self._middle
            self._squares += float(apart @ apart)
            self._sums += np.bincount(places, weights=apart, minlength=n)
        self._counts += np.bincount(places, minlength=n)

    def index(self) -> float | None:
        """The first-order index: the correlation ratio, less what so many classes give by chance. None where undefined.

        Plischke, Borgonovo and Smith 2013 (EJOR 226, 536-550) for the estimator from given data; Kelley 1935 (PNAS 21,
        554-559) for the correction.
        """
        n = float(self._counts.sum())
        some = self._counts > 0
        used = int(some.sum())
        if n <= used or n < 3:
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            common = float(self._sums.sum() ** 2) / n
            total = self._squares - common
            between = float((self._sums[some] ** 2 / self._counts[some]).sum()) - common
        noise = n * (ROUNDING * self._middle) ** 2 if abs(self._middle) < HUGE else math.inf
        if not (math.isfinite(total) and math.isfinite(between)) or total <= noise:
            return None
        unexplained = (1 - between / total) * (n - 1) / (n - used)
        return float(min(1.0, max(0.0, 1 - unexplained)))


class _Input:
    """The classes of one input, and its part of each chunk."""

    def __init__(self, field: FieldText, sample: Floats, levels: Sequence[str], rows: int) -> None:
        known = sample[np.isfinite(sample)]
        self.name = field.name
        self.classes: Classes = make_classes(known, field.kind, class_count(rows), levels=levels)
        self.regions: Classes = make_classes(known, field.kind, REGION_CLASSES, levels=levels)
        self.rows = np.zeros(len(self.regions), np.int64)
        self.failed = np.zeros(len(self.regions), np.int64)

    def add_failures(self, values: Floats, failed: NDArray[np.bool_]) -> None:
        known = np.isfinite(values)
        places = self.regions.of(values[known])
        self.rows += np.bincount(places, minlength=len(self.rows))
        self.failed += np.bincount(places[failed[known]], minlength=len(self.rows))

    def shown(self) -> list[int]:
        """The regions in order; of a category with many levels those with the most failures."""
        order = np.lexsort((-self.rows, -self.failed))[:MOST_LEVELS_SHOWN]
        return sorted(int(at) for at in order)


class Counts:
    """What the second pass finds.

    Args:
        reader: the columns and the levels of categories.
        summary: what the first pass found.
    """

    def __init__(self, reader: RowReader, summary: Summary) -> None:
        sample = summary.drawn_inputs
        self.varying = [
            at
            for at, (field, one) in enumerate(zip(reader.inputs, summary.inputs, strict=True))
            if field.kind != "other" and one.low < one.high and not reader.input_levels[at].free_text
        ]
        self._inputs = [
            _Input(reader.inputs[at], sample[:, at], reader.input_levels[at].values, summary.rows)
            for at in self.varying
        ]
        self._any_failed = 0 < summary.failed < summary.rows
        self._failure_sums = [
            ClassSums(len(one.regions), summary.failed / max(summary.rows, 1)) for one in self._inputs
        ]
        most = max(1, MOST_PAIRS // max(len(self._inputs), 1))
        self.numeric = [at for at, field in enumerate(reader.outputs) if field.kind in NUMERIC][:most]
        self._sums = {
            at: [ClassSums(len(one.classes), summary.outputs[at].mean) for one in self._inputs] for at in self.numeric
        }
        self._counters = [
            _counter(field, moments, len(levels.values))
            for field, moments, levels in zip(reader.outputs, summary.outputs, reader.output_levels, strict=True)
        ]
        self._in_counters = [
            _counter(field, moments, len(levels.values))
            for field, moments, levels in zip(reader.inputs, summary.inputs, reader.input_levels, strict=True)
        ]
        self._durations = Counter(growing_bins(summary.shortest, summary.durations.high))
        self._reader = reader

    def add(self, chunk: ReportBlock) -> None:
        """Add one chunk."""
        for counter, values in zip(self._counters, chunk.outputs, strict=True):
            counter.add(values)
        for counter, values in zip(self._in_counters, chunk.inputs, strict=True):
            counter.add(values)
        self._durations.add(chunk.durations)
        finite = {at: np.isfinite(chunk.outputs[at]) for at in self.numeric}
        for number, (at, one) in enumerate(zip(self.varying, self._inputs, strict=True)):
            values = chunk.inputs[at]
            known, places = np.isfinite(values), one.classes.of(values)
            for output in self.numeric:
                rows = known & finite[output]
                self._sums[output][number].add(places[rows], chunk.outputs[output][rows])
            if self._any_failed:
                one.add_failures(values, chunk.failed)
                self._failure_sums[number].add(one.regions.of(values[known]), chunk.failed[known].astype(np.float64))

    def output_histogram(self, at: int) -> Histogram | None:
        """Of one output; None where nothing can be counted."""
        return _histogram(self._reader.outputs[at], self._counters[at], self._reader.output_levels[at].values)

    def input_histogram(self, at: int) -> Histogram | None:
        """Of one input."""
        return _histogram(self._reader.inputs[at], self._in_counters[at], self._reader.input_levels[at].values)

    @property
    def durations(self) -> Histogram:
        """Of the durations, with bins that grow by a factor."""
        return self._durations.histogram()

    def indices(self, output: int) -> dict[str, float]:
        """The index of each input for one output, the largest first; those that are undefined are left out."""
        return _ranked({one.name: sums.index() for one, sums in zip(self._inputs, self._sums[output], strict=True)})

    def failure_ranking(self) -> dict[str, float]:
        """The same for the difference between failed and succeeded."""
        pairs = zip(self._inputs, self._failure_sums, strict=True)
        return _ranked({one.name: sums.index() for one, sums in pairs}) if self._any_failed else {}

    def regions(self) -> list[Region]:
        """Failures in each part of each input's range."""
        return [
            Region(one.name, one.regions.labels[at], int(one.rows[at]), int(one.failed[at]))
            for one in self._inputs
            for at in one.shown()
            if one.rows[at]
        ]


def _ranked(found: dict[str, float | None]) -> dict[str, float]:
    known = {name: value for name, value in found.items() if value is not None}
    return dict(sorted(known.items(), key=lambda one: -one[1]))


def _counter(field: FieldText, moments: Moments, levels: int) -> Counter:
    if field.kind == "category":
        return Counter(np.empty(0), max(levels, 1))
    return Counter(equal_bins(moments, whole=field.kind in {"integer", "boolean"}))


def _histogram(field: FieldText, counter: Counter, levels: Sequence[str]) -> Histogram | None:
    if field.kind == "other" or (field.kind == "category" and not levels):
        return None
    return counter.histogram(levels if field.kind == "category" else ())

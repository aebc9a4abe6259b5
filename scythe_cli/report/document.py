"""What a report says about a run, as numbers: `scythe report --json` prints it, and the page draws it.

Input: nothing. Output: dataclasses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from scythe_cli.operations.failure_groups import FailureGroup

Kind = Literal["number", "integer", "date", "boolean", "category", "other"]
NUMERIC: frozenset[str] = frozenset({"number", "integer", "date", "boolean"})
"""Kinds that have a mean and a sensitivity index."""


@dataclass(frozen=True)
class Head:
    """What the run is.

    Attributes:
        run: its id.
        address: its folder.
        experiment: the function and its line.
        description: the first line of the input model's docstring.
        entry_point: module:function.
        source_hash: SHA-256 of its source files.
        code_version: the name that Register(version=...) gives to the code, or null.
        git_commit: of the experiment's folder, or null.
        packages: versions of the packages that it imports.
        python: the version of Python.
        host: the machine that started it.
        engine: where specs ran.
        seed: `run.seed`.
        design: what made the specs, or null.
        created: when it was claimed, UTC.
        state: as `scythe status` has it.
        detail: who cancelled it, or why it stopped.
        total: specs.
        succeeded: specs that succeeded.
        failed: specs that failed.
        missing: specs without a result yet.
        reused: specs taken over from an earlier run.
        tables: addresses of the final tables that exist.
    """

    run: str
    address: str
    experiment: str
    description: str
    entry_point: str
    source_hash: str
    code_version: str | None
    git_commit: str | None
    packages: dict[str, str]
    python: str
    host: str
    engine: str
    seed: int
    design: dict[str, Any] | None
    created: datetime
    state: str
    detail: str
    total: int
    succeeded: int
    failed: int
    missing: int
    reused: int
    tables: dict[str, str]


@dataclass(frozen=True)
class FieldText:
    """What the model says about a field.

    Attributes:
        name: of the field.
        kind: number, integer, date, boolean, category or other.
        unit: from the description's `[unit]`, or from `json_schema_extra={"unit": ...}`; may be empty.
        description: without the unit.
        low: the smallest value that the model takes, or null.
        high: the largest, or null.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Histogram:
    """Counts over all rows.

    Attributes:
        edges: the ends of the bins, one more than there are counts; empty for categories.
        labels: the values of a category; empty for numbers.
        counts: rows in each bin. A bin has its lower end, the last one both.
        others: rows with a value that has no bin of its own.
    """

    edges: list[float]
    labels: list[str]
    counts: list[int]
    others: int = 0


@dataclass(frozen=True)
class Column:
    """One input or output over all finished rows; of an output over those that succeeded.

    Attributes:
        field: what the model says about it.
        count: rows with a value.
        null: rows without one.
        nan: rows whose value is NaN.
        infinite: rows whose value is infinite.
        out_of_bounds: specs that failed because this output was outside the model's bounds.
        constant: whether all values are equal.
        low: the smallest value, of a date in days since 1970-01-01.
        high: the largest.
        mean: of the finite values.
        std: their standard deviation.
        histogram: null where nothing can be counted.
    """

    field: FieldText
    count: int
    null: int
    nan: int
    infinite: int
    out_of_bounds: int
    constant: bool
    low: float | None
    high: float | None
    mean: float | None
    std: float | None
    histogram: Histogram | None


@dataclass(frozen=True)
class Region:
    """A part of one input's range and the failures in it.

    Attributes:
        input: its name.
        label: the values, `1.5 to 3` or `NoEconomizer`.
        rows: finished specs in it.
        failed: how many of them failed.
    """

    input: str
    label: str
    rows: int
    failed: int


@dataclass(frozen=True)
class Failures:
    """What failed, and where in the space of the inputs.

    Attributes:
        groups: failures by kind, type and place, most frequent first.
        more_groups: further groups that are left out.
        ranking: input -> how much of the difference between failed and succeeded specs it explains, 0 to 1.
        regions: each input's range in parts, in order.
    """

    groups: list[FailureGroup]
    more_groups: int
    ranking: dict[str, float]
    regions: list[Region]


@dataclass(frozen=True)
class Sensitivity:
    """How much each input says about one output.

    Attributes:
        output: its name.
        given_data: input -> the first-order index from all rows: Var(E[Y|X]) / Var(Y), from 0 to 1. Estimated as the
            correlation ratio over classes of X (Plischke, Borgonovo and Smith 2013, European Journal of Operational
            Research 226, 536-550), less what chance alone gives (Kelley 1935, PNAS 21, 554-559).
        design: input -> the indices of the design's own method: of morris `mu`, `mu_star`, `mu_star_conf`, `sigma`; of
            saltelli `S1`, `S1_conf`, `ST`, `ST_conf`. Empty for other designs.
    """

    output: str
    given_data: dict[str, float]
    design: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """Rows drawn at random: the points of the plots.

    Attributes:
        seed: of the draw. The same seed draws the same rows.
        sort_index: which rows.
        failed: whether each of them failed. More of the failed ones are drawn than their share.
        inputs: values by input; of a category the text.
        outputs: values by output; null where a spec failed.
    """

    seed: int
    sort_index: list[int]
    failed: list[bool]
    inputs: dict[str, list[float | str | None]]
    outputs: dict[str, list[float | str | None]]


@dataclass(frozen=True)
class SlowSpec:
    """One of the slowest specs."""

    sort_index: int
    state: str
    duration: float
    attempts: int
    worker: str
    start: datetime | None
    inputs: dict[str, Any]


@dataclass(frozen=True)
class Execution:
    """How long specs ran, from what execution.pq is made of.

    Attributes:
        count: specs with a duration.
        total: seconds of all specs together.
        mean: seconds.
        longest: seconds.
        histogram: with bins that grow by a factor.
        slowest: the longest first.
    """

    count: int
    total: float
    mean: float | None
    longest: float | None
    histogram: Histogram | None
    slowest: list[SlowSpec]


@dataclass(frozen=True)
class Report:
    """What a report says about a run.

    Attributes:
        head: what the run is.
        failures: what failed, and where.
        inputs: each input over all finished specs.
        outputs: each output over the specs that succeeded.
        sensitivity: of each output that is a number.
        sample: the points of the plots.
        execution: durations and slowest specs.
        notes: what a reader must know of these numbers.
        page: where the HTML page was written, or null.
    """

    head: Head
    failures: Failures
    inputs: list[Column]
    outputs: list[Column]
    sensitivity: list[Sensitivity]
    sample: Sample
    execution: Execution
    notes: list[str]
    page: str | None = None

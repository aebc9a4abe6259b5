"""`report`: everything that a report says about a run.

Input: a run, finished or not. Output: a `Report`. Reads the outcomes twice, writes nothing, and needs no table: so a
run that is at work can be reported.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scythe_cli.errors import ConfigError
from scythe_cli.operations.failure_groups import failure_groups
from scythe_cli.operations.output_counts import OutputCounts
from scythe_cli.operations.status import status
from scythe_cli.report.classes import label
from scythe_cli.report.counts import Counts
from scythe_cli.report.design_indices import DesignOutputs
from scythe_cli.report.document import (
    NUMERIC,
    Column,
    Execution,
    Failures,
    Head,
    Report,
    Sample,
    Sensitivity,
)
from scythe_cli.report.rows import RowReader
from scythe_cli.report.summary import Summary
from scythe_cli.run.compatibility import refuse_wrong_total
from scythe_cli.run.generation import code_of_rows, latest_code
from scythe_cli.run.run import OriginalRun
from scythe_cli.run.state import read_state

if TYPE_CHECKING:
    from scythe_cli.operations.status import RunStatus
    from scythe_cli.report.document import FieldText, Histogram
    from scythe_cli.report.rows import Floats, TextLevels
    from scythe_cli.report.summary import Drawn, Moments
    from scythe_cli.run.run import Run
    from scythe_cli.run.state import RunState

SHOWN = 800
"""Succeeded rows among the points of the plots."""
SHOWN_FAILED = 200
MOST_GROUPS = 50


def report(run: Run, *, seed: int = 0) -> Report:
    """Describe a run: failures, distributions, sensitivity, durations.

    Args:
        run: the run. It may be at work, or have stopped before its end: then the report is about the finished specs.
        seed: of the rows that are drawn for the plots.

    Raises:
        ConfigError: scythe-engine made the run.
        StoreError: the storage does not answer, or the manifest counts other specs than the run has.
    """
    if isinstance(run, OriginalRun):
        message = f"{run.id} was made by scythe-engine: there is no report of it"
        raise ConfigError(message, hint=f"scythe download {run.store.locate('')}")
    refuse_wrong_total(run)
    state = read_state(run)
    reader = RowReader(run, state)
    summary = Summary(len(reader.inputs), len(reader.outputs), seed)
    for chunk in reader.first_pass():
        summary.add(chunk)
    counts = Counts(reader, summary)
    names = [field.name for field in reader.inputs]
    designed = DesignOutputs(run.manifest.design, run.total, names, counts.numeric)
    for chunk in reader.second_pass():
        counts.add(chunk)
        designed.add(chunk)
    by_design = designed.indices()
    return Report(
        head=_head(run, state, status(run), reader),
        failures=_failures(run, state, counts),
        inputs=_inputs(reader, summary, counts),
        outputs=_outputs(reader, summary, counts),
        sensitivity=[
            Sensitivity(reader.outputs[at].name, counts.indices(at), by_design.get(at, {})) for at in counts.numeric
        ],
        sample=_sample(reader, summary),
        execution=_execution(summary, counts),
        notes=[*_notes(run, reader, summary, counts), *designed.notes],
    )


def _head(run: Run, state: RunState, now: RunStatus, reader: RowReader) -> Head:
    manifest, latest = run.manifest, latest_code(run)
    return Head(
        run=run.id,
        address=run.store.locate(""),
        experiment=manifest.place,
        description=reader.description,
        entry_point=manifest.entry_point,
        source_hash=latest.source_hash,
        code_version=manifest.code_version,
        git_commit=latest.git_commit,
        packages=latest.packages,
        python=latest.python,
        host=manifest.host,
        engine=manifest.engine,
        seed=latest.seed,
        design=manifest.design,
        created=manifest.created,
        state=now.state,
        detail=now.detail,
        total=now.total,
        succeeded=now.succeeded,
        failed=now.failed,
        missing=now.missing,
        reused=sum(part.rows for part in state.parts if part.generation == 0),
        tables=now.final,
    )


def _failures(run: Run, state: RunState, counts: Counts) -> Failures:
    groups = failure_groups(run, state) if state.failed else []
    return Failures(
        groups=groups[:MOST_GROUPS],
        more_groups=max(0, len(groups) - MOST_GROUPS),
        ranking=counts.failure_ranking(),
        regions=counts.regions() if state.failed else [],
    )


def _inputs(reader: RowReader, summary: Summary, counts: Counts) -> list[Column]:
    return [
        _column(field, summary.rows, summary.inputs[at], OutputCounts(), counts.input_histogram(at))
        for at, field in enumerate(reader.inputs)
    ]


def _outputs(reader: RowReader, summary: Summary, counts: Counts) -> list[Column]:
    found = reader.counter.counts()
    good = summary.rows - summary.failed
    return [
        _column(field, good, summary.outputs[at], found.get(field.name, OutputCounts()), counts.output_histogram(at))
        for at, field in enumerate(reader.outputs)
    ]


def _column(field: FieldText, rows: int, moments: Moments, found: OutputCounts, histogram: Histogram | None) -> Column:
    """One column. Of inputs NaN and null are counted together: neither is a value."""
    number = field.kind not in {"category", "other"} and moments.count > 0
    null = found.null if found.null or field.kind == "other" else moments.nan - found.nan
    return Column(
        field=field,
        count=moments.count if field.kind != "other" else rows - found.null,
        null=null,
        nan=found.nan,
        infinite=moments.infinite,
        out_of_bounds=found.out_of_bounds,
        constant=found.constant or (moments.count == rows > 1 and moments.low == moments.high),
        low=moments.low if number else None,
        high=moments.high if number else None,
        mean=moments.mean if number and math.isfinite(moments.mean) else None,
        std=moments.std if number else None,
        histogram=histogram,
    )


def _sample(reader: RowReader, summary: Summary) -> Sample:
    good, bad = summary.good, summary.bad
    picked = [(good, min(SHOWN, len(good.draws))), (bad, min(SHOWN_FAILED, len(bad.draws)))]
    width = len(reader.inputs)
    inputs = [_drawn(picked, at, field, reader.input_levels[at]) for at, field in enumerate(reader.inputs)]
    outputs = [_drawn(picked, width + at, field, reader.output_levels[at]) for at, field in enumerate(reader.outputs)]
    return Sample(
        seed=good.seed,
        sort_index=[int(one) for drawn, n in picked for one in drawn.sort_index[:n]],
        failed=[drawn is bad for drawn, n in picked for _ in range(n)],
        inputs={field.name: values for field, values in zip(reader.inputs, inputs, strict=True) if values is not None},
        outputs={
            field.name: values for field, values in zip(reader.outputs, outputs, strict=True) if values is not None
        },
    )


def _drawn(
    picked: list[tuple[Drawn, int]], at: int, field: FieldText, levels: TextLevels
) -> list[float | str | None] | None:
    """The values of one column in the sample; None for a column that cannot be drawn."""
    if field.kind == "other" or levels.free_text:
        return None
    values: list[float | str | None] = []
    for drawn, n in picked:
        values += [_value(one, field, levels.values) for one in (drawn.values[:n, at] if n else ())]
    return values


def _value(value: Floats, field: FieldText, levels: list[str]) -> float | str | None:
    if not math.isfinite(float(value)):
        return None
    if field.kind == "category":
        return levels[int(value)]
    return label(float(value), "boolean") if field.kind == "boolean" else float(value)


def _execution(summary: Summary, counts: Counts) -> Execution:
    moments = summary.durations
    return Execution(
        count=moments.count,
        total=moments.mean * moments.count,
        mean=moments.mean if moments.count else None,
        longest=moments.high if moments.count else None,
        histogram=counts.durations if moments.count else None,
        slowest=summary.slowest,
    )


def _notes(run: Run, reader: RowReader, summary: Summary, counts: Counts) -> list[str]:
    notes = []
    if (made_by := code_of_rows(run)) is not None:
        notes.append(f"different code made the rows: {made_by}")
    if missing := run.total - summary.rows:
        notes.append(
            f"{missing:,} of {run.total:,} specs have no result yet: every number here is about the "
            f"{summary.rows:,} that are finished"
        )
    if reader.unreadable:
        notes.append(f"{len(reader.unreadable):,} parts of results cannot be read and are left out")
    free = [
        field.name
        for fields, levels in ((reader.inputs, reader.input_levels), (reader.outputs, reader.output_levels))
        for field, known in zip(fields, levels, strict=True)
        if known.free_text or field.kind == "other"
    ]
    if free:
        some = ", ".join(free[:5]) + (f" and {len(free) - 5:,} more" if len(free) > 5 else "")
        notes.append(f"not counted, because they are neither numbers nor categories: {some}")
    left = sum(field.kind in NUMERIC for field in reader.outputs) - len(counts.numeric)
    if left > 0:
        notes.append(
            f"the last {left:,} outputs have no sensitivity index: there are too many pairs of input and output"
        )
    drawn = len(summary.good.draws) + len(summary.bad.draws)
    if len(counts.varying) and drawn < summary.rows:
        notes.append("the borders of the classes of inputs are from a sample; what is counted in them is every row")
    return notes

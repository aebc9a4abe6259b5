"""The sections of the page, in order: run, failures, outputs, inputs against outputs, sample, durations.

Input: a `Report`. Output: HTML, and the figures that it has places for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scythe_cli.report import figures
from scythe_cli.report.classes import label
from scythe_cli.report.markup import Markup, details, element, table, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scythe_cli.operations.failure_groups import FailureGroup
    from scythe_cli.report.document import Column, FieldText, Region, Report, Sensitivity
    from scythe_cli.report.figures import Figure

STATES = {"gathered": "finished", "complete": "finished, tables not built", "incomplete": "stopped before the end"}
MOST_ROWS = 300
"""Rows of a table in the page; `--json` has all."""


@dataclass
class Plots:
    """The figures of a page, by the id of their place.

    Attributes:
        points: rows of the sample in each scatter plot.
        most: plots of a kind.
        axes: of the parallel coordinates.
    """

    points: int = 300
    most: int = 16
    axes: int = 14
    figures: dict[str, Figure] = field(default_factory=dict)

    def place(self, figure: Figure | None, caption: str = "") -> Markup:
        """An element for a figure, with the words for people who do not see it."""
        if figure is None:
            return Markup("")
        name = f"plot-{len(self.figures) + 1}"
        self.figures[name] = figure
        plot = element(
            "div", id=name, _class="plot", role="img", aria_label=figure.about, style=f"height:{figure.height}px"
        )
        return element("figure", plot, *([element("figcaption", text(caption))] if caption else []))


def section(name: str, title: str, *inside: Markup) -> Markup:
    """A section with its heading as its label."""
    heading = element("h2", text(title), id=f"{name}-title")
    return element("section", heading, *inside, id=name, aria_labelledby=f"{name}-title")


def paragraph(words: str, kind: str = "") -> Markup:
    """A paragraph; `kind` is soft or note."""
    return element("p", text(words), _class=kind)


def head(report: Report) -> Markup:
    """What, which code, when, where the tables are."""
    run = report.head
    state = STATES.get(run.state, run.state)
    counts = {"specs": run.total, "succeeded": run.succeeded, "failed": run.failed, "without a result": run.missing}
    if run.reused:
        counts["taken over from an earlier run"] = run.reused
    boxes = [element("div", element("dt", text(name)), element("dd", text(f"{n:,}"))) for name, n in counts.items()]
    rows = {
        "state": f"{state} ({run.detail})" if run.detail else state,
        "function": f"{run.experiment}, as {run.entry_point}",
        "code": run.source_hash + (f", called {run.code_version}" if run.code_version else ""),
        "git commit": run.git_commit or "none",
        "began": f"{run.created:%Y-%m-%d %H:%M:%S} UTC",
        "where": f"engine {run.engine}, started on {run.host} with Python {run.python}",
        "packages": ", ".join(f"{name} {version}" for name, version in run.packages.items()),
        "design": _design(run.design),
        "folder": run.address,
        **{f"table {name}": address for name, address in run.tables.items()},
    }
    cells = [[text(name), text(value)] for name, value in rows.items() if value]
    return element(
        "section",
        element("h1", text(run.run)),
        paragraph(run.description, "soft"),
        *(paragraph(note, "note") for note in report.notes),
        element("dl", *boxes, _class="counts"),
        table("The run, its code and its tables", ["what", "value"], cells),
        id="run",
        aria_label="The run",
    )


def _design(design: dict[str, Any] | None) -> str:
    if not design:
        return ""
    given, space = design.get("versions"), design.get("space")
    versions = [f"{name} {version}" for name, version in given.items()] if isinstance(given, dict) else []
    fields = [str(name) for name in space] if isinstance(space, dict) else []
    return (
        f"{design.get('method')}, n = {design.get('n')}, seed = {design.get('seed')}, fields {', '.join(fields)} "
        f"({', '.join(versions)})"
    )


def failures(report: Report, plots: Plots) -> Markup:
    """What failed, and in which part of the inputs."""
    done = report.head.succeeded + report.head.failed
    if not report.head.failed:
        return section("failures", "Failures", paragraph(f"None of the {done:,} finished specs failed."))
    overall = report.head.failed / done
    found = report.failures
    by_input = {name: [one for one in found.regions if one.input == name] for name in found.ranking}
    worst = sorted(found.regions, key=lambda one: (-one.failed / one.rows, -one.rows))
    worst = [one for one in worst if _is_above(one, overall)]
    names = [name for name in by_input if by_input[name]]
    names = [name for at, name in enumerate(names) if not at or found.ranking[name] >= figures.LEAST_INDEX]
    names = names[: min(6, plots.most)]
    parts = [
        paragraph(f"{report.head.failed:,} of {done:,} finished specs failed ({100 * overall:.2g}%)."),
        *(_group(group) for group in found.groups[:20]),
    ]
    if more := found.more_groups + max(0, len(found.groups) - 20):
        parts.append(paragraph(f"And {more:,} more kinds of failure: scythe status --errors shows them.", "soft"))
    if names:
        parts += [
            element("h3", text("Where in the inputs")),
            paragraph(
                "The share that failed in each part of an input's range; the dotted line is the share of all. The "
                "inputs that separate failed from succeeded specs best come first.",
                "soft",
            ),
            element(
                "div", *(plots.place(figures.failure_rates(by_input[name], overall)) for name in names), _class="plots"
            ),
            table(
                "Parts of the inputs where specs failed more often than elsewhere",
                ["input", "values", "failed", "finished", "share"],
                [
                    [
                        text(one.input),
                        text(one.label),
                        text(f"{one.failed:,}"),
                        text(f"{one.rows:,}"),
                        text(f"{100 * one.failed / one.rows:.3g}%"),
                    ]
                    for one in worst[:40]
                ],
                numbers=frozenset({2, 3, 4}),
            ),
        ]
    return section("failures", "Failures", *parts)


def _is_above(one: Region, overall: float) -> bool:
    """Whether more failed here than chance explains: by two standard deviations of a binomial count."""
    return one.failed > one.rows * overall + 2 * math.sqrt(one.rows * overall * (1 - overall))


def _group(group: FailureGroup) -> Markup:
    place = f" in {group.place}" if group.place else ""
    message = group.message.strip().partition("\n")[0]
    line = f"{group.count:,}x {group.error_type}{place}: {message}"
    inputs = ", ".join(f"{name} = {value}" for name, value in group.inputs.items())
    example = [paragraph(f"Spec {group.sort_index}, {group.kind}: {inputs}")]
    for title, words in (("Message", group.message), ("Traceback", group.traceback), ("Log", group.log)):
        if words.strip():
            example += [element("h4", text(title)), element("pre", text(words, most=4_000, lines=True), tabindex="0")]
    return details(line, *example)


def outputs(report: Report, plots: Plots) -> Markup:
    """Distributions against the model's bounds; NaN, constant and out of bounds marked."""
    if not report.outputs:
        return section("outputs", "Outputs", paragraph("The function has no output that is a column of scalars."))
    marked = [(column, marks(column)) for column in report.outputs]
    flagged = [f"{column.field.name}: {', '.join(found)}" for column, found in marked if found]
    parts = [paragraph(one, "note") for one in flagged[:20]]
    if len(flagged) > 20:
        parts.append(paragraph(f"And {len(flagged) - 20:,} more outputs are marked in the table.", "note"))
    drawn = [
        plots.place(figure, ", ".join(found))
        for column, found in marked
        if (figure := figures.distribution(column)) is not None and len(plots.figures) < 6 + plots.most
    ]
    parts += [
        paragraph(
            f"Counted over all {report.head.succeeded:,} specs that succeeded. Dashed lines are the model's bounds.",
            "soft",
        ),
        element("div", *drawn, _class="plots"),
    ]
    if len(drawn) < len(report.outputs):
        parts.append(
            paragraph(f"{len(drawn):,} of {len(report.outputs):,} outputs are drawn; the table has more.", "soft")
        )
    parts.append(_columns("Outputs", marked))
    return section("outputs", "Outputs and their bounds", *parts)


def marks(column: Column) -> list[str]:
    """What is conspicuous about a column."""
    numbers = {
        "NaN": column.nan,
        "without a value": column.null,
        "infinite": column.infinite,
        "out of bounds (these specs failed)": column.out_of_bounds,
    }
    found = [f"{number:,} {what}" for what, number in numbers.items() if number]
    return [*found, "constant: the same value in all specs"] if column.constant else found


def _columns(title: str, marked: Iterable[tuple[Column, list[str]]]) -> Markup:
    rows = [
        [
            text(column.field.name),
            text(column.field.unit),
            text(column.field.description),
            element("span", text("; ".join(found)), _class="mark"),
            text(_bounds(column.field)),
            text(f"{column.count:,}"),
            *(text(_number(value, column)) for value in (column.low, column.mean, column.high)),
            text("" if column.std is None else f"{column.std:.4g}"),
        ]
        for column, found in marked
    ]
    titles = ["name", "unit", "description", "marks", "bounds", "values", "min", "mean", "max", "std"]
    made = table(title, titles, rows[:MOST_ROWS], numbers=frozenset({5, 6, 7, 8, 9}))
    if len(rows) <= MOST_ROWS:
        return made
    more = paragraph(f"And {len(rows) - MOST_ROWS:,} more: scythe report --json has all.", "soft")
    return Markup(made + more)


def _number(value: float | None, column: Column) -> str:
    return "" if value is None else label(value, "number" if column.field.kind == "boolean" else column.field.kind)


def _bounds(found: FieldText) -> str:
    low = "" if found.low is None else label(found.low, found.kind)
    high = "" if found.high is None else label(found.high, found.kind)
    if low and high:
        return f"{low} to {high}"
    return f"at least {low}" if low else f"at most {high}" if high else ""


def inputs(report: Report, plots: Plots) -> Markup:
    """Inputs against outputs, ranked by the index."""
    ranked = [one for one in report.sensitivity if one.given_data]
    outputs_of = {column.field.name: column for column in report.outputs}
    order: dict[str, float] = {}
    for one in ranked:
        for name, value in one.given_data.items():
            order[name] = max(order.get(name, 0.0), value)
    names = sorted(order, key=lambda name: -order[name])[:40]
    parts = []
    if ranked:
        parts.append(
            paragraph(
                "The index is the share of an output's variance that an input explains alone, Var(E[Y|X]) / Var(Y), "
                "from 0 to 1. It is estimated from all rows as the correlation ratio over classes of the input "
                "(Plischke, Borgonovo and Smith 2013, European Journal of Operational Research 226, 536-550), less "
                "what chance gives (Kelley 1935). Inputs that act only together with others have a low index. Inputs "
                "that depend on each other share theirs.",
                "soft",
            )
        )
        if len(ranked) > 1:
            parts.append(plots.place(figures.index_map(ranked[:30], names[:20])))
        parts.append(_indices(ranked, names))
        parts += _by_design(report)
        parts += [_against(report, one, outputs_of[one.output], plots) for one in ranked[: plots.most]]
    else:
        parts.append(paragraph("There is no pair of an input and an output that both vary.", "soft"))
    parts.append(_columns("Inputs", [(column, marks(column)) for column in report.inputs]))
    return section("inputs", "Inputs against outputs", *parts)


def _against(report: Report, one: Sensitivity, output: Column, plots: Plots) -> Markup:
    figure = figures.against(report, one, output, points=plots.points)
    return Markup(element("h3", text(one.output)) + plots.place(figure)) if figure is not None else Markup("")


def _indices(ranked: list[Sensitivity], names: list[str]) -> Markup:
    rows = [
        [text(name), *(text(f"{one.given_data[name]:.3f}" if name in one.given_data else "") for one in ranked[:30])]
        for name in names
    ]
    titles = ["input", *(one.output for one in ranked[:30])]
    return table(
        "Sensitivity index of each input (row) for each output (column)",
        titles,
        rows,
        numbers=frozenset(range(1, len(titles))),
    )


def _by_design(report: Report) -> list[Markup]:
    """The indices that the design was made for."""
    found = [one for one in report.sensitivity if one.design]
    if not found or not report.head.design:
        return []
    method = str(report.head.design.get("method"))
    keys = list(next(iter(found[0].design.values())))
    rows = [
        [text(one.output), text(name), *(text(f"{values[key]:.4g}") for key in keys)]
        for one in found[:30]
        for name, values in one.design.items()
    ]
    about = (
        "Elementary effects of the design (Morris 1991; Campolongo, Cariboni and Saltelli 2007), by SALib: mu_star is "
        "the mean size of the effect over the input's whole range, sigma how much it depends on the other inputs."
        if method == "morris"
        else "Sobol indices of the design (Saltelli et al. 2010), by SALib: S1 is the share of the variance that the "
        "input explains alone, ST with all its interactions; the others are half widths of 95% intervals."
    )
    title = element("h3", text(f"Indices of the {method} design"))
    made = table(f"{method} indices", ["output", "input", *keys], rows, numbers=frozenset(range(2, len(keys) + 2)))
    return [title, paragraph(about, "soft"), made]


def sample(report: Report, plots: Plots) -> Markup:
    """Parallel coordinates of the sample."""
    figure = figures.parallel(report, axes=plots.axes)
    if figure is None:
        return section("sample", "Sample of specs", paragraph("No spec is finished yet."))
    good, bad = report.sample.failed.count(False), report.sample.failed.count(True)
    words = (
        f"{good:,} of the {report.head.succeeded:,} specs that succeeded and {bad:,} of the {report.head.failed:,} "
        f"that failed, drawn at random with seed {report.sample.seed}. Failed specs are orange. Drag along an axis to "
        "keep the lines that pass there."
    )
    return section("sample", "Sample of specs", paragraph(words, "soft"), plots.place(figure))


def durations(report: Report, plots: Plots) -> Markup:
    """How long specs ran, and the slowest."""
    found = report.execution
    if not found.count or found.histogram is None or found.mean is None or found.longest is None:
        return section("durations", "Durations", paragraph("No spec has a duration yet."))
    words = (
        f"{found.count:,} specs ran {found.total:,.4g} s in all, {found.mean:,.4g} s on average; the longest took "
        f"{found.longest:,.4g} s."
    )
    rows = [
        [
            text(one.sort_index),
            text(f"{one.duration:.4g}"),
            text(one.state),
            text(one.attempts),
            text(one.worker),
            text("" if one.start is None else f"{one.start:%Y-%m-%d %H:%M:%S}"),
            text(", ".join(f"{name} = {value}" for name, value in one.inputs.items()), most=300),
        ]
        for one in found.slowest
    ]
    titles = ["spec", "seconds", "state", "attempts", "worker", "start (UTC)", "inputs"]
    return section(
        "durations",
        "Durations and slowest specs",
        paragraph(words),
        plots.place(figures.durations(found.histogram)),
        table("The slowest specs", titles, rows, numbers=frozenset({1, 3})),
    )

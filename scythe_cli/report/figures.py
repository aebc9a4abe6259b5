"""The plots of a report, as plotly reads them: dicts of data and layout.

Input: a `Report`. Output: figures. Colours of text and lines come from the page's style, so that they follow light and
dark; the plots have only those of marks. Text goes through `plot_text`.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from scythe_cli.report.classes import label
from scythe_cli.report.markup import plot_text, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scythe_cli.report.document import Column, Histogram, Region, Report, Sample, Sensitivity

GOOD, BAD = "#3b82c4", "#d9622b"
"""A blue and an orange that also differ in brightness."""
LEAST_INDEX = 0.01
"""An input that says less has no plot, unless it is the first."""
DRAWABLE = 1e150
"""Plotly draws no bar at a larger number: such bins are drawn as categories."""
LARGEST = 1e30
"""Of a 32-bit float, with room."""
WIDE = 300
NARROW = 240


@dataclass(frozen=True)
class Figure:
    """One plot.

    Attributes:
        about: what it shows, for people who do not see it.
        data: its traces.
        layout: axes and sizes.
    """

    about: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.layout["height"])


def _layout(height: int, **more: Any) -> dict[str, Any]:
    base = {
        "height": height,
        "margin": {"l": 60, "r": 20, "t": 30, "b": 46},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "bargap": 0.04,
        "font": {"size": 12},
        "hoverlabel": {"font": {"size": 12}},
    }
    return base | more


def _axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title, "standoff": 8}, "automargin": True, "zeroline": False} | more


def _packed(values: Sequence[float]) -> dict[str, str]:
    """Numbers as plotly's base64 arrays: of 32-bit floats, where these have room for them."""
    data = np.asarray(values, dtype="<f8")
    small = not np.abs(data[np.isfinite(data)]).max(initial=0.0) > LARGEST
    kept = data.astype("<f4") if small else data
    return {"dtype": "f4" if small else "f8", "bdata": base64.b64encode(kept.tobytes()).decode()}


def titled(column: Column) -> str:
    """`heating [kWh/m2]`."""
    unit = f" [{column.field.unit}]" if column.field.unit else ""
    return plot_text(f"{column.field.name}{unit}")


def failure_rates(regions: Sequence[Region], overall: float) -> Figure:
    """The share that failed in each part of one input's range."""
    name = regions[0].input
    shares = [100 * one.failed / one.rows for one in regions]
    bars = {
        "type": "bar",
        "x": [plot_text(one.label, most=24) for one in regions],
        "y": [round(one, 3) for one in shares],
        "marker": {"color": BAD},
        "customdata": [[one.failed, one.rows] for one in regions],
        "hovertemplate": "%{x}: %{customdata[0]} of %{customdata[1]} failed<extra></extra>",
    }
    worst = max(regions, key=lambda one: one.failed / one.rows)
    about = (
        f"Bar chart: share of specs that failed by {name}. Highest: {100 * worst.failed / worst.rows:.1f}% "
        f"at {worst.label}; {100 * overall:.1f}% overall."
    )
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 100 * overall, "y1": 100 * overall}
    return Figure(
        about,
        [bars],
        _layout(
            NARROW,
            xaxis=_axis(plot_text(name), type="category"),
            yaxis=_axis("failed [%]", rangemode="tozero"),
            shapes=[line | {"line": {"dash": "dot", "width": 1.5, "color": GOOD}}],
        ),
    )


def distribution(column: Column) -> Figure | None:
    """The histogram of an output, with the model's bounds where they are near."""
    found = column.histogram
    if found is None or not sum(found.counts):
        return None
    about = f"Histogram of {column.field.name}: {column.count:,} values"
    if found.labels:
        others = [f"{found.others:,} others"] if found.others else []
        x: list[Any] = [plot_text(one, most=24) for one in found.labels] + (["others"] if others else [])
        bars = {
            "type": "bar",
            "x": x,
            "y": found.counts + ([found.others] if others else []),
            "marker": {"color": GOOD},
        }
        return Figure(
            about, [bars], _layout(NARROW, xaxis=_axis(titled(column), type="category"), yaxis=_axis("specs"))
        )
    low, high = column.low or 0.0, column.high or 0.0
    about += f" from {label(low, column.field.kind)} to {label(high, column.field.kind)}."
    layout = _layout(NARROW, xaxis=value_axis(column), yaxis=_axis("specs", rangemode="tozero"))
    if max(abs(low), abs(high)) > DRAWABLE:
        layout["xaxis"] = _axis(titled(column), type="category")
    else:
        layout["shapes"], layout["annotations"] = _bounds(column)
    return Figure(about, [_bars(found)], layout)


def _bars(found: Histogram) -> dict[str, Any]:
    edges = found.edges
    if len(edges) == 2 and edges[0] == edges[1]:
        return {"type": "bar", "x": [edges[0]], "y": found.counts, "marker": {"color": GOOD}}
    if max(map(abs, edges)) > DRAWABLE:
        bars = {"type": "bar", "x": [f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges)], "y": found.counts}
        return bars | {"marker": {"color": GOOD}}
    middles = [low / 2 + high / 2 for low, high in pairwise(edges)]
    width = edges[1] / 2 - edges[0] / 2
    return {
        "type": "bar",
        "x": [float(f"{one:.7g}") for one in middles],
        "y": found.counts,
        "width": float(f"{2 * width:.7g}") if math.isfinite(2 * width) else width,
        "marker": {"color": GOOD},
        "customdata": [[f"{low:.6g}", f"{high:.6g}"] for low, high in pairwise(edges)],
        "hovertemplate": "%{customdata[0]} to %{customdata[1]}: %{y} specs<extra></extra>",
    }


def value_axis(column: Column) -> dict[str, Any]:
    """The axis of a column's values; dates and booleans with their own labels."""
    kind, low, high = column.field.kind, column.low, column.high
    if kind == "boolean":
        return _axis(titled(column), tickvals=[0, 1], ticktext=["false", "true"])
    if kind == "date" and low is not None and high is not None:
        ticks = sorted({low, low * 0.75 + high * 0.25, (low + high) / 2, low * 0.25 + high * 0.75, high})
        return _axis(titled(column), tickvals=ticks, ticktext=[label(one, "date") for one in ticks])
    return _axis(titled(column))


def _bounds(column: Column) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Lines at the bounds that are no further from the values than these are from each other."""
    if column.low is None or column.high is None:
        return [], []
    span = (column.high - column.low) or abs(column.high) or 1.0
    near = [
        (bound, name)
        for bound, name in ((column.field.low, "min"), (column.field.high, "max"))
        if bound is not None and column.low - span <= bound <= column.high + span
    ]
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "line": {"color": BAD, "dash": "dash", "width": 1.5}}
    note = {"yref": "paper", "y": 1, "yanchor": "bottom", "showarrow": False, "font": {"size": 11}}
    return (
        [line | {"x0": bound, "x1": bound} for bound, _ in near],
        [note | {"x": bound, "text": f"{name} {bound:g}"} for bound, name in near],
    )


def index_map(found: Sequence[Sensitivity], names: Sequence[str]) -> Figure:
    """The index of each input for each output, as a table of colours."""
    values = [[round(one.given_data.get(name, 0.0), 4) for name in names] for one in found]
    heat = {
        "type": "heatmap",
        "x": [plot_text(name, most=24) for name in names],
        "y": [plot_text(one.output, most=24) for one in found],
        "z": values,
        "zmin": 0,
        "zmax": 1,
        "colorscale": [[0, "rgba(59,130,196,0.04)"], [1, "rgba(59,130,196,1)"]],
        "colorbar": {"title": {"text": "index"}, "thickness": 12},
        "hovertemplate": "%{y} by %{x}: %{z}<extra></extra>",
    }
    about = "Heat map: the first-order sensitivity index of each output for each input. The table has the numbers."
    height = min(700, 110 + 22 * len(found))
    return Figure(
        about,
        [heat],
        _layout(
            height,
            xaxis=_axis("input", type="category"),
            yaxis=_axis("output", type="category", autorange="reversed"),
        ),
    )


def against(report: Report, one: Sensitivity, output: Column, *, points: int, most: int = 3) -> Figure | None:
    """One output against the inputs that say most about it: a point for each row of the sample."""
    names = [name for name in one.given_data if name in report.sample.inputs]
    names = [name for at, name in enumerate(names) if not at or one.given_data[name] >= LEAST_INDEX][:most]
    values = report.sample.outputs.get(output.field.name)
    if not names or values is None:
        return None
    columns = {column.field.name: column for column in report.inputs}
    good = [at for at, failed in enumerate(report.sample.failed) if not failed][:points]
    data, layout = (
        [],
        _layout(
            WIDE,
            margin={"l": 60, "r": 20, "t": 8, "b": 46},
            grid={"rows": 1, "columns": len(names), "pattern": "coupled"},
        ),
    )
    y = _numbers([values[at] for at in good], output)[0]
    for number, name in enumerate(names, 1):
        x, ticks = _numbers([report.sample.inputs[name][at] for at in good], columns[name])
        suffix = "" if number == 1 else str(number)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": _packed(x),
                "y": _packed(y),
                "xaxis": f"x{suffix}",
                "yaxis": "y",
                "marker": {"size": 5, "opacity": 0.6, "color": GOOD},
            }
        )
        layout[f"xaxis{suffix}"] = _axis(f"{titled(columns[name])}  ({one.given_data[name]:.2f})", **ticks)
    layout["yaxis"] = value_axis(output)
    shown = ", ".join(f"{name} ({one.given_data[name]:.2f})" for name in names)
    return Figure(f"Scatter plots of {output.field.name} against {shown}; {len(good)} sampled specs.", data, layout)


def _numbers(
    values: Sequence[float | str | None], column: Column, *, plain: bool = False
) -> tuple[list[float], dict[str, Any]]:
    """Values as numbers, and the ticks of their axis: those of a category are the places of its labels.

    With `plain` the texts of the ticks are not escaped: parallel coordinates read nothing in them.
    """
    kind, found = column.field.kind, column.histogram
    if kind not in {"category", "boolean"}:
        numbers = [float(one) if isinstance(one, int | float) else math.nan for one in values]
        axis = value_axis(column)
        return numbers, {key: axis[key] for key in ("tickvals", "ticktext") if key in axis}
    labels = ["false", "true"] if kind == "boolean" else list(found.labels if found else [])
    rest = sorted({str(one) for one in values if one is not None} - set(labels))
    places = {name: float(at) for at, name in enumerate(labels)} | dict.fromkeys(rest, float(len(labels)))
    written = [shortened(one, 16) if plain else plot_text(one, most=16) for one in labels]
    shown = written + ["others"] * bool(rest)
    ticks = {"tickvals": list(range(len(shown))), "ticktext": shown}
    return [places[str(one)] if one is not None else math.nan for one in values], ticks


def parallel(report: Report, *, axes: int) -> Figure | None:
    """The sample as lines over the inputs and outputs; failed specs have a colour and a place of their own."""
    sample = report.sample
    if not sample.sort_index:
        return None
    inputs, outputs = _chosen(report, axes)
    dimensions = [_state_axis(sample)]
    for column in inputs:
        dimensions.append(_dimension(sample.inputs[column.field.name], column, missing="none"))
    for column in outputs:
        dimensions.append(_dimension(sample.outputs[column.field.name], column, missing="none"))
    data = {
        "type": "parcoords",
        "line": {
            "color": [int(one) for one in sample.failed],
            "colorscale": [[0, GOOD], [1, BAD]],
            "cmin": 0,
            "cmax": 1,
        },
        "dimensions": dimensions,
        "labelangle": -18,
        "labelside": "top",
        "unselected": {"line": {"opacity": 0.03}},
    }
    good, bad = sample.failed.count(False), sample.failed.count(True)
    names = ", ".join(column.field.name for column in (*inputs, *outputs))
    about = (
        f"Parallel coordinates of {good:,} succeeded and {bad:,} failed specs, drawn with seed {sample.seed}, over "
        f"{names}. Failed specs are orange and lead to `failed` on the first axis."
    )
    return Figure(about, [data], _layout(440, margin={"l": 70, "r": 70, "t": 110, "b": 30}))


def _chosen(report: Report, axes: int) -> tuple[list[Column], list[Column]]:
    """The inputs and outputs to draw: inputs that say most, outputs in order; what is constant is left out."""
    sums: dict[str, float] = dict.fromkeys(report.sample.inputs, 0.0)
    for ranking in (report.failures.ranking, *(one.given_data for one in report.sensitivity)):
        for name, value in ranking.items():
            if name in sums:
                sums[name] = max(sums[name], value)
    varying = [column for column in report.inputs if column.field.name in sums and not column.constant]
    outputs = [column for column in report.outputs if column.field.name in report.sample.outputs and column.count]
    outputs = [column for column in outputs if not column.constant][: max(axes // 2, axes - len(varying))]
    kept = sorted(varying, key=lambda column: -sums[column.field.name])[: axes - len(outputs)]
    return [column for column in varying if column in kept], outputs


def _state_axis(sample: Sample) -> dict[str, Any]:
    return {
        "label": "spec",
        "range": [0, 1],
        "tickvals": [0, 1],
        "ticktext": ["failed", "succeeded"],
        "values": [0 if one else 1 for one in sample.failed],
    }


def _dimension(values: Sequence[float | str | None], column: Column, *, missing: str) -> dict[str, Any]:
    """One axis; a row without a value leads to a tick below the others."""
    numbers, ticks = _numbers(values, column, plain=True)
    known = [one for one in numbers if math.isfinite(one)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    high = high if high > low else low + (abs(low) or 1.0)
    found: dict[str, Any] = {"label": titled(column), **ticks}
    if len(known) < len(numbers):
        below = low - 0.08 * (high - low)
        if "tickvals" not in found:
            steps = [low + share * (high - low) for share in (0, 0.25, 0.5, 0.75, 1)]
            found |= {"tickvals": steps, "ticktext": [f"{one:.3g}" for one in steps]}
        found |= {"tickvals": [below, *found["tickvals"]], "ticktext": [missing, *found["ticktext"]]}
        numbers = [one if math.isfinite(one) else below for one in numbers]
        low = below
    return found | {"range": [low, high], "values": _packed(numbers)}


def durations(found: Histogram) -> Figure:
    """How long specs ran, over a logarithmic axis."""
    edges = found.edges
    about = "Histogram of the durations of specs in seconds, on a logarithmic axis."
    if len(edges) == 2:
        bars = {"type": "bar", "x": [f"{edges[1]:.3g}"], "y": found.counts, "marker": {"color": GOOD}}
        return Figure(
            about, [bars], _layout(NARROW, xaxis=_axis("duration [s]", type="category"), yaxis=_axis("specs"))
        )
    pairs = list(pairwise(edges))
    bars = {
        "type": "bar",
        "x": [float(f"{math.sqrt(low * high):.5g}") for low, high in pairs],
        "width": [float(f"{high - low:.4g}") for low, high in pairs],
        "y": found.counts,
        "marker": {"color": GOOD},
        "customdata": [[f"{low:.3g}", f"{high:.3g}"] for low, high in pairs],
        "hovertemplate": "%{customdata[0]} to %{customdata[1]} s: %{y} specs<extra></extra>",
    }
    return Figure(
        about,
        [bars],
        _layout(NARROW, xaxis=_axis("duration [s]", type="log"), yaxis=_axis("specs", rangemode="tozero")),
    )

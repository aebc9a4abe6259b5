"""The page: one HTML file that needs no network.

Input: a `Report`. Output: HTML text with the plotting library in it. The page forbids itself every request and every
script but its own (a Content-Security-Policy with their hashes), so that a text which was not escaped could do nothing.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Any

import scythe_cli
from scythe_cli.core.extras import load_extra
from scythe_cli.errors import StoreError
from scythe_cli.report import sections
from scythe_cli.report.markup import Markup, element, in_script, text
from scythe_cli.report.sections import Plots
from scythe_cli.storage.atomic_files import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from scythe_cli.report.document import Report

GENERATOR = "scythe report"
LIMIT = 1_000_000
"""Bytes of a page besides the plotting library."""
SIZES = (
    Plots(),
    Plots(points=150, most=8, axes=10),
    Plots(points=60, most=4, axes=8),
    Plots(points=30, most=1, axes=5),
)
"""From the fullest page to the smallest: the first that fits is written."""
TITLES = {
    "run": "Run",
    "failures": "Failures",
    "outputs": "Outputs",
    "inputs": "Inputs against outputs",
    "sample": "Sample",
    "durations": "Durations",
}


def render(report: Report) -> str:
    """The page as text.

    Raises:
        ConfigError: the extra `report` is not installed.
    """
    library = Markup(load_extra("plotly.offline", extra="report", purpose="the page of a report").get_plotlyjs())
    for size in SIZES:
        found = _page(report, Plots(size.points, size.most, size.axes), library)
        if len(found.encode()) - len(library.encode()) <= LIMIT:
            break
    return found


def write(page: str, file: Path) -> None:
    """Write a page aside and move it to its place. Raises `StoreError` when it cannot be written."""
    try:
        with replacing(file) as aside:
            aside.write_text(page, encoding="utf-8")
    except OSError as exc:
        raise StoreError(f"cannot write {file}: {exc.strerror or exc}") from exc


def _page(report: Report, plots: Plots, library: Markup) -> str:
    body = [
        sections.head(report),
        sections.failures(report, plots),
        sections.outputs(report, plots),
        sections.inputs(report, plots),
        sections.sample(report, plots),
        sections.durations(report, plots),
    ]
    style, script = (
        Markup(resources.files("scythe_cli.report").joinpath(f"page.{kind}").read_text("utf-8"))
        for kind in ("css", "js")
    )
    documents: dict[str, Any] = {name: {"data": one.data, "layout": one.layout} for name, one in plots.figures.items()}
    links = [element("li", element("a", text(title), href=f"#{name}")) for name, title in TITLES.items()]
    head = [
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_policy(library, script)}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta name="generator" content="{GENERATOR} {text(scythe_cli.__version__)}">'),
        element("title", text(f"{report.head.run}: report")),
        Markup(f"<style>{style}</style>"),
    ]
    rest = [
        element("a", text("Skip to the failures"), href="#failures", _class="skip"),
        element("nav", element("ul", *links), aria_label="Sections"),
        element("main", *body),
        Markup("<noscript><p>The plots need JavaScript. The tables have the numbers.</p></noscript>"),
        Markup(f"<script>{library}</script>"),
        Markup(f'<script type="application/json" id="figures">{in_script(documents)}</script>'),
        Markup(f"<script>{script}</script>"),
    ]
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        *head,
        "</head>",
        "<body>",
        *rest,
        "</body>",
        "</html>",
        "",
    ]
    return "\n".join(parts)


def _policy(*scripts: str) -> str:
    """No request at all, and no script but these. Plotly compiles its parallel coordinates and styles its elements."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
    return (
        f"default-src 'none'; script-src {hashes} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )

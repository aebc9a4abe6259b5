"""The page of `scythe report` in a real browser: plots, no error, no request, light and dark, print, keyboard, labels.

Skipped where no Chromium is installed; `.ci/run` says so and how many.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import Page, find_chromium
from report_runs import EVIL, MODULE, specs

from scythe_cli.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the report's page is not opened"),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    (folder / "nasty.py").write_text(MODULE)
    (folder / "specs.csv").write_text(specs(300))
    (folder / "experiment.yml").write_text("experiment: nasty:nasty\nspecs: specs.csv\nrun: {max_failures: all}\n")
    here = Path.cwd()
    os.chdir(folder)
    try:
        assert app.run(["allocate", "--set", "run.retries=0"]) == 1
        assert app.run(["report", "-o", "page.html"]) == 0
    finally:
        os.chdir(here)
    return folder / "page.html"


@pytest.fixture(scope="module")
def page(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    assert CHROMIUM is not None
    with Page(CHROMIUM, tmp_path_factory.mktemp("profile")) as opened:
        opened.open(file)
        opened.wait_for(
            "document.querySelectorAll('.plot').length === document.querySelectorAll('.plot.js-plotly-plot').length"
        )
        opened.wait_for("document.querySelectorAll('#sample canvas').length > 0")
        yield opened


def test_every_plot_is_drawn(page: Page) -> None:
    plots = page.run("[...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('.main-svg').length)")
    assert len(plots) > 10
    assert min(plots) >= 1
    assert page.run("document.querySelectorAll('#outputs .plot .bars .point').length") > 20
    assert page.run("document.querySelectorAll('#failures .plot .bars .point').length") > 5
    assert page.run("document.querySelectorAll('#inputs .scatterlayer .point').length") > 200
    assert page.run("document.querySelectorAll('#durations .bars .point').length") > 2


def test_parallel_coordinates_have_an_axis_a_column_and_lines(page: Page) -> None:
    assert page.run("document.querySelectorAll('#sample .y-axis').length") > 8
    script = """(() => {
        let colored = 0;
        for (const drawn of document.querySelectorAll('#sample canvas')) {
            const copy = document.createElement('canvas');
            copy.width = drawn.width; copy.height = drawn.height;
            const context = copy.getContext('2d');
            context.drawImage(drawn, 0, 0);
            const pixels = context.getImageData(0, 0, copy.width, copy.height).data;
            for (let at = 3; at < pixels.length; at += 4) colored += pixels[at] > 0 ? 1 : 0;
        }
        return colored;
    })()"""
    page.wait_for(f"{script} > 1000")


def test_nothing_is_requested_and_nothing_goes_wrong(page: Page, file: Path) -> None:
    outside = [address for address in page.requests if not address.startswith(("data:", "blob:"))]
    assert outside == [file.as_uri()]
    assert page.problems == []


def test_hostile_texts_are_text(page: Page) -> None:
    assert EVIL.partition("%")[0] in page.run("document.querySelector('#failures').textContent")
    assert page.run("document.querySelectorAll('img, main b, main i, iframe, object, embed').length") == 0
    assert page.run("document.querySelectorAll('script').length") == 3
    labels = page.run("[...document.querySelectorAll('#failures svg text')].map(t => t.textContent)")
    assert "<b>x</b>" in labels
    assert "</script>" in labels


def test_a_script_that_slipped_in_could_not_run(page: Page) -> None:
    page.run(
        """(() => {
        const found = document.createElement('script'); found.textContent = 'window.slipped = 1';
        document.body.append(found);
        found.id = 'slipped-script';
        const image = document.createElement('div');
        image.innerHTML = '<img src="data:,x" onerror="window.slipped = 2">';
        image.id = 'slipped-image';
        document.body.append(image);
    })()"""
    )
    assert page.run("window.slipped === undefined")
    assert page.problems.pop() != ""  # the policy reports what it refused
    page.problems.clear()
    page.run("document.querySelectorAll('#slipped-script, #slipped-image').forEach(e => e.remove())")


@pytest.mark.parametrize(("scheme", "page_color"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 24, 30)")])
def test_light_and_dark(page: Page, scheme: str, page_color: str) -> None:
    page.media(scheme=scheme)
    assert page.run("getComputedStyle(document.body).backgroundColor") == page_color
    text = page.run("getComputedStyle(document.body).color")
    for place in ("#outputs", "#sample", "#inputs"):
        assert page.run(f"getComputedStyle(document.querySelector('{place} svg text')).fill") == text
    page.media(scheme="light")


def test_print_is_light_and_whole(page: Page) -> None:
    page.media(scheme="dark", kind="print")
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.run("getComputedStyle(document.querySelector('.scroll')).overflow") == "visible"
    page.media(scheme="light")
    printed = page.pdf()
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 3
    widest = page.run(
        "Math.max(...[...document.querySelectorAll('.plot svg.main-svg')].map(s => s.getBoundingClientRect().width))"
    )
    assert widest < 1047  # A4 landscape less its margins, at 96 dots an inch


def test_the_keyboard_reaches_what_can_be_read_further(page: Page) -> None:
    page.run("document.activeElement.blur()")
    reached = set()
    for _ in range(60):
        page.press("Tab")
        reached.add(page.run("document.activeElement.className || document.activeElement.tagName"))
    assert {"skip", "A", "SUMMARY", "scroll"} <= reached


def test_screen_readers_get_names(page: Page) -> None:
    nodes: list[dict[str, Any]] = page.call("Accessibility.getFullAXTree")["nodes"]
    by_role: dict[str, list[str]] = {}
    for node in nodes:
        if not node.get("ignored"):
            by_role.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    images = {name for role in ("image", "img") for name in by_role.get(role, [])}
    labels = set(page.run("[...document.querySelectorAll('.plot')].map(p => p.getAttribute('aria-label'))"))
    assert labels <= images
    for role in ("region", "table", "navigation", "heading", "link"):
        assert by_role[role]
        assert all(by_role[role]), role
    assert all(len(name) > 20 for name in labels)
    assert page.run("document.documentElement.lang") == "en"
    assert page.run("document.querySelectorAll('h1').length") == 1

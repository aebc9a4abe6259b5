"""The site: its strict build needs no network and fails at a broken link; its reference is what the code says."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docpages import ROOT

pytestmark = pytest.mark.slow
DOCS = ROOT / "docs"
BUILD = [
    sys.executable,
    "-m",
    "sphinx",
    "--fail-on-warning",
    "--keep-going",
    "--fresh-env",
    "--quiet",
    "--builder",
    "html",
]


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*BUILD, source, site], capture_output=True, text=True, check=False, timeout=100)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(DOCS, folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = {page.relative_to(DOCS).with_suffix(".html").as_posix() for page in DOCS.rglob("*.md")}
    assert {page for page in pages if not (site / page).is_file()} == set()


def test_the_navigation_has_every_page(site: Path) -> None:
    """A page that no table of contents names is a warning of Sphinx; the start page shows the parts."""
    text = (site / "index.html").read_text()
    assert [part for part in ("How to", "Reference", "How it is built") if part not in text] == []


def test_the_names_of_files_stand_above_their_blocks(site: Path) -> None:
    assert "walk.py" in re.findall(r'caption-text">([^<]+)<', (site / "how-to/resume-and-failures.html").read_text())


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    loads = r'<(?:script|img|link)[^>]+(?:src|href)="https?://[^"]+'
    assert [found for page in site.rglob("*.html") for found in re.findall(loads, page.read_text())] == []


@pytest.mark.parametrize(
    "link", ["[gone](gone.md)", "[gone](tutorial.md#gone)", "[gone](gone.sh)", "![gone](gone.svg)"]
)
def test_a_broken_link_is_an_error(tmp_path: Path, link: str) -> None:
    """On a copy that has the start page and the configuration alone."""
    source = tmp_path / "docs"
    source.mkdir()
    shutil.copy(DOCS / "conf.py", source)
    (source / "index.md").write_text(f"# Start\n\n```{{toctree}}\ntutorial\n```\n\n{link}\n")
    (source / "tutorial.md").write_text("# Tutorial\n")
    done = build(source, tmp_path / "site")
    assert done.returncode != 0
    assert "gone" in done.stderr


@pytest.mark.parametrize("page", ["commands.md", "experiment-yml.md"])
def test_the_tables_of_the_reference_are_fresh(page: str) -> None:
    tool = runpy.run_path(str(DOCS / "_tools" / "reference.py"))
    file = DOCS / "reference" / page
    assert file.read_text() == tool["text"](file), "run `make docs-reference`"


def test_pictures_load_no_fonts() -> None:
    pictures = list((DOCS / "images").glob("*.svg"))
    assert pictures
    assert [one.name for one in pictures if "@font-face" in one.read_text()] == []

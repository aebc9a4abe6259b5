"""Plain words: the package and its documentation are free of a few words that readers had to read twice.

Whole words count, also inside a name (`_told`, `tell_lane`): in code, comments, docstrings and pages. One thing is
excepted: `tell`, the method of a file.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = [
    *("told", "tell", "tells", "telling", "anew", "mourn", "mourns", "mourned", "forgo", "forgoes", "forgone"),
    *("stillborn", "doom", "doomed", "condemn", "condemned", "underway", "glance", "glances", "glanced"),
]
PRIVATE = re.compile(rf"(?<![a-z])(?:{'|'.join(WORDS)})(?![a-z])", re.IGNORECASE)
METHOD = re.compile(r"\.tell\(\)")
FILES = [
    *(path for folder in ("scythe_cli", "docs", "schemas") for path in (ROOT / folder).rglob("*") if path.is_file()),
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile")),
]
TEXTS = [path for path in FILES if path.suffix in {".py", ".md", ".yml", ".yaml", ".json", ".csv", ".sh", ""}]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_private_word(path: Path) -> None:
    lines = enumerate(METHOD.sub("", path.read_text(encoding="utf-8")).splitlines(), 1)
    assert [f"{number}: {line.strip()}" for number, line in lines if PRIVATE.search(line)] == []


@pytest.mark.parametrize("text", ["was told so", "_told = 1", "tell_lane()", "Anew.", "pos = file.tell() or tell()"])
def test_a_private_word_is_found_wherever_it_is(text: str) -> None:
    assert PRIVATE.search(METHOD.sub("", text))


@pytest.mark.parametrize("text", ["intelligent", "file.tell()", "renewed", "untellable", "a newline"])
def test_other_words_are_left_alone(text: str) -> None:
    assert not PRIVATE.search(METHOD.sub("", text))


def test_the_changelog_is_grouped_by_topic() -> None:
    """`### Topic`, and below it lines `Added`, `Changed`, `Fixed`."""
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    assert [line for line in lines if line in {"### Added", "### Changed", "### Fixed"}] == []

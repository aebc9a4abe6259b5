"""Who gives a table of specs gives values: nothing in it is evaluated, and a report of it is text."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hostile import Storage


@pytest.mark.parametrize(
    "cell",
    [
        "__import__('os').system('touch evil')",
        "=cmd|' /C touch evil'!A0",
        "${touch evil}",
        "$(touch evil)",
        "!!python/object/apply:os.system ['touch evil']",
        "\x1b]0;owned\x07\x1b[31mred",
    ],
)
def test_a_value_is_a_value(storage: Storage, cell: str) -> None:
    specs = storage.folder / "specs.csv"
    head, first, *rest = specs.read_text().splitlines()
    cells = [f'"{cell}"', *first.split(",")[1:]]
    specs.write_text("\n".join([head, ",".join(cells), *rest, ""]))
    before = sorted(path for path in storage.root.rglob("*"))
    done = storage.scythe("allocate", "--dry-run")
    assert done.code in (0, 2), done.err
    assert not list(storage.folder.rglob("evil"))
    assert not [one for one in done.out + done.err if one != "\n" and unicodedata.category(one) == "Cc"]
    assert sorted(path for path in storage.root.rglob("*")) == before


def test_every_test_that_the_page_names_exists() -> None:
    """A cell of the table is held by the test that it names."""
    import re

    tests = Path(__file__).parents[1]
    page = (tests.parent / "docs" / "security.md").read_text()
    table = page[page.index("## What each reaches") : page.index("Two things")]
    rows = [line for line in table.splitlines() if line.startswith("| **")]
    assert len(rows) == 5
    for row in rows:
        cells = row.strip("|").split("|")[1:]
        assert len(cells) == 5
        for cell in cells:
            named = re.findall(r"`([\w/]+\.py)`", cell)
            assert named or "see below" in cell, cell
            assert [name for name in named if not (tests / name).is_file()] == []

"""Modules that were edited after this process imported them."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import pytest
from user_modules import Write

from scythe_cli.session import imported

if TYPE_CHECKING:
    from pathlib import Path

CODE = """
import helper
from scythe_cli.session import imported
imported.remember(__name__)
VALUE = 1
"""


@pytest.fixture
def home(write: Write, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write(edited="VALUE = 1\n" + CODE, helper="VALUE = 1\n")
    monkeypatch.syspath_prepend(str(folder))
    return folder


def files(home: Path) -> list[Path]:
    return [home / "edited.py", home / "helper.py"]


def test_what_is_as_it_was_imported_is_no_change(home: Path) -> None:
    importlib.import_module("edited")
    assert imported.changed_modules(files(home)) == {}
    (home / "edited.py").touch()
    assert imported.changed_modules(files(home)) == {}
    assert not imported.was_reloaded("edited")


@pytest.mark.parametrize("name", ["edited", "helper"])
def test_an_edited_file_is_a_change_until_it_is_reloaded(home: Path, name: str) -> None:
    importlib.import_module("edited")
    file = home / f"{name}.py"
    file.write_text(file.read_text() + "MORE = 2\n")
    assert imported.changed_modules(files(home)) == {name: file.name}
    importlib.reload(sys.modules[name])
    assert imported.changed_modules(files(home)) == {}
    assert imported.was_reloaded(name)


def test_a_file_that_was_removed_is_a_change(home: Path) -> None:
    importlib.import_module("edited")
    (home / "helper.py").unlink()
    assert imported.changed_modules([home / "helper.py"]) == {"helper": "helper.py"}


def test_what_nobody_imported_is_no_change(home: Path) -> None:
    assert imported.changed_modules(files(home)) == {}

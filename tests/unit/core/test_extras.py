"""A library of an extra that is not installed: one sentence, with the pip line."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
from user_modules import MODELS, Write, told

from scythe_cli import make_onerow_multiindex_from_dict
from scythe_cli.core import extras
from scythe_cli.errors import ConfigError

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def test_the_extras_are_those_of_the_project() -> None:
    assert set(EXTRAS) == {"all", "design", "energy", "excel", "pandas", "report"}
    assert set(extras.LIBRARIES.values()) == set(EXTRAS) - {"all"}
    (everything,) = EXTRAS["all"]
    assert set(everything.partition("[")[2].rstrip("]").split(",")) == set(EXTRAS) - {"all"}


@pytest.mark.parametrize(("library", "extra"), extras.LIBRARIES.items())
def test_a_missing_library_is_one_sentence(library: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError) as caught:
        extras.load_extra(library, extra=extra, purpose="this")
    assert str(caught.value) == f"this needs {library}, which is not installed: pip install 'scythe-runner[{extra}]'"
    assert caught.value.exit_code == 2


def test_pandas_is_asked_for_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"needs pandas, .*pip install 'scythe-runner\[pandas\]'"):
        make_onerow_multiindex_from_dict({"a": 1})


def test_a_module_of_the_user_that_needs_one_is_one_sentence(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyenergyplus", None)
    monkeypatch.setitem(sys.modules, "pyenergyplus.api", None)
    folder = write(models=MODELS, exp="from pyenergyplus.api import EnergyPlusAPI\nfrom models import *\n")
    error = told("exp:simulate", folder)
    assert error.message == (
        "exp:simulate  exp needs pyenergyplus, which is not installed: pip install 'scythe-runner[energy]'"
    )

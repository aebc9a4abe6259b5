"""Modules as a user writes them: models, an experiment, and a fixture that writes them into a folder."""

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scythe_cli.errors import EntryPointError, ExitCode
from scythe_cli.experiment import experiment

MODELS = """
from enum import Enum
from pydantic import Field
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, FileReference

class In(ExperimentInputSpec):
    \"\"\"What goes in.\"\"\"
    lpd: float = Field(description="Lighting power density [W/m2]", ge=0, le=20)
    weather: FileReference = Field(description="Weather file [.epw]")
    tags: list[int] = Field(default_factory=list)

class Out(ExperimentOutputSpec):
    \"\"\"What comes out.\"\"\"
    heat: float = Field(description="Heating [kWh/m2]", ge=0)
"""
EXPERIMENT = """
from __future__ import annotations
from pathlib import Path
from scythe_cli import ExperimentRegistry
from models import In, Out
import helper

@ExperimentRegistry.Register(retries=3, execution_timeout="2m")
def simulate(input_spec: In, tempdir: Path) -> Out:
    \"\"\"Simulate one case.

    With care.
    \"\"\"
    return Out(heat=helper.HEAT)
"""
EXPECTED = (
    "expected `def {}(input_spec: MyInput, tempdir: Path) -> MyOutput:` (tempdir may be left out), with "
    "`class MyInput(ExperimentInputSpec)` and `class MyOutput(ExperimentOutputSpec)`"
)
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules; afterwards forget what was imported from them."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write_files(folder: str = "", **files: str) -> Path:
        home = tmp_path / folder
        for name, text in files.items():
            file = home / (name.replace("__", "/") + ".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text), encoding="utf-8")
        return home

    yield write_files
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def simple(write: Write, code: str = "", folder: str = "", **more: str) -> Path:
    """A folder with models and one module, `exp`."""
    head = "from pathlib import Path\nfrom models import *\n"
    return write(folder, models=MODELS, exp=head + textwrap.dedent(code), **more)


def told(target: str, folder: Path, **given: Any) -> EntryPointError:
    with pytest.raises(EntryPointError) as caught:
        experiment.load(target, folder, **given)
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    return caught.value

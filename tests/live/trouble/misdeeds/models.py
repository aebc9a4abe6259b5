"""The models of specs that misbehave, and the list of their misdeeds.

Each misdeed is a function; `FAILS` has the kind of failure it must end in, `LIVES` holds those that must succeed. What
they start in the background has `tag` in its command line.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, field_validator

from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, FileReference

FAILS: dict[str, str] = {}
LIVES: set[str] = set()
ACTS: dict[str, Callable[..., Any]] = {}
FOREVER = 3600.0


class Input(ExperimentInputSpec):
    """One spec."""

    trouble: str = Field(default="none", description="What it does.")
    diary: str = Field(default="", description="A file that each run of a spec adds a line to.")
    tag: str = Field(default="", description="Stands in the command line of what it starts.")
    seconds: float = Field(default=0.0, description="How long it takes at least.")


class Output(ExperimentOutputSpec):
    """What a spec gives."""

    model_config = ConfigDict(title="What a spec gives")

    value: float = Field(ge=0, le=1e6, allow_inf_nan=False)
    free: float = 0.0
    text: str = ""
    report: FileReference | None = None
    anything: Any = None

    @field_validator("text")
    @classmethod
    def explosive(cls, text: str) -> str:
        """Do what a validator should not."""
        if text == "explode":
            raise RuntimeError("a validator that raises what pydantic does not catch")
        if text in _IN_A_VALIDATOR:
            _IN_A_VALIDATOR[text]()
        return text


_IN_A_VALIDATOR: dict[str, Callable[[], Any]] = {
    "exit": sys.exit,
    "exit hard": lambda: os._exit(3),
    "hang": lambda: time.sleep(FOREVER),
    "fork": os.fork,
}


Act = Callable[[Input, Path], Any]


def fails(kind: str) -> Callable[[Act], Act]:
    """Register a trouble that ends in one failed row of this kind."""

    def note(act: Act) -> Act:
        FAILS[act.__name__] = kind
        ACTS[act.__name__] = act
        return act

    return note


def lives(act: Act) -> Act:
    """Register a trouble that succeeds."""
    LIVES.add(act.__name__)
    ACTS[act.__name__] = act
    return act


def fine(spec: Input, **more: Any) -> Output:
    """The output of a spec without trouble."""
    return Output(**{"value": float(spec.sort_index), **more})


def write_diary(spec: Input) -> None:
    """One line a run, whole even when many write."""
    if spec.diary:
        descriptor = os.open(spec.diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{spec.sort_index}\n".encode())
        os.close(descriptor)


def start_tree(spec: Input) -> None:
    """A child in a session of its own, with a child of its own in another."""
    script = f"setsid sleep {spec.tag} & exec sleep {spec.tag}"
    subprocess.Popen(["sh", "-c", script], start_new_session=True)
    time.sleep(0.1)

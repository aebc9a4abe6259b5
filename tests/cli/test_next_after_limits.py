"""What is next after specs went past a limit: the printed command gives them twice of it, and they succeed."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest
from command import project, scythe

from scythe_cli.cli.views.failures import after_limits, commands_after_failures
from scythe_cli.core.machine import cores
from scythe_cli.operations.failure_groups import describe_group
from scythe_cli.run.find import find
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from scythe_cli.operations.failure_groups import FailureGroup

MODULE = """
import time
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    seconds: float = 0.0
    mebibytes: int = 1

class Out(ExperimentOutputSpec):
    length: int

@ExperimentRegistry.Register()
def double(input_spec: In) -> Out:
    held = b"x" * (input_spec.mebibytes << 20)
    time.sleep(input_spec.seconds)
    return Out(length=len(held))
"""
LIMITS = {
    "timeout": ("seconds\n0\n1.5\n", "run.timeout=1s", "run.timeout=2s"),
    "memory": ("mebibytes,seconds\n1,0\n600,1\n", "run.memory=500MiB", "run.memory=1000MiB"),
}


def after(text: str) -> list[str]:
    """The commands of the last line."""
    found = re.search(r"next: (.*)\n$", text)
    assert found is not None, text
    return found[1].split("   or: ")


@pytest.mark.slow
@pytest.mark.parametrize("kind", LIMITS)
def test_the_command_that_is_printed_cures(kind: str, tmp_path: Path) -> None:
    specs, limit, larger = LIMITS[kind]
    folder = project(tmp_path, specs, module=MODULE)
    done = scythe("allocate", "--set", limit, cwd=folder)
    assert done.code == 1, done
    errors, resume = after(done.err)
    assert errors == "scythe status doubles --errors"
    assert resume.endswith(f"--set {larger}")
    described = scythe("status", "doubles", "--errors", cwd=folder)
    assert f"  kind     {kind}, 1 attempt" in described.out
    assert after(described.err)[0] == resume
    again = scythe(*shlex.split(resume)[1:], cwd=folder)
    assert (again.code, "2 succeeded, 0 failed" in again.out) == (0, True), again


def failed(kind: str) -> FailureGroup:
    row = {"sort_index": 3, "_message": "", "_attempts": 1, "_log": "", "_traceback": ""}
    return describe_group((kind, kind, ""), 1, row, {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run for each kind of setting, by its version."""
    folder = project(tmp_path_factory.mktemp("limits"), "seconds\n0\n", module=MODULE)
    for version, sets in {
        "1.0.0": ["run.workers=null"],
        "2.0.0": ["run.workers=8"],
        "3.0.0": ["run.workers=1", "run.timeout=20m"],
    }.items():
        options = [word for one in sets for word in ("--set", one)]
        done = scythe("allocate", "--version", version, *options, cwd=folder)
        assert done.code == 0, done
    return folder


@pytest.mark.parametrize(
    ("version", "kind", "options"),
    [
        ("v1.0.0", "memory", f"--set run.workers={cores() // 2}" if cores() > 1 else ""),
        ("v2.0.0", "memory", "--set run.workers=4"),
        ("v3.0.0", "memory", ""),
        ("v3.0.0", "timeout", "--set run.timeout=40m"),
        ("v1.0.0", "timeout", ""),
        ("v1.0.0", "crash", ""),
    ],
)
def test_the_limit_that_is_raised(
    folder: Path, version: str, kind: str, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    run = find(open_store(str(folder / "scythe-runs")), f"doubles/{version}")
    plain = f"scythe allocate --resume {run.id}"
    assert commands_after_failures(run, [failed(kind)], None) == [f"{plain} {options}".strip()]
    assert bool(after_limits(run, [failed(kind)])) == bool(options)


def test_a_walltime_that_is_too_short_for_the_larger_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    run = find(open_store(str(folder / "scythe-runs")), "doubles/v3.0.0")
    path = folder / "scythe-runs" / run.id / "experiment.yml"
    text = path.read_text()
    try:
        path.write_text(text.replace("engine: local\n", "engine: slurm\n").replace("  time: null\n", "  time: 30m\n"))
        (command,) = after_limits(run, [failed("timeout")])
    finally:
        path.write_text(text)
    assert command.endswith("--set run.timeout=40m --set slurm.time=1h")


def test_a_crash_before_other_failures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    run = find(open_store(str(folder / "scythe-runs")), "doubles/v1.0.0")
    plain = f"scythe allocate --resume {run.id}"
    assert commands_after_failures(run, [failed("crash"), failed("exception")], None) == [
        f"{plain}   or, after a fix of the code:   {plain} --allow-changed-code"
    ]

"""A script that does not wait for its run: the run completes, and the script's end is its own. On every Python."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

MODULE = """
import time
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    a: float

class Out(ExperimentOutputSpec):
    b: float

@ExperimentRegistry.Register()
def work(spec: In) -> Out:
    time.sleep(0.02)
    return Out(b=spec.a)

@ExperimentRegistry.Register()
def other(spec: In) -> Out:
    return Out(b=-spec.a)
"""
ALLOCATE = "BaseExperiment(experiment=work).allocate([In(a=i) for i in range(20)], workers=2)"


def script(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder that has the module."""
    (folder / "forgetful.py").write_text(MODULE)
    begin = "import sys\nfrom scythe_cli import BaseExperiment\nfrom forgetful import In, other, work\n"
    (folder / "script.py").write_text(begin + textwrap.dedent(body))
    command = [sys.executable, "script.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=90, check=False)


def tables(folder: Path, name: str = "work") -> int:
    """How many runs of an experiment have their tables."""
    return len(list(folder.glob(f"scythe-runs/{name}/v*/*/final/scalars.pq")))


@pytest.mark.parametrize(
    ("after", "code", "said"),
    [
        ("", 0, ""),
        ("raise ValueError('mine')", 1, "ValueError: mine\n"),
        ("sys.exit(7)", 7, ""),
    ],
)
def test_a_script_that_does_not_wait_completes_its_run(tmp_path: Path, after: str, code: int, said: str) -> None:
    done = script(tmp_path, f"{ALLOCATE}\n{after}")
    assert tables(tmp_path) == 1, done.stderr
    assert done.returncode == code
    assert done.stderr.endswith(said)
    assert ("Traceback" in done.stderr) == after.startswith("raise")


def test_two_runs_are_both_completed(tmp_path: Path) -> None:
    done = script(tmp_path, f"{ALLOCATE}\nBaseExperiment(experiment=other).allocate([In(a=1)], workers=1)")
    assert tables(tmp_path) == 1, done.stderr
    assert tables(tmp_path, "other") == 1, done.stderr
    assert done.stderr == ""


def test_a_run_that_a_thread_begins_is_completed(tmp_path: Path) -> None:
    """The script has ended before the run began."""
    body = f"""
    import threading, time
    def later():
        time.sleep(0.2)
        {ALLOCATE}
    BaseExperiment(experiment=other).allocate([In(a=1)], workers=1)
    threading.Thread(target=later).start()
    """
    done = script(tmp_path, body)
    assert tables(tmp_path) == 1 or "Traceback" in done.stderr, "the run was begun, and then nothing was said"


def test_an_unforeseen_error_is_printed_and_the_other_run_completed(tmp_path: Path) -> None:
    body = f"""
    {ALLOCATE}
    from scythe_cli.engines.local import LocalTicket
    LocalTicket.wait = lambda *_: 1 / 0
    BaseExperiment(experiment=other).allocate([In(a=1)], workers=1)
    """
    done = script(tmp_path, body)
    assert "ZeroDivisionError" in done.stderr
    assert "Exception ignored" not in done.stderr

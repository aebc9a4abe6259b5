"""Limits of the shell that are too low for a run: one message, exit 4, nothing claimed. No exit code but ours."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

SCYTHE = str(Path(sys.executable).parent / "scythe")
MODULE = """
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry
class In(ExperimentInputSpec):
    x: int
class Out(ExperimentOutputSpec):
    y: int
@ExperimentRegistry.Register()
def work(spec: In) -> Out:
    return Out(y=spec.x)
"""


def project(folder: Path, table: str) -> Path:
    (folder / "limited.py").write_text(MODULE)
    (folder / "specs.csv").write_text(table)
    (folder / "experiment.yml").write_text("experiment: limited:work\nspecs: specs.csv\nrun: {workers: 4}\n")
    return folder


@pytest.mark.parametrize("limit", ["-v 2000000", "-v 500000", "-n 24"])
def test_a_limit_that_is_too_low_is_one_message(tmp_path: Path, limit: str) -> None:
    script = f"ulimit {limit}; exec {SCYTHE} allocate"
    cwd = project(tmp_path, "x\n1\n2\n")
    done = subprocess.run(["bash", "-c", script], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    assert f"`ulimit {limit[:2]}`" in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error:")]) == 1
    assert not (tmp_path / "scythe-runs").exists()


BROKEN = {
    "empty": "",
    "only a header": "x\n",
    "ragged": "x\n1\n2,3\n4\n",
    "long and ragged": "x\n" + "1\n" * 300_000 + "2,3\n",
}
BROKEN |= {"wrong values": "x\n" + "many\n" * 5000, "binary": "\x00\x01\n" * 50}


def spin(seconds: float) -> None:
    import time

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


@pytest.mark.soak
@pytest.mark.parametrize("table", BROKEN.values(), ids=BROKEN)
def test_a_command_that_fails_ends_with_its_own_code_under_load(tmp_path: Path, table: str) -> None:
    """An Arrow thread that outlives the command once ended it with 134."""
    cwd = project(tmp_path, table)
    load = [multiprocessing.Process(target=spin, args=(600,), daemon=True) for _ in range(4)]
    for process in load:
        process.start()
    try:
        command = [SCYTHE, "allocate"]
        codes = Counter(
            subprocess.run(command, cwd=cwd, capture_output=True, check=False).returncode for _ in range(50)
        )
    finally:
        for process in load:
            process.kill()
    assert codes == {2: 50}

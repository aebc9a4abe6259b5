"""A run at work is waited for from another process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from command import SCYTHE, project

WAIT = """
import sys
from scythe_cli import open_run
from scythe_cli.errors import WaitTimeout

run = open_run("doubles")
while run.status().state != "running":
    pass
try:
    run.wait(timeout=0.5)
except WaitTimeout as exc:
    assert isinstance(exc, TimeoutError)
    print("still", flush=True)
print(run.wait(timeout=90).state, sorted(run.result(timeout=90)), run.scalars()["double"].to_list(), flush=True)
"""


def test_another_process_waits_for_a_run_at_work(tmp_path: Path) -> None:
    folder = project(tmp_path / "home", "x,how\n1,well\n2,slowly\n")
    with subprocess.Popen([SCYTHE, "allocate"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as work:
        deadline = time.monotonic() + 60
        while not list(folder.glob("scythe-runs/doubles/*/*/control/generation-1.yml")):
            assert time.monotonic() < deadline
            assert work.poll() is None
            time.sleep(0.05)
        with subprocess.Popen([sys.executable, "-c", WAIT], cwd=folder, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "still\n"
            (folder / "go").touch()
            assert other.stdout.read() == "gathered ['errors', 'execution', 'scalars'] [2.0, 4.0]\n"
            assert other.wait(60) == 0
        assert work.wait(60) == os.EX_OK

"""Copies of the runs made before this round, as they are after some days."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

FIXTURE = Path(__file__).parent / "fixtures" / "runs_8aee82f"


def copy_runs(folder: Path) -> Path:
    """Copy the runs, with leases that are older than a day: a younger one is watched for half a minute."""
    shutil.copytree(FIXTURE, folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for lease in folder.glob("storage/*/*/*/control/lease-*.yml"):
        text, found = re.subn(r"written: '2026-11-29", "written: '2026-11-20", lease.read_text())
        assert found == 1
        lease.write_text(text)
    return folder

"""How long a worker may work where a batch system has a limit. Input: the environment. Output: seconds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

END_SECONDS = 30.0
"""A worker has ended so long before the walltime does."""
ANSWER_SECONDS = 20.0
_LEFT = re.compile(r"(?:(?:([0-9]+)-)?([0-9]+):)?([0-9]+):([0-9]+)", re.ASCII)


def walltime_left(environ: Mapping[str, str] | None = None) -> float | None:
    """Seconds that this process may work as a task of Slurm; None where it is none, or has no limit."""
    found = os.environ if environ is None else environ
    job = found.get("SLURM_JOB_ID", "")
    if not job.isdecimal():
        return None
    end = found.get("SLURM_JOB_END_TIME", "")  # since Slurm 23; older ones are asked
    left = float(end) - time.time() if end.isdecimal() else _ask(job)
    return None if left is None else max(0.0, left - END_SECONDS)


def _ask(job: str) -> float | None:
    if shutil.which("squeue") is None:
        return None
    command = ["squeue", "--noheader", "--jobs", job, "--format", "%L"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_left(done.stdout.strip())


def parse_left(text: str) -> float | None:
    """Seconds of "1-02:03:04", "2:03:04" or "3:04"; None for UNLIMITED and other words."""
    found = _LEFT.fullmatch(text)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(one or 0) for one in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)

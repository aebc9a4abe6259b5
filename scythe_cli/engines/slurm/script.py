"""The batch scripts of a run: one that has its specs run, one that follows when those tasks have ended.

Input: a run, its settings and the folder of its code. Output: text that people can read, and submit by hand. Every
word that a user wrote is quoted: for the shell, and for Slurm in the lines that begin with #SBATCH.
"""

from __future__ import annotations

import math
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.core.units import format_duration
from scythe_cli.engines.shared.walltime import END_SECONDS
from scythe_cli.storage.address import is_remote

if TYPE_CHECKING:
    from pathlib import Path

    from scythe_cli.experiment.settings import SlurmSettings

SIGNAL_SECONDS = 120
"""A task gets SIGTERM so long before its walltime ends, or a quarter of it; Slurm may send it a minute earlier."""
NEXT_MINUTES = 60


@dataclass(frozen=True)
class SlurmJob:
    """What a script is made of.

    Attributes:
        address: of the run.
        run: its id.
        generation: of the run.
        settings: the section `slurm`.
        tasks: of the array.
        folder: of the experiment's code.
        file: the experiment file; None where there is none.
    """

    address: str
    run: str
    generation: int
    settings: SlurmSettings
    tasks: int
    folder: Path
    file: Path | None

    @property
    def logs(self) -> str | None:
        """The folder of the tasks' output; None where the run is in a bucket."""
        return None if is_remote(self.address) else f"{self.address}/{layout.SLURM_LOGS}"


def array_script(job: SlurmJob) -> str:
    """The script of the tasks that run specs."""
    settings = job.settings
    options = [f"--array=0-{job.tasks - 1}", f"--cpus-per-task={settings.cpus_per_task}", "--open-mode=append"]
    options += ["--requeue", *_common(job, "%A_%a")]
    until = []
    if settings.time is not None:
        signal = min(SIGNAL_SECONDS, int(settings.time / 4))
        options += [f"--time={math.ceil(settings.time / 60)}", f"--signal=B:TERM@{signal}"]
        until = ["--until", str(format_duration(max(1.0, settings.time - END_SECONDS)))]
    file = [] if job.file is None else [str(job.file)]
    worker = [sys.executable, "-m", "scythe_cli.cli.app", "worker", *file, "--run", job.address, *until]
    return "\n".join([*_head(job, options), *_setup(job), f"exec {shlex.join(worker)}", ""])


def next_script(job: SlurmJob) -> str:
    """The script that builds the tables, or submits again, when all tasks have ended."""
    options = ["--cpus-per-task=1", f"--time={NEXT_MINUTES}", "--open-mode=append", *_common(job, "%j-next")]
    follow = [sys.executable, "-m", "scythe_cli.engines.slurm.next_job", job.address, str(job.generation)]
    return "\n".join([*_head(job, options), *_setup(job), f"exec {shlex.join(follow)}", ""])


def _common(job: SlurmJob, name: str) -> list[str]:
    found = [f"--job-name=scythe-{job.run.rsplit('/', 2)[0].replace('/', '-')}"]
    if job.logs is not None:
        found.append(f"--output={job.address.replace('%', '%%')}/{layout.slurm_log(name)}")
    if job.settings.partition is not None:
        found.append(f"--partition={job.settings.partition}")
    return found + job.settings.options


def _head(job: SlurmJob, options: list[str]) -> list[str]:
    about = (
        f"# specs of {job.run}, generation {job.generation}: written by scythe, to be read, or submitted with sbatch"
    )
    return ["#!/bin/bash", *(f"#SBATCH {_quoted(option)}" for option in options), about, "set -e"]


def _quoted(option: str) -> str:
    """An option as Slurm reads it in a script: it splits at spaces and takes quotes, and expands nothing."""
    name, equals, value = option.partition("=")
    return option if not equals or value == shlex.quote(value) else f"{name}={shlex.quote(value)}"


def _setup(job: SlurmJob) -> list[str]:
    lines = [f"cd {shlex.quote(str(job.folder))}"]
    return lines + ([job.settings.setup.rstrip()] if job.settings.setup else [])

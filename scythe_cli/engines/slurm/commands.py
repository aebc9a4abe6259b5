"""The commands of Slurm that scythe calls: sbatch, squeue, scancel, scontrol.

Input: arguments, never a shell. Output: what Slurm answers, or an `EngineError` with its own words.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass

from scythe_cli.core.printable import printable
from scythe_cli.errors import EngineError

ANSWER_SECONDS = 20.0
MAX_ARRAY = 1001
"""MaxArraySize where Slurm does not say."""
_JOB = re.compile(r"([0-9]{1,12})(;[\w.-]+)?", re.ASCII)

REASONS = {
    "None": "about to start",
    "Resources": "waiting for free cores or memory",
    "Priority": "other jobs are first",
    "Dependency": "waiting for another job",
    "DependencyNeverSatisfied": "the job that it waits for can no longer end as it must",
    "BeginTime": "it may not start yet; Slurm waits about two minutes before it repeats a task",
    "JobArrayTaskLimit": "the array's own limit of tasks at a time",
    "JobHeldUser": "held by its user: scontrol release",
    "JobHeldAdmin": "held by an administrator",
    "launch failed requeued held": "a node could not start it, and Slurm holds it: scontrol release",
    "JobHoldMaxRequeue": "Slurm has repeated it too often, and holds it: scontrol release",
    "Cleaning": "its last attempt is still being cleaned up",
    "Prolog": "the node is being prepared",
    "NodeDown": "its node is down",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition is not active",
    "PartitionTimeLimit": "slurm.time is longer than the partition allows",
    "PartitionNodeLimit": "it asks for more than the partition has",
    "PartitionConfig": "it asks for more than the partition has",
    "BadConstraints": "no node fits what it asks for",
    "ReqNodeNotAvail": "its nodes are down or reserved",
    "Reservation": "waiting for a reservation",
    "Licenses": "waiting for a license",
    "InvalidAccount": "the account does not exist, or may not be used here",
    "InvalidQOS": "the QOS does not exist, or may not be used here",
    "QOSMaxJobsPerUserLimit": "this user may not have more jobs at a time",
    "QOSMaxCpuPerUserLimit": "this user may not have more cores at a time",
    "AssocMaxJobsLimit": "this account may not have more jobs at a time",
    "AssocGrpCpuLimit": "this account may not have more cores at a time",
}
"""https://slurm.schedmd.com/job_reason_codes.html, in plain words."""


@dataclass(frozen=True)
class Tasks:
    """What Slurm has of some jobs.

    Attributes:
        pending: tasks that wait, by reason in plain words.
        running: tasks that run.
    """

    pending: dict[str, int]
    running: int

    @property
    def any(self) -> bool:
        """Whether there is a task."""
        return bool(self.pending or self.running)

    def sentence(self) -> str:
        """In words."""
        waiting = sum(self.pending.values())
        why = ", ".join(sorted(self.pending))
        return f"Slurm: {waiting:,} pending{f' ({why})' if why else ''}, {self.running:,} running"


def submit(script: str, *arguments: str) -> str:
    """Have sbatch take a script, on its stdin. Returns the job's id.

    Raises:
        EngineError: sbatch is not here, or refuses; with its own words.
    """
    done = _call(["sbatch", "--parsable", *arguments], text=script)
    found = _JOB.fullmatch(done.strip().splitlines()[-1].strip() if done.strip() else "")
    if found is None:
        raise EngineError(f"sbatch did not answer with the number of a job: {printable(done.strip() or 'nothing')}")
    return found[1]


def max_array() -> int:
    """MaxArraySize of the cluster: indexes are smaller than this."""
    try:
        found = re.search(r"MaxArraySize\s*=\s*([0-9]+)", _call(["scontrol", "show", "config"]))
    except EngineError:
        return MAX_ARRAY
    return int(found[1]) if found else MAX_ARRAY


def tasks_of(jobs: list[str]) -> Tasks | None:
    """What Slurm has of jobs; None where it cannot be asked from here. Unknown jobs have ended long ago."""
    try:
        text = _call(["squeue", "--noheader", "--array", "--jobs", ",".join(jobs), "--format", "%T|%r"])
    except EngineError as exc:
        if "Invalid job id" in exc.message:
            return Tasks({}, 0) if len(jobs) == 1 else _each(jobs)
        return None
    pending: Counter[str] = Counter()
    running = 0
    for line in text.splitlines():
        state, _, reason = line.strip().partition("|")
        if state == "PENDING":
            pending[plain(reason)] += 1
        elif state in {"RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "REQUEUED"}:
            running += 1
    return Tasks(dict(pending), running)


def _each(jobs: list[str]) -> Tasks | None:
    """squeue refuses a list in which one job is unknown."""
    pending: Counter[str] = Counter()
    running = 0
    for job in jobs:
        found = tasks_of([job])
        if found is None:
            return None
        pending.update(found.pending)
        running += found.running
    return Tasks(dict(pending), running)


def plain(reason: str) -> str:
    """A reason of Slurm's in plain words; its own where none are known. There are a hundred for limits."""
    word = reason.strip("() ").split(",")[0]
    if word in REASONS:
        return REASONS[word]
    for start, whose in (("QOS", "the QOS"), ("Assoc", "the account or the user")):
        if word.startswith(start):
            return str(printable(f"a limit of {whose} is reached: {word}"))
    return str(printable(word or "unknown"))


def cancel(jobs: list[str]) -> None:
    """Cancel jobs.

    Raises:
        EngineError: scancel is not here, or refuses.
    """
    _call(["scancel", *jobs])


def require(program: str) -> None:
    """Raise `EngineError` where a program of Slurm is not here."""
    if shutil.which(program) is None:
        raise EngineError(f"{program} is not here", hint="log in to a node of the cluster, or load its module")


def _call(command: list[str], *, text: str | None = None) -> str:
    require(command[0])
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"{command[0]} does not answer within {ANSWER_SECONDS:g} s") from None
    except OSError as exc:
        raise EngineError(f"{command[0]} cannot be started: {exc.strerror or exc}") from exc
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise EngineError(f"{command[0]} refuses: {printable(said) or f'exit code {done.returncode}'}")
    return done.stdout

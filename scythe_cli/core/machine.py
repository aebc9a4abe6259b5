"""What this machine, and the part of it that this process may use, has: cores, memory, open files.

Input: the affinity mask, the batch system's environment, the container's quota, the limits of the shell. Output: how
many workers there may be, how many threads each should use, what a worker is called, and one error where a limit is too
low to work at all.
"""

from __future__ import annotations

import math
import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CGROUPS = Path("/sys/fs/cgroup")
THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
)
"""Where libraries of linear algebra look for how many threads they may start."""
MEMORY_NEEDED = 2_800_000_000
"""Bytes of addresses that scythe and its libraries reserve on a small machine, most of which they never use."""
MEMORY_FOR_A_CORE = 40_000_000
FILES_NEEDED = 40
FILES_FOR_A_WORKER = 4


def killed_for_memory() -> int:
    """How many processes the kernel has killed so far because the machine, or a part of it, ran out of memory."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def cores() -> int:
    """Cores this process may use: by its affinity mask, the batch system, and the container's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    limits = [allowed, slurm_cpus(), None if quota is None else math.ceil(quota)]
    return max(1, min(limit for limit in limits if limit is not None))


def slurm_cpus() -> int | None:
    """Cores that Slurm gives to a task, where this process is one."""
    text = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None


def cpu_quota(root: Path = _CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """Cores that the container's quota allows, or None: the lowest of its control group and those above it.

    See https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files, and for version 1
    https://docs.kernel.org/scheduler/sched-bwc.html.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    quotas = [quota for line in lines for quota in _quotas(root, line)]
    return min(quotas, default=None)


def _quotas(root: Path, line: str) -> Iterator[float]:
    _, controllers, path = line.split(":", 2)
    if controllers and "cpu" not in controllers.split(","):
        return
    folders = [root / name for name in ("cpu", controllers) if controllers and (root / name).is_dir()]
    base = folders[0] if folders else root
    group = base / path.lstrip("/")
    for folder in [group, *group.parents]:
        if not folder.is_relative_to(base):
            return
        texts = _read(folder, "cpu.max").split() or [
            _read(folder, "cpu.cfs_quota_us"),
            _read(folder, "cpu.cfs_period_us"),
        ]
        if len(texts) == 2 and texts[0].isdigit() and texts[1].isdigit() and int(texts[1]):
            yield int(texts[0]) / int(texts[1])


def _read(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text().strip()
    except OSError:
        return ""


def thread_settings(workers: int) -> dict[str, str]:
    """What to add to the environment of workers: one thread each, or nothing.

    Nothing where the user has set one of the variables, or has asked for fewer workers than there are cores.
    """
    if set(THREAD_VARIABLES) & os.environ.keys() or workers < cores():
        return {}
    return dict.fromkeys(THREAD_VARIABLES, "1")


def threads_in(environment: Mapping[str, str]) -> dict[str, str]:
    """What an environment says of threads, for the run's records."""
    return {name: environment[name] for name in THREAD_VARIABLES if name in environment}


def require_memory() -> None:
    """Refuse to begin where the shell allows fewer addresses than libraries reserve: they would end the process.

    Raises:
        EngineError: the limit is too low.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    needed = MEMORY_NEEDED + MEMORY_FOR_A_CORE * cores()
    if limit not in (resource.RLIM_INFINITY, -1) and limit < needed:
        raise EngineError(
            f"the shell's limit of memory, `ulimit -v` = {limit >> 10} KiB, is too low: scythe and its libraries "
            f"reserve {needed >> 10} KiB",
            hint="ulimit -v unlimited; to limit the memory of a spec, set run.memory",
        )


def require_files(workers: int) -> None:
    """Have as many files open as a run with so many workers needs, as far as the shell allows.

    Raises:
        EngineError: it allows too few.
    """
    needed = FILES_NEEDED + FILES_FOR_A_WORKER * workers
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise EngineError(
            f"the shell's limit of open files, `ulimit -n` = {hard}, is too low: {workers} workers need {needed}",
            hint=f"ulimit -n {max(1024, needed)}, or fewer workers: run.workers",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def machine_name(environ: Mapping[str, str] | None = None) -> str:
    """A name made from the host name, or from the name of the job in a cloud that sets one in the environment."""
    from scythe_cli.core import processes  # imported only here: it would slow every start

    found = os.environ if environ is None else environ
    parts = [processes.host()]
    if job := found.get("AWS_BATCH_JOB_ID"):
        parts = ["batch", job.replace(":", "-"), *filter(None, [found.get("AWS_BATCH_JOB_ATTEMPT")])]
    elif task := found.get("ECS_CONTAINER_METADATA_URI_V4", "").rpartition("/")[2]:
        parts = ["ecs", task]
    elif machine := found.get("FLY_MACHINE_ID"):
        parts = ["fly", *filter(None, [found.get("FLY_REGION")]), machine]
    elif job := found.get("SLURM_JOB_ID"):
        array = found.get("SLURM_ARRAY_TASK_ID")
        parts = [processes.host(), "slurm", f"{found.get('SLURM_ARRAY_JOB_ID', job)}_{array}" if array else job]
    return "-".join([*parts, str(os.getpid())])

"""Stand-ins for sbatch, squeue, scancel and scontrol that run the script: `slurm.py NAME ARGUMENTS`.

Input: the folder in STANDIN_SLURM. Output: jobs that run at once, on this machine, as processes.

What differs from Slurm: tasks never wait for cores, so nothing is pending but a job with a dependency; there is no
walltime and no signal before its end; `scancel` sends TERM and never KILL; only the options that scythe writes are
known; a task is not requeued. The real one runs in `make live-slurm`.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HOME = Path(os.environ["STANDIN_SLURM"])


def load(job: str) -> dict[str, Any]:
    path = HOME / f"{job}.json"
    if not path.exists():
        sys.exit("slurm_load_jobs error: Invalid job id specified")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def save(job: str, state: dict[str, Any]) -> None:
    aside = HOME / f"{job}.json.{os.getpid()}"
    aside.write_text(json.dumps(state))
    aside.replace(HOME / f"{job}.json")


def sbatch(arguments: list[str]) -> None:
    if (HOME / "refuse").exists():
        sys.exit(f"sbatch: error: {(HOME / 'refuse').read_text()}")
    if (HOME / "refuse-dependent").exists() and any(one.startswith("--dependency") for one in arguments):
        sys.exit(f"sbatch: error: {(HOME / 'refuse-dependent').read_text()}")
    script = sys.stdin.read()
    job = str(len(list(HOME.glob("*.sh"))) + 1)
    (HOME / f"{job}.sh").write_text(script)
    options = [word for line in script.splitlines() if line.startswith("#SBATCH ") for word in shlex.split(line)[1:]]
    pairs = (one.removeprefix("--").partition("=") for one in [*options, *arguments])
    found = {name: value for name, _, value in pairs}
    last = int(found["array"].split("-")[1]) if "array" in found else None
    tasks = ["-"] if last is None else [str(number) for number in range(last + 1)]
    save(job, {"options": found, "tasks": dict.fromkeys(tasks, "PENDING"), "pids": {}})
    command = [sys.executable, __file__, "run", job]
    nowhere = subprocess.DEVNULL
    subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True)
    print(job)


def run(arguments: list[str]) -> None:
    (job,) = arguments
    state = load(job)
    if after := state["options"].get("dependency"):
        while set(load(after.split(":")[1])["tasks"].values()) & {"PENDING", "RUNNING"}:
            time.sleep(0.1)
    running = {}
    for task in state["tasks"]:
        if load(job)["tasks"][task] != "PENDING":  # cancelled
            continue
        environment = os.environ | {"SLURM_JOB_ID": job}
        if task != "-":
            environment |= {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": task}
        environment["SLURM_CPUS_PER_TASK"] = state["options"]["cpus-per-task"]
        log = state["options"]["output"].replace("%A", job).replace("%a", task).replace("%j", job)
        with Path(log).open("a") as output:
            running[task] = subprocess.Popen(
                ["bash", HOME / f"{job}.sh"], env=environment, stdout=output, stderr=output, start_new_session=True
            )
        state["tasks"][task], state["pids"][task] = "RUNNING", running[task].pid
        save(job, state)
    for task, process in running.items():
        process.wait()
        state["tasks"][task] = "COMPLETED"
        save(job, state)


def squeue(arguments: list[str]) -> None:
    with (HOME / "asked").open("a") as asked:
        asked.write(f"{shlex.join(arguments)}\n")
    jobs = arguments[arguments.index("--jobs") + 1].split(",")
    if arguments[-1] == "%L":
        print("UNLIMITED")
        return
    for job in jobs:
        state = load(job)
        for task in state["tasks"].values():
            if task in {"PENDING", "RUNNING"}:
                print(f"{task}|{'Dependency' if 'dependency' in state['options'] else 'None'}")


def scancel(arguments: list[str]) -> None:
    for job in arguments:
        state = load(job)
        save(job, state | {"tasks": dict.fromkeys(state["tasks"], "CANCELLED")})
        for pid in state["pids"].values():
            os.kill(pid, signal.SIGTERM)


def scontrol(arguments: list[str]) -> None:
    assert arguments == ["show", "config"]
    print("MaxArraySize            = 5")


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2:])

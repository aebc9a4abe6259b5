"""A real Slurm on this machine, on loopback alone: `make live-slurm`.

Input: Debian's packages slurmctld, slurmd, slurm-client and munge; as root they are installed. Output: the tests of
`tests/live/test_real_slurm.py`, and a last line that counts them or says why they were skipped. Only a test that fails
makes the exit code 1: a machine where Slurm cannot be had is no failure.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGES = ["slurmctld", "slurmd", "slurm-client", "munge"]
PROGRAMS = ["slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "munged"]
INSTALL_SECONDS, START_SECONDS, END_SECONDS = 100, 30, 15
ALL_SECONDS, LEAST_SECONDS = 400, 240
"""For everything; where the tests would have less than the second, they are skipped."""
REPEAT_SECONDS = 10
"""A task that is requeued waits so long; Slurm's default is two minutes."""
CPUS = 8
"""More than the machine may have: what the tests run sleeps."""


class Skipped(Exception):
    """Why there is no Slurm here."""


def install() -> None:
    """Have the programs. Raises `Skipped`."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if not missing:
        return
    if os.geteuid() or shutil.which("apt-get") is None:
        raise Skipped(f"{', '.join(missing)} missing; as root on Debian: apt-get install {' '.join(PACKAGES)}")
    command = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *PACKAGES]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(["apt-get", "update", "-qq"], timeout=INSTALL_SECONDS / 2, check=True, env=environment)
        subprocess.run(command, timeout=INSTALL_SECONDS, check=True, env=environment)
    except (OSError, subprocess.SubprocessError) as exc:
        raise Skipped(f"the packages could not be installed: {exc}") from None


def port() -> int:
    """A free port of loopback."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def configuration(folder: Path) -> str:
    """slurm.conf: one node, no cgroups, no accounting; see https://slurm.schedmd.com/slurm.conf.html."""
    host = socket.gethostname().split(".")[0]
    return f"""\
ClusterName=loop
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port()}
SlurmdPort={port()}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire={REPEAT_SECONDS}
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
ReturnToService=2
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
CommunicationParameters=NoInAddrAny
SlurmdParameters=config_overrides
SwitchType=switch/none
MaxArraySize=4
KillWait=5
BatchStartTimeout=2
MessageTimeout=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs={CPUS} RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=9
"""


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    """Wait. Raises `Skipped`."""
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Skipped(f"{what} does not start")
        time.sleep(0.2)


def answers(*command: str) -> str:
    """What a command prints; nothing when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    return done.stdout if not done.returncode else ""


@contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """A cluster of one node. Raises `Skipped`."""
    munge, conf = folder / "munge", folder / "slurm.conf"
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir()
    folder.chmod(0o755)
    shutil.chown(munge, "munge", "munge")
    munge.chmod(0o755)
    conf.write_text(configuration(folder))
    os.environ["SLURM_CONF"] = str(conf)
    pids = [munge / "pid", folder / "slurmctld.pid", folder / "slurmd.pid"]
    options = [f"--socket={munge}/socket", f"--pid-file={pids[0]}", f"--log-file={munge}/log", f"--seed-file={munge}/s"]
    try:
        start("runuser", "-u", "munge", "--", "munged", *options, "--force")
        wait_for("munged", lambda: bool(answers("munge", "-n", "-S", f"{munge}/socket")))
        start("slurmctld", "-f", str(conf))
        start("slurmd", "-f", str(conf))
        wait_for("the node", lambda: "idle" in answers("sinfo", "-h", "-o", "%T"))
        yield
    finally:
        end_jobs()
        for pid in reversed(pids):
            if pid.exists():
                subprocess.run(["kill", pid.read_text().strip()], check=False)


def end_jobs() -> None:
    """Cancel what is left and wait for its end: a task that outlives the daemons tries for ever to reach them."""
    answers("scancel", "--user=root", "--full")
    deadline = time.monotonic() + END_SECONDS
    while answers("squeue", "--noheader").strip() and time.monotonic() < deadline:
        time.sleep(0.2)


def start(*command: str) -> None:
    """Start a daemon. Raises `Skipped`."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_SECONDS)
    if done.returncode:
        raise Skipped(f"{command[0]} does not start: {done.stderr.strip()[-300:]}")


def seconds_for_tests(began: float) -> float:
    """What is left of all seconds. Raises `Skipped` where that is too little."""
    left = ALL_SECONDS - (time.monotonic() - began)
    if left < LEAST_SECONDS:
        raise Skipped("installing and starting took too long")
    return left


def main() -> int:
    """Run the tests, or say why not."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="scythe-slurm-", ignore_cleanup_errors=True) as folder:
        try:
            install()
            with cluster(Path(folder)):
                tests = str(Path(__file__).parent / "live" / "test_real_slurm.py")
                command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=300", tests]
                done = subprocess.run(
                    command,
                    env=os.environ | {"SCYTHE_TEST_SLURM": "1"},
                    check=False,
                    timeout=seconds_for_tests(began),
                )
        except Skipped as exc:
            print(f"live-slurm: skipped: {exc}")
            return 0
    print(f"live-slurm: {'failed' if done.returncode else 'passed, on a real slurmctld and slurmd'}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())

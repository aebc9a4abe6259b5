"""Serves the user's own Hatchet workflows next to a worker, with a process and slots of its own.

A spec of such an experiment waits in a lane while its workflow runs. Did the workflow's tasks share slots with the
leaves, leaves that wait could keep them from ever running.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scythe_cli.core import processes
from scythe_cli.engines.hatchet.connection import connect
from scythe_cli.errors import ScytheError
from scythe_cli.experiment import importer

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAVE_SECONDS = 10.0
"""What tasks that run get when their worker leaves; the engine gives the rest to another."""


@dataclass(frozen=True)
class WorkflowProcessSettings:
    """All that the process gets: names.

    Attributes:
        targets: each workflow's `module:name` and the folder that is resolved from.
        name: the worker's.
        slots: tasks at a time.
        labels: of the worker.
    """

    targets: list[tuple[str, str]]
    name: str
    slots: int
    labels: dict[str, str]


@contextmanager
def workflow_process(settings: WorkflowProcessSettings) -> Iterator[subprocess.Popen[bytes]]:
    """Serve while the block lasts, or until the process ends, which nobody here waits for."""
    code = f"import sys; sys.path[:] = {sys.path!r}\nfrom {__name__} import main; main(sys.argv[1])"
    command = [sys.executable, "-c", code, json.dumps(asdict(settings))]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(LEAVE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def main(text: str) -> None:
    """Be that process."""
    processes.set_parent_death_signal()
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it reaches the worker too, which ends this process in time
    settings = WorkflowProcessSettings(**json.loads(text))
    try:
        found: list[Any] = [importer.resolve(target, Path(folder)).value for target, folder in settings.targets]
        hatchet = connect(patient=True)
    except ScytheError as exc:
        sys.exit(f"error: {exc.message}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        worker = hatchet.worker(settings.name, slots=settings.slots, labels=dict(settings.labels), workflows=found)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the SDK has set its own
    worker.start()

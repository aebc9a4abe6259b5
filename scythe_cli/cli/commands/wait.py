"""`scythe wait`: follow a run that is at work, on any engine, from any machine."""

from __future__ import annotations

from pathlib import Path

from scythe_cli.cli import options
from scythe_cli.cli.allocation.follow import follow_run
from scythe_cli.cli.allocation.summary import Call
from scythe_cli.cli.notify import Notifier
from scythe_cli.cli.run_argument import find_run


def wait(
    run: options.RunArgument = None,
    *,
    timeout: options.WaitTimeout = None,
    notify: options.Notify = None,
    storage: options.Storage = None,
    as_json: options.Json = False,
) -> None:
    """Follow a run until its tables are there. The bar and the exit code are those of `allocate --wait`."""
    from scythe_cli.cli.progress import Terminal

    seconds = options.seconds_of("--timeout", timeout)
    found = find_run(run, storage)
    file = Path(run) if run is not None and run.endswith((".yml", ".yaml")) else Path("experiment.yml")
    with Terminal() as terminal:
        call = Call(terminal, file, wait=True, as_json=as_json, notifier=Notifier(notify))
        follow_run(call, found, timeout=seconds)

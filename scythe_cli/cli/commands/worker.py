"""`scythe worker`: serve a Hatchet engine, or work on one run from its directory."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.cli import options
from scythe_cli.cli.commands.worker_of_run import RunWorkerCall, work_on_run
from scythe_cli.cli.output import put, running_user_code
from scythe_cli.core.printable import printable_json
from scythe_cli.errors import ConfigError

if TYPE_CHECKING:
    from scythe_cli.core.events import Event, Listener
    from scythe_cli.engines.hatchet.worker.worker_settings import Role, WorkerSettings


def worker(
    targets: options.Targets = None,
    *,
    slots: options.Slots = None,
    name: options.WorkerName = None,
    label: options.Labels = None,
    role: options.Roles = None,
    storage: options.Storage = None,
    embedded: options.Embedded = False,
    run: options.WorkOnRun = None,
    until: options.Until = None,
    idle_timeout: options.IdleTimeout = None,
    allow_changed_code: options.WorkOnChangedCode = False,
    as_json: options.JsonLines = False,
) -> None:
    """Run specs that a Hatchet engine hands out until stopped; with --run, the specs of one run until none is left.

    The first Ctrl-C or SIGTERM lets running specs finish, the second ends at once.
    """
    listener = _print_json if as_json else _listener()
    if run is not None:
        given = {"--label": bool(label), "--role": bool(role), "--embedded": embedded}
        if wrong := [flag for flag, there in given.items() if there]:
            raise ConfigError(f"{wrong[0]} cannot be used with --run: such a worker has no Hatchet engine")
        call = RunWorkerCall(run, targets or [], storage, slots, name, allow_changed_code)
        work_on_run(call, until=until, idle_timeout=idle_timeout, listener=listener)
        return
    if until is not None or idle_timeout is not None:
        raise ConfigError(f"{'--until' if until is not None else '--idle-timeout'} needs --run RUN")
    from scythe_cli.engines.hatchet.worker.worker import find_experiments, serve
    from scythe_cli.engines.hatchet.worker.worker_settings import WorkerSettings

    base = WorkerSettings.from_environment()
    settings = dataclasses.replace(
        base,
        name=name or base.name,
        slots=slots or base.slots,
        labels={**(base.labels or {}), **_labels(label or [])},
        roles=_roles(role) if role else base.roles,
        storage=storage,
        embedded=embedded,
        any_code=allow_changed_code,
    )
    with running_user_code():
        experiments, where = find_experiments(_targets(targets, settings), Path.cwd(), storage=storage)
    serve(experiments, settings, storage=where, listener=listener)


def _targets(given: list[str] | None, settings: WorkerSettings) -> list[str]:
    """The given ones, or the experiment file of the folder; a worker that only follows runs needs none."""
    if given:
        return given
    return ["experiment.yml"] if "leaf" in settings.roles or Path("experiment.yml").exists() else []


def _roles(given: list[str]) -> frozenset[Role]:
    found: set[Role] = set()
    for text in given:
        if text not in {"fan", "leaf"}:
            raise ConfigError(f"--role {text}  must be fan or leaf")
        found.add("fan" if text == "fan" else "leaf")
    return frozenset(found)


def _labels(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key or not value:
            raise ConfigError(f"--label {text}  must be key=value, such as --label has_gpu=true")
        found[key] = value
    return found


def _listener() -> Listener:
    from scythe_cli.cli.progress import Terminal

    return Terminal()


def _print_json(event: Event) -> None:
    """One line, flushed at once: the reader may be a pipe."""
    document = {"event": type(event).__name__, **dataclasses.asdict(event)}
    put(printable_json(json.dumps(document, ensure_ascii=False)))

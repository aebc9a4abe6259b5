"""`scythe show`: a run, or specs of it: what went in, what came out, how they ran."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.cli import options
from scythe_cli.cli.at_work import continue_command, with_claims
from scythe_cli.cli.inline_command import changed_table, inline_command
from scythe_cli.cli.output import print_json, print_next
from scythe_cli.cli.run_argument import command_for, find_run
from scythe_cli.cli.views.run_view import print_run
from scythe_cli.cli.views.spec_list import print_specs
from scythe_cli.cli.views.spec_view import print_log, print_spec
from scythe_cli.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from scythe_cli.run.run import Run
    from scythe_cli.show.choice import SpecChoice
    from scythe_cli.show.show import Shown

LISTED = 20
"""Specs of a list, unless `--limit` says otherwise."""
IN_JSON = 1000
"""The same of a document."""
HEAD = 10
HEAD_ROWS = 5


def show(
    run: options.RunArgument = None,
    sort_index: options.SortIndex = None,
    *,
    slowest: options.Slowest = None,
    failed: options.ShowFailed = False,
    where: options.Where = None,
    head: options.Head = False,
    log: options.OnlyLog = False,
    limit: options.ShowLimit = None,
    storage: options.Storage = None,
    as_json: options.Json = False,
) -> None:
    """Show a run; or one of its specs, or those that the options choose."""
    from scythe_cli.show.choice import SpecChoice
    from scythe_cli.show.show import show as read

    listed = limit or (IN_JSON if as_json else HEAD if head else max(LISTED, slowest or 0))
    choice = SpecChoice(sort_index, slowest=slowest, failed=failed, where=where, limit=listed)
    _check(choice, log=log)
    found, sort_index = _find(run, storage, sort_index)
    choice = dataclasses.replace(choice, sort_index=sort_index)
    picked = choice.filters or head or log or as_json or sort_index is not None
    shown = read(found, choice if picked else dataclasses.replace(choice, limit=0), head=HEAD_ROWS if head else 0)
    shown = _with_state(found, shown)
    shown = _with_commands(shown, inline_command(found, run, storage) if shown.specs else None)
    if as_json:
        print_json(shown)
    elif log:
        print_log(shown.specs)
    elif sort_index is not None:
        print_spec(shown, changed_table(found, run))
        _print_next_of_spec(found, shown)
    elif picked:
        print_specs(shown)
        _print_next(found, shown)
    else:
        print_run(shown, _made_by(found))
        print_next(command_for("show", found, "--failed" if shown.failed else "--head", latest=True))


def _with_state(run: Run, shown: Shown) -> Shown:
    """Whether workers are at work is for the engine to say, as `status` has it."""
    from scythe_cli.operations.status import quick_status

    if shown.state != "running":
        return shown
    return dataclasses.replace(shown, state=with_claims(run, quick_status(run)).state)


def _made_by(run: Run) -> str | None:
    """Which code made how many rows, where it was more than one."""
    from scythe_cli.run.generation import code_of_rows
    from scythe_cli.run.run import DownloadedRun

    return None if isinstance(run, DownloadedRun) else code_of_rows(run)


def _find(text: str | None, storage: str | None, sort_index: int | None) -> tuple[Run, int | None]:
    """The run and the spec. `scythe show 17` is about the latest run of ./experiment.yml, unless a run is called 17."""
    from scythe_cli.experiment.settings import DEFAULT_FILE

    try:
        return find_run(text, storage), sort_index
    except NotFoundError:
        if text is None or not text.isdecimal() or sort_index is not None or not Path(DEFAULT_FILE).exists():
            raise
    return find_run(None, storage), int(text)


def _check(choice: SpecChoice, *, log: bool) -> None:
    """Refuse what contradicts itself, before anything is read."""
    if choice.sort_index is not None and choice.filters:
        raise ConfigError("SORT_INDEX is one spec: use it without --slowest, --failed and --where")
    if log and choice.sort_index is None and not choice.filters:
        raise ConfigError("--log needs a spec", hint="scythe show RUN SORT_INDEX --log, or --log with --failed")


def _with_commands(shown: Shown, command: str | None) -> Shown:
    """The specs with the command that runs each alone."""
    if command is None:
        return shown
    specs = [dataclasses.replace(one, command=f"{command} --only {one.sort_index} --inline") for one in shown.specs]
    return dataclasses.replace(shown, specs=specs)


def _print_next(run: Run, shown: Shown) -> None:
    if shown.specs:
        name, *rest = command_for("show", run, latest=True).split(" --storage", 1)
        print_next(" --storage".join([f"{name} {shown.specs[0].sort_index}", *rest]))


def _print_next_of_spec(run: Run, shown: Shown) -> None:
    """Of a failed spec, the command that runs it alone; of one without a result, what gives it one."""
    (spec,) = shown.specs
    if spec.kind is not None and spec.command and spec.command.startswith("scythe "):
        print_next(spec.command)
    elif spec.state == "missing":
        waiting = shown.state in ("running", "pending")
        print_next(command_for("wait", run) if waiting else continue_command(run))

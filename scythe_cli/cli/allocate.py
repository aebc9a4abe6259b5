"""`scythe allocate`: from an experiment file to final tables."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scythe_cli.cli.options import Json, Storage, again, failure_line, put_json
from scythe_cli.errors import ConfigError, ExitCode, InputError, Interrupted, NotFinishedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.allocate import Allocation, Prepared
    from scythe_cli.cli.ui import Terminal
    from scythe_cli.config import Loaded
    from scythe_cli.engines.base import Ticket, Work
    from scythe_cli.estimate import Estimate, Plan
    from scythe_cli.experiment import Experiment
    from scythe_cli.run import Bump, SemVer

Bumps = Literal["major", "minor", "patch", "keep"]


def allocate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The experiment file.")] = Path("experiment.yml"),
    *,
    bump: Annotated[Bumps | None, typer.Option(help="Count the version up from the latest run's.")] = None,
    version: Annotated[str | None, typer.Option(metavar="X.Y.Z", help="Give the version yourself.")] = None,
    engine: Annotated[str | None, typer.Option(metavar="E", help="local or hatchet.")] = None,
    storage: Storage = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="K=V", help="Overrule any key of the file: run.timeout=20m.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Take the first N specs.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, write nothing, tell what would be.")
    ] = False,
    probe: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Run K specs first and estimate the rest.")
    ] = None,
    wait: Annotated[
        bool | None, typer.Option("--wait/--no-wait", help="Follow a run on Hatchet to its end. Local always does.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Run what is missing or failed of this run.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="With --resume: only what failed.")] = False,
    missing: Annotated[bool, typer.Option("--missing", help="With --resume: only what is missing.")] = False,
    allow_changed_code: Annotated[
        bool, typer.Option("--allow-changed-code", help="With --resume: the code may differ from the run's.")
    ] = False,
    only: Annotated[int | None, typer.Option(min=0, metavar="SORT_INDEX", help="With --inline: this one spec.")] = None,
    inline: Annotated[
        bool,
        typer.Option("--inline", help="Run one spec in this process, without a run, under the debugger if it raises."),
    ] = False,
) -> None:
    """Validate, upload, claim a run, fan out, gather."""
    from scythe_cli import config, experiment
    from scythe_cli.cli.ui import Terminal

    _check_flags(bump, version, resume, failed or missing, only, inline)
    flags = {"engine": engine, "storage": storage}
    with Terminal() as terminal:
        if resume is not None:
            _resume(
                terminal, file, resume, storage, sets or [], failed, missing, allow_changed_code, wait, yes, as_json
            )
            return
        loaded = config.load(file, sets=sets or [], flags=flags)
        found = experiment.load(loaded.file.experiment, loaded.folder, place=loaded.place("experiment"))
        loaded = loaded.with_options(found.options.settings()).with_name(found.name)
        prepared = _prepare(terminal, loaded, found, limit)
        if inline:
            _inline(prepared, only, terminal)
            return
        if dry_run:
            _dry_run(prepared, _wanted(bump, version), as_json)
            return
        if probe is not None and not _probe(terminal, prepared, probe, yes, as_json):
            return
        _allocate(terminal, prepared, _wanted(bump, version), storage, wait, as_json)


def _check_flags(
    bump: str | None, version: str | None, resume: str | None, which: bool, only: int | None, inline: bool
) -> None:
    if bump is not None and version is not None:
        raise ConfigError("--bump and --version exclude each other", hint="give one of them")
    if resume is not None and (bump is not None or version is not None):
        raise ConfigError("--resume goes on with a run as it is: it takes neither --bump nor --version")
    if which and resume is None:
        raise ConfigError("--failed and --missing choose what --resume runs", hint="add --resume RUN")
    if (only is not None) != inline:
        raise ConfigError("--only and --inline go together", hint="scythe allocate --only SORT_INDEX --inline")


def _wanted(bump: Bumps | None, version: str | None) -> Bump | SemVer:
    from scythe_cli.run import SemVer

    return SemVer.FromString(version) if version is not None else bump or "keep"


def _prepare(terminal: Terminal, loaded: Loaded, found: Experiment, limit: int | None) -> Prepared:
    from scythe_cli.allocate import prepare

    if terminal.console.is_terminal:
        with terminal.console.status("checking the specs"):
            return prepare(loaded, found, limit=limit)
    return prepare(loaded, found, limit=limit)


def _allocate(
    terminal: Terminal,
    prepared: Prepared,
    version: Bump | SemVer,
    storage: str | None,
    wait: bool | None,
    as_json: bool,
) -> None:
    from scythe_cli.allocate import begin, first_work
    from scythe_cli.backends import open_engine, open_store

    engine = open_engine(prepared.file)
    run = begin(prepared, open_store(prepared.file.storage), version=version, listener=terminal)
    _follow(terminal, first_work(run, prepared), engine, storage, wait, as_json)


def _follow(
    terminal: Terminal, work: Work, engine: object, storage: str | None, wait: bool | None, as_json: bool
) -> None:
    """Hand the work to the engine, wait where asked, tell how it ended."""
    from scythe_cli.allocate import Allocation, finish, start

    ticket = start(work, engine, terminal)  # type: ignore[arg-type]  # open_engine gives an Engine
    if work.file.engine != "local" and not wait:
        _tell(terminal, Allocation(work.run, None, None), storage, as_json)
        return
    with _stopping(ticket):
        done = finish(work, ticket, terminal)
    terminal.__exit__(None, None, None)
    _tell(terminal, done, storage, as_json)


@contextmanager
def _stopping(ticket: Ticket) -> Iterator[None]:
    """While specs run, Ctrl-C and SIGTERM ask them to end instead of tearing the command down."""
    before = {number: signal.signal(number, lambda *_: ticket.stop()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(terminal: Terminal, done: Allocation, storage: str | None, as_json: bool) -> None:
    """The summary on stdout, the next command on stderr, and the exit code."""
    from scythe_cli.documents import AllocateDocument
    from scythe_cli.status import status

    now = status(done.run, errors=not as_json and done.final is not None and bool(done.final.failed))
    if as_json:
        put_json(AllocateDocument.of(done, now))
    elif done.final is not None:
        _summary(done, [failure_line(group) for group in now.failures])
    if done.ended is not None:
        _ended(terminal, done, now.done, storage)
    if done.final is None:
        terminal.say(f"next: {again('status', done.run.id, storage)}")
        return
    if done.final.failed:
        terminal.say(f"next: {again('status', done.run.name, storage, '--errors')}")
        raise typer.Exit(ExitCode.FAILED_SPECS)
    terminal.say(f"next: {again('download', done.run.name, storage)}")


def _summary(done: Allocation, failures: list[str]) -> None:
    from scythe_cli.cli.ui import counted

    final = done.final
    assert final is not None  # noqa: S101 - the caller holds it
    typer.echo(f"{final.succeeded:,} succeeded, {final.failed:,} failed")
    head = final.tables["scalars"].rpartition("/")[0].rpartition("/")[0]
    for name, address in final.tables.items():
        shown = address if name == "scalars" else "..." + address.removeprefix(head)
        typer.echo(f"  {name:<17} {counted(final.rows[name], 'row'):>14}  {shown}")
    for line in failures[:5]:
        typer.echo(line)
    if len(failures) > 5:
        typer.echo(f"and {counted(len(failures) - 5, 'other kind')} of failure")


def _ended(terminal: Terminal, done: Allocation, finished: int, storage: str | None) -> None:
    """Say why the run stopped, and raise what gives the exit code."""
    assert done.ended is not None  # noqa: S101 - the caller holds it
    terminal.__exit__(None, None, None)
    kept = f"{finished:,} of {done.run.total:,} specs are done and kept"
    resume = again("allocate --resume", done.run.id, storage)
    if done.ended.reason == "interrupted":
        raise Interrupted(f"interrupted; {kept}", hint=resume)
    message = f"{done.ended.detail}; {kept}"
    if done.ended.reason in {"canary", "max_failures"}:
        hint = f"{again('status', done.run.id, storage, '--errors')}   then, when it is mended:   {resume}"
        raise NotFinishedError(message, hint=hint)
    raise NotFinishedError(message, hint=resume)


def _resume(
    terminal: Terminal,
    file: Path,
    text: str,
    storage: str | None,
    sets: list[str],
    failed: bool,
    missing: bool,
    allow_changed_code: bool,
    wait: bool | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Run what is left of a run. The frozen file rules; the code comes from FILE's folder."""
    from scythe_cli import experiment
    from scythe_cli.allocate import Allocation, remaining, resumed_work
    from scythe_cli.backends import open_engine
    from scythe_cli.cli.options import find_run
    from scythe_cli.cli.ui import counted
    from scythe_cli.gather import gather

    run = find_run(text, storage)
    rest = remaining(run, failed=failed or not missing, missing=missing or not failed)
    if not rest.todo:
        terminal.say(f"{run.id}: nothing to run; {rest.kept:,} of {run.total:,} specs have their outcome")
        if rest.kept == run.total:
            _tell_complete(terminal, Allocation(run, None, gather(run, listener=terminal)), storage, as_json)
        return
    found = experiment.load(run.experiment_file().experiment, file.absolute().parent)
    work = resumed_work(run, found, rest, sets=sets, allow_changed_code=allow_changed_code)
    n_missing = rest.todo - len(rest.failed)
    why = [f"{n_missing:,} missing"] * bool(n_missing) + [f"{len(rest.failed):,} failed before"] * bool(rest.failed)
    terminal.say(f"resuming {run.id}: {counted(rest.todo, 'spec')} to run ({', '.join(why)}), {rest.kept:,} kept")
    if rest.cancelled and not _agreed(f"{run.id} was cancelled. Go on with it?", yes):
        raise NotFinishedError(f"{run.id} was cancelled", hint="add --yes to go on with it")
    _follow(terminal, work, open_engine(work.file), storage, wait, as_json)


def _tell_complete(terminal: Terminal, done: Allocation, storage: str | None, as_json: bool) -> None:
    """A complete run that was asked to go on: its tables, and exit code 0 whatever failed."""
    try:
        _tell(terminal, done, storage, as_json)
    except typer.Exit:
        return


def _agreed(question: str, yes: bool) -> bool:
    if yes:
        return True
    return sys.stdin.isatty() and typer.confirm(question, err=True)


def _inline(prepared: Prepared, only: int | None, terminal: Terminal) -> None:
    from scythe_cli.inline import run_inline

    assert only is not None  # noqa: S101 - _check_flags holds it
    terminal.__exit__(None, None, None)
    try:
        output = run_inline(prepared, only)
    except InputError:
        raise
    except Exception as exc:  # noqa: BLE001 - the user's function, under the debugger
        import pdb
        import traceback

        traceback.print_exception(exc)
        if sys.stdin.isatty():
            pdb.post_mortem(exc.__traceback__)
        raise typer.Exit(ExitCode.FAILED_SPECS) from None
    typer.echo(output.model_dump_json(indent=2) if hasattr(output, "model_dump_json") else repr(output))


def _dry_run(prepared: Prepared, version: Bump | SemVer, as_json: bool) -> None:
    from scythe_cli.backends import open_store
    from scythe_cli.estimate import plan

    found = plan(prepared, open_store(prepared.file.storage), version)
    if as_json:
        put_json(found)
        return
    _show_plan(found, prepared.name)


def _show_plan(found: Plan, name: str) -> None:
    from scythe_cli.cli.ui import counted, size

    typer.echo(f"{name}: {counted(found.n_specs, 'spec')} valid; a dry run, nothing was written")
    typer.echo(f"  run      {found.address}/<time>")
    remote = f", {found.n_remote:,} remote left where they are" if found.n_remote else ""
    typer.echo(f"  files    {counted(found.n_files, 'input file')} to upload ({size(found.n_bytes)}){remote}")
    cut = f"{found.leaves:,}" if found.leaves is not None else "as many as the cost of a spec asks for"
    typer.echo(
        f"  leaves   {cut}, of at most {counted(found.largest_leaf, 'spec')}, in {counted(found.blocks, 'block')}"
    )
    typer.echo(f"  objects  {found.objects:,} or more")


def _probe(terminal: Terminal, prepared: Prepared, k: int, yes: bool, as_json: bool) -> bool:
    """Run a few specs, print the estimate, and ask whether to go on."""
    from scythe_cli.estimate import probe

    found = probe(prepared, k, terminal)
    terminal.__exit__(None, None, None)
    if as_json and not yes:
        put_json(found)
    else:
        _show_estimate(found, prepared.name, to_stderr=as_json)
    if yes:
        return True
    return sys.stdin.isatty() and typer.confirm(f"Run all {found.n_specs:,} specs?", err=True)


def _show_estimate(found: Estimate, name: str, *, to_stderr: bool) -> None:
    from scythe_cli.cli.ui import counted, duration

    def say(text: str) -> None:
        typer.echo(text, err=to_stderr)

    say(f"{name}: {counted(found.probed, 'spec')} probed, {found.failed:,} failed")
    say(f"  a spec   {duration(found.seconds)} on average, {duration(found.slowest)} at most")
    say(f"  all      {found.cpu_hours:,.2f} CPU hours for {counted(found.n_specs, 'spec')}")
    say(f"  here     {duration(found.wall_hours * 3600)} on {counted(found.lanes, 'lane')}")
    for group in found.failures[:5]:
        say(failure_line(group))

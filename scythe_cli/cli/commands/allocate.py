"""`scythe allocate`: from an experiment file to final tables."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scythe_cli.cli.commands.allocate_estimate import MOST_FAILURES, dry_run_of, probe_of
from scythe_cli.cli.commands.allocate_inline import run_alone
from scythe_cli.cli.commands.allocate_resume import left_of
from scythe_cli.cli.formatting import are, counted, duration
from scythe_cli.cli.shared import (
    Json,
    Storage,
    again,
    failure_line,
    find_run,
    is_here,
    put_json,
    put_next,
    put_tables,
    running_user_code,
)
from scythe_cli.core import signals
from scythe_cli.errors import ConfigError, ExitCode, Interrupted, NotFinishedError, StoreError
from scythe_cli.run.engine import EndReason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.cli.progress import Terminal
    from scythe_cli.experiment.config import Loaded
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.operations.allocate import Allocation, Prepared
    from scythe_cli.operations.failure_groups import FailureGroup
    from scythe_cli.operations.gather import FinalReport
    from scythe_cli.run.engine import Engine, Ticket, Work
    from scythe_cli.run.run import Run
    from scythe_cli.run.version import Bump, SemVer

Bumps = Literal["major", "minor", "patch", "keep"]


def allocate(
    file: Annotated[Path, typer.Argument(metavar="FILE", readable=False, help="The experiment file.")] = Path(
        "experiment.yml"
    ),
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
    _check_flags(
        bump=bump, version=version, limit=limit, dry_run=dry_run, probe=probe, resume=resume,
        failed=failed, missing=missing, allow_changed_code=allow_changed_code, only=only, inline=inline,
    )  # fmt: skip
    from scythe_cli.cli.progress import Terminal
    from scythe_cli.engines.open_engine import engine_for

    with Terminal() as terminal:
        if resume is not None:
            which = {"failed": failed or not missing, "missing": missing or not failed}
            sets = [*(sets or []), *([f"engine={engine}"] if engine else [])]
            _go_on(terminal, resume, file, storage, sets, which, allow_changed_code, wait, as_json)
            return
        loaded, found = _load(terminal, file, sets or [], {"engine": engine, "storage": storage})
        check = cache(partial(_prepare, terminal, loaded, found, limit))
        if only is not None:
            run_alone(check(), only, terminal, as_json)
        elif dry_run:
            dry_run_of(check(), _wanted(bump, version), as_json)
        elif probe is None or probe_of(terminal, check(), probe, yes, as_json):
            with engine_for(found, loaded.file) as open_it:
                _allocate(terminal, check(), open_it(), file, _wanted(bump, version), wait, as_json)


def _check_flags(
    *,
    bump: str | None,
    version: str | None,
    limit: int | None,
    dry_run: bool,
    probe: int | None,
    resume: str | None,
    failed: bool,
    missing: bool,
    allow_changed_code: bool,
    only: int | None,
    inline: bool,
) -> None:
    if bump is not None and version is not None:
        raise ConfigError("--bump and --version exclude each other", hint="give one of them")
    if (only is not None) != inline:
        raise ConfigError("--only and --inline go together", hint="scythe allocate --only SORT_INDEX --inline")
    others = {"--bump": bump, "--version": version, "--limit": limit, "--probe": probe, "--only": only}
    given = [flag for flag, value in others.items() if value is not None] + ["--dry-run"] * dry_run
    if resume is not None and given:
        raise ConfigError(f"--resume goes on with a run as it is: it does not take {given[0]}")
    if failed and missing:
        raise ConfigError("--failed and --missing exclude each other", hint="leave out both to run all that is left")
    if (failed or missing) and resume is None:
        raise ConfigError("--failed and --missing choose what --resume runs", hint="add --resume RUN")
    if allow_changed_code and resume is None:
        raise ConfigError("--allow-changed-code is about the run that --resume goes on with", hint="add --resume RUN")
    modes = [flag for flag in given if flag in {"--dry-run", "--probe", "--only"}]
    if len(modes) > 1:
        raise ConfigError(f"{modes[0]} and {modes[1]} exclude each other", hint="give one of them")


def _go_on(
    terminal: Terminal,
    resume: str,
    file: Path,
    storage: str | None,
    sets: list[str],
    which: dict[str, bool],
    allow_changed_code: bool,
    wait: bool | None,
    as_json: bool,
) -> None:
    """Run what is left of a run. Its code stands beside FILE, which may also be what RUN is called by."""
    if resume.endswith((".yml", ".yaml")) and is_here(file):
        file = Path(resume)
    run = find_run(resume, storage or _storage_of(file))
    work = left_of(terminal, run, file, sets, which, allow_changed_code)
    if work is None:
        _nothing_to_run(terminal, run, file, as_json)
    else:
        _follow(terminal, work, file, wait, as_json)


def _wanted(bump: Bumps | None, version: str | None) -> Bump | SemVer:
    from scythe_cli.run.version import SemVer

    return SemVer.FromString(version) if version is not None else bump or "keep"


def _storage_of(file: Path) -> str | None:
    """The storage of a FILE that was named; the one in this folder is looked at anyway."""
    from scythe_cli.experiment import config

    return None if is_here(file) else config.load(file).file.storage


def _load(terminal: Terminal, file: Path, sets: list[str], flags: dict[str, str | None]) -> tuple[Loaded, Experiment]:
    from scythe_cli.experiment import config, experiment

    loaded = config.load(file, sets=sets, flags=flags)
    with terminal.busy("importing the experiment"), running_user_code():
        found = experiment.load(loaded.file.experiment, loaded.folder, place=loaded.place("experiment"))
        return loaded.with_options(found.options.settings()).with_name(found.name), found


def _prepare(terminal: Terminal, loaded: Loaded, found: Experiment, limit: int | None) -> Prepared:
    with terminal.busy("checking the specs"), running_user_code():
        from scythe_cli.operations.allocate import prepare

        return prepare(loaded, found, limit=limit)


def _allocate(
    terminal: Terminal,
    prepared: Prepared,
    engine: Engine,
    file: Path,
    version: Bump | SemVer,
    wait: bool | None,
    as_json: bool,
) -> None:
    from scythe_cli.operations.allocate import begin, first_work
    from scythe_cli.storage.open_store import open_store

    run = begin(prepared, open_store(prepared.file.storage), version=version, listener=terminal)
    _follow(terminal, first_work(run, prepared), file, wait, as_json, engine=engine)


def _follow(
    terminal: Terminal, work: Work, file: Path, wait: bool | None, as_json: bool, *, engine: Engine | None = None
) -> None:
    """Hand the work to the engine, wait where asked, tell how it ended."""
    from scythe_cli.engines.open_engine import open_engine
    from scythe_cli.operations.allocate import Allocation, start

    local = work.file.engine == "local"
    with _resumable(work.run, file):
        ticket = start(work, engine or open_engine(work.file), terminal)
        if local and wait is False:
            terminal.say("--no-wait: the local engine lives in this command, which runs to the end")
        if not local and not wait:
            _tell(terminal, Allocation(work.run, None, None), file, as_json)
            return
        with _stopping(ticket):
            ended = ticket.wait(terminal)
    if ended is None:
        _tell(terminal, Allocation(work.run, None, _final(terminal, work)), file, as_json)
    else:
        _tell(terminal, Allocation(work.run, ended, None), file, as_json)


def _resume_command(run: Run, file: Path) -> str:
    """What goes on with a run whose code stands beside a FILE that may be elsewhere."""
    return again(["allocate", *([] if is_here(file) else [str(file)]), "--resume"], run)


@contextmanager
def _resumable(run: Run, file: Path) -> Iterator[None]:
    """Ctrl-C in the moments when nothing runs, or a store that fails: the run is real and can be gone on with."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("interrupted", hint=_resume_command(run, file)) from None
    except StoreError as exc:
        exc.hint = exc.hint or f"what is done is kept; then: {_resume_command(run, file)}"
        raise


@contextmanager
def _stopping(ticket: Ticket) -> Iterator[None]:
    """While specs run, Ctrl-C, SIGTERM and SIGHUP ask them to end instead of tearing the command down."""

    def stop(number: int, _: object) -> None:
        signals.on_stop_signal(number)
        ticket.stop()

    before = {number: signal.signal(number, stop) for number in signals.stop_signals_not_ignored()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _final(terminal: Terminal, work: Work) -> FinalReport:
    from scythe_cli.operations.allocate import final_tables

    try:
        return final_tables(work, terminal)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; every spec has its outcome", hint=again("gather", work.run)) from None
    except StoreError as exc:
        exc.hint = exc.hint or f"every spec has its outcome; then: {again('gather', work.run)}"
        raise


def _tell(terminal: Terminal, done: Allocation, file: Path, as_json: bool) -> None:
    """The summary on stdout, the next command on stderr, and the exit code."""
    terminal.close()
    if as_json:
        _put_document(done)
    if done.ended is not None:
        _ended(done, file, as_json)
    if done.final is None:
        put_next(again("status", done.run))
        return
    if not as_json:
        _summary(done.run, done.final, terminal.seconds)
    if done.final.failed:
        put_next(again("status", done.run, "--errors", latest=True))
        raise typer.Exit(ExitCode.FAILED_SPECS)
    put_next(again("download", done.run, latest=True))


def _put_document(done: Allocation) -> None:
    from scythe_cli.cli.documents import AllocateDocument
    from scythe_cli.operations.status import status

    put_json(AllocateDocument.of(done, status(done.run)))


def _summary(run: Run, final: FinalReport, seconds: float) -> None:
    typer.echo(f"{final.succeeded:,} succeeded, {final.failed:,} failed in {duration(seconds)}")
    put_tables(final.tables, final.rows)
    if final.failed:
        from scythe_cli.operations.status import status

        _put_failures(status(run, errors=True).failures)


def _put_failures(failures: list[FailureGroup]) -> None:
    for group in failures[:MOST_FAILURES]:
        typer.echo(failure_line(group))
    if len(failures) > MOST_FAILURES:
        typer.echo(f"and {counted(len(failures) - MOST_FAILURES, 'other kind')} of failure")


def _ended(done: Allocation, file: Path, as_json: bool) -> None:
    """Say why the run stopped, and raise what gives the exit code."""
    from scythe_cli.operations.status import status

    assert done.ended is not None  # noqa: S101 - the caller holds it
    broken = done.ended.reason in {EndReason.CANARY, EndReason.MAX_FAILURES}
    now = status(done.run, errors=broken and not as_json)
    _put_failures(now.failures)
    kept = f"{now.done:,} of {counted(now.total, 'spec')} {are(now.total)} done and kept"
    resume = _resume_command(done.run, file)
    if done.ended.reason == EndReason.INTERRUPTED:
        raise Interrupted(f"interrupted; {kept}", hint=resume)
    hint = f"{again('status', done.run, '--errors')}   then, when it is mended:   {resume}" if broken else resume
    raise NotFinishedError(f"{done.ended.detail}; {kept}", hint=hint)


def _nothing_to_run(terminal: Terminal, run: Run, file: Path, as_json: bool) -> None:
    """A resume that finds nothing to do: the exit code is that of the run as it stands, and its tables are there."""
    from scythe_cli.operations.allocate import Allocation
    from scythe_cli.operations.gather import gather, gathered
    from scythe_cli.operations.status import status

    now = status(run)
    have = f"{counted(now.total, 'spec')} {are(now.total, 'has its', 'have their')} outcome"
    terminal.say(f"{run.id}: nothing to run; {now.done:,} of {have}")
    final = gathered(run) if not now.missing else None
    if not now.missing and (final is None or set(final.tables) - set(now.final)):
        final = gather(run, listener=terminal)
    if now.missing:  # only what failed was asked for, and nothing has
        if as_json:
            _put_document(Allocation(run, None, None))
        told = f"{now.missing:,} of {counted(now.total, 'spec')} {are(now.total, 'has', 'have')} no outcome yet"
        raise NotFinishedError(f"{run.id}: {told}", hint=_resume_command(run, file))
    _tell(terminal, Allocation(run, None, final), file, as_json)

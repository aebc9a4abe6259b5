"""The options that several commands share, and how results leave a command."""

from __future__ import annotations

import json
import os
import shlex
import sys
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scythe_cli.cli.formatting import cut, plain, shown
from scythe_cli.errors import BrokenRun, NotFoundError, ScytheError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scythe_cli.operations.failure_groups import FailureGroup
    from scythe_cli.run.run import Run

Storage = Annotated[
    str | None, typer.Option(metavar="S", help="Where runs live: a folder or s3://bucket/prefix.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON document on stdout.")]
RunName = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="name, name/v1, name/v1.2.0, name/v1.2.0/time, a run's folder or address, or an experiment file. "
        "Default: the latest run of ./experiment.yml.",
        show_default=False,
    ),
]
MESSAGE_WIDTH = 120
HAS_DOCUMENT: ContextVar[bool] = ContextVar("HAS_DOCUMENT", default=False)
"""Whether this command line has printed its document: `--json` prints exactly one."""
FIRST_TABLES = ("scalars", "errors")


def find_run(text: str | None, storage: str | None) -> Run:
    """The run that a command's RUN means."""
    from scythe_cli.run.find import find, parse_where
    from scythe_cli.run.run import open_run
    from scythe_cli.storage.open_store import open_store

    where = parse_where(text, storage=storage)
    store = open_store(where.storage)
    if not where.pattern:
        return open_run(store, "")
    try:
        return find(store, where.pattern)
    except NotFoundError:
        registered = _registered_name(where.file) if where.file else where.pattern
        if registered == where.pattern:
            raise
        return find(store, registered)


def _registered_name(file: str) -> str:
    """The name that an experiment gives itself where its file gives none: only its code knows."""
    from scythe_cli.experiment import config, experiment

    loaded = config.load(file)
    with running_user_code():
        return loaded.file.name or experiment.load(loaded.file.experiment, loaded.folder).name


@contextmanager
def running_user_code() -> Iterator[None]:
    """While the user's code runs in this process: what it prints is no result, and goes to stderr.

    So does what C code and child processes write, which know descriptors alone.
    """
    sys.stdout.flush()
    results = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        import ctypes

        sys.stdout.flush()
        ctypes.CDLL(None).fflush(None)  # what C code printed and holds back
        os.dup2(results, 1)
        os.close(results)


def agreed(question: str, yes: bool) -> bool:
    """Ask, unless `--yes` said so; where nobody can answer, nothing is agreed."""
    return yes or (sys.stdin.isatty() and typer.confirm(question, err=True))


def put_json(document: Any) -> None:
    """One JSON document on stdout."""
    from pydantic import TypeAdapter

    HAS_DOCUMENT.set(True)
    typer.echo(TypeAdapter(type(document)).dump_json(document, indent=2))


def put_error(message: str, hint: str | None, code: int) -> None:
    """The document of a command that ends without another: an error, on one line."""
    from scythe_cli.cli.documents import Error, ErrorDocument

    HAS_DOCUMENT.set(True)
    typer.echo(json.dumps(asdict(ErrorDocument(Error(message, hint, code))), ensure_ascii=False))


def put_next(*commands: str) -> None:
    """The last line of a command, on stderr: the one to go on with."""
    typer.echo("next: " + "   or: ".join(commands), err=True)


def again(command: str | Sequence[str], run: Run, *flags: str, latest: bool = False) -> str:
    """The command line that goes on with a run from this folder.

    Args:
        command: "status", "allocate --resume", or its words.
        run: the run.
        flags: what follows.
        latest: write the name alone where this is the run it means.
    """
    words = command.split() if isinstance(command, str) else command
    name, *storage = _called(run)
    short = latest and not run.is_copy and _is_latest(run)
    return shlex.join(["scythe", *words, run.name if short else name, *flags, *storage])


@contextmanager
def hints_from_here(run: Run) -> Iterator[None]:
    """The core's hints call a run by its id or its address; from this folder an id may need `--storage`."""
    try:
        yield
    except ScytheError as exc:
        if exc.hint:
            name = shlex.join(_called(run))
            exc.hint = exc.hint.replace(run.store.address, run.id).replace(run.id, name)
        raise


def _root(run: Run) -> str:
    return run.store.address.removesuffix(f"/{run.id}")


def _is_latest(run: Run) -> bool:
    from scythe_cli.run.find import find
    from scythe_cli.storage.open_store import open_store

    try:
        return find(open_store(_root(run)), run.name).id == run.id
    except BrokenRun:  # what the name means then cannot be read
        return False


def _called(run: Run) -> list[str]:
    """What a command takes to mean a run from this folder."""
    return [shown(run.store.address)] if run.is_copy else [run.id, *_storage_flag(run)]


def _storage_flag(run: Run) -> list[str]:
    """`--storage S` where a RUN alone would be looked for elsewhere."""
    from scythe_cli.experiment.config import find_storage

    root = _root(run)
    try:
        if find_storage() == root:
            return []
    except ScytheError:  # a wrong experiment.yml here is no reason to fail
        pass
    return ["--storage", shown(root)]


def put_tables(tables: Mapping[str, str | Path], rows: Mapping[str, int] | None = None) -> None:
    """A line for each final table: its name, its rows where they are known, its address."""
    order = [name for name in FIRST_TABLES if name in tables] + sorted(set(tables) - set(FIRST_TABLES))
    counts = {name: f"{rows[name]:,}" for name in order} if rows else {}
    names, digits = max(map(len, order), default=0), max(map(len, counts.values()), default=0)
    folder = ""
    for name in order:
        count = f"  {counts[name]:>{digits}} {'row ' if rows[name] == 1 else 'rows'}" if rows else ""
        address = shown(tables[name])
        told = f"...{address.removeprefix(folder)}" if folder and address.startswith(folder) else address
        folder = folder or address.rpartition("/")[0].rpartition("/")[0]
        typer.echo(f"  {name:<{names}}{count}  {told}")


def failure_line(group: FailureGroup) -> str:
    """`3x ValueError: too hot in simulate (model.py:48), spec 17`."""
    from scythe_cli.run.outcomes import INVALID_OUTPUT

    message = cut(plain(group.message), MESSAGE_WIDTH)
    what = (
        message if group.kind == group.error_type else f"{group.error_type}: {message}" if message else group.error_type
    )
    told = group.kind == INVALID_OUTPUT and not group.place.endswith(")")  # the message names the part of the output
    where = f" in {group.place}" if group.place and not told else ""
    return f"{group.count:,}x {what}{where}, spec {group.sort_index}"


def is_here(file: Path) -> bool:
    """Whether a file is the `./experiment.yml` that commands take when none is named."""
    from scythe_cli.experiment.config import DEFAULT_FILE

    return file.absolute() == Path(DEFAULT_FILE).absolute()

"""A command's RUN, both ways: the run that a text means, and the text that means a run from this folder."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.cli.formatting import display_path
from scythe_cli.errors import BrokenRun, NotFoundError, ScytheError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scythe_cli.run.run import Run

_RESUME = "allocate --resume"


def find_run(text: str | None, storage: str | None) -> Run:
    """The run that a command's RUN means."""
    from scythe_cli.run.find import find, latest_of, parse_where
    from scythe_cli.run.run import open_run
    from scythe_cli.storage.open_store import open_store

    where = parse_where(text, storage=storage)
    store = open_store(where.storage)
    if not where.pattern:
        return open_run(store, "")
    try:
        return find(store, where.pattern)
    except NotFoundError:
        run = latest_of(store, where.function) if where.function else None
        if run is None:
            raise
        return run


def command_for(command: str | Sequence[str], run: Run, *flags: str, latest: bool = False) -> str:
    """The command line that continues with a run from this folder.

    Args:
        command: "status", "allocate --resume", or its words.
        run: the run.
        flags: what follows.
        latest: write the name alone where this is the run it means.
    """
    words = command.split() if isinstance(command, str) else command
    if command == _RESUME:
        words = ["allocate", *file_words(run), "--resume"]
    name, *storage = _arguments(run)
    short = latest and not run.is_copy and _is_latest(run)
    return shlex.join(["scythe", *words, run.name if short else name, *flags, *storage])


def file_words(run: Run) -> list[str]:
    """The FILE that a resume in this folder needs: the run's function, where ./experiment.yml has another one."""
    from scythe_cli.experiment import config, importer

    target = run.manifest.entry_point
    if not target or not Path(config.DEFAULT_FILE).exists():
        return []
    try:
        if config.load(config.DEFAULT_FILE).file.experiment == target:
            return []
        importer.locate(target, Path.cwd())
    except ScytheError:  # the file is wrong, or the function is not in this folder
        return []
    return [target]


def python_name(run: Run) -> str:
    """What `open_run` takes for a run in a program that starts in this folder."""
    name, *storage = _arguments(run)
    if storage:
        return run.store.address
    return run.name if not run.is_copy and _is_latest(run) else name


@contextmanager
def hints_from_here(run: Run) -> Iterator[None]:
    """Hints of the operations name a run by its id or its address; from this folder an id may need `--storage`."""
    try:
        yield
    except ScytheError as exc:
        if exc.hint:
            name = shlex.join(_arguments(run))
            resume = shlex.join(["scythe", "allocate", *file_words(run), "--resume"])
            hint = exc.hint.replace(f"scythe {_RESUME}", resume)
            exc.hint = hint.replace(run.store.address, run.id).replace(run.id, name)
        raise


def is_default_file(file: Path) -> bool:
    """Whether a file is the `./experiment.yml` that commands take when none is named."""
    from scythe_cli.experiment.config import DEFAULT_FILE

    return file.absolute() == Path(DEFAULT_FILE).absolute()


def storage_of(file: Path) -> str | None:
    """The storage in a FILE that was named; the one of this folder is read anyway."""
    from scythe_cli.experiment import config

    return None if is_default_file(file) else config.load(file).file.storage


def _root(run: Run) -> str:
    return run.store.address.removesuffix(f"/{run.id}")


def _is_latest(run: Run) -> bool:
    from scythe_cli.run.find import find
    from scythe_cli.storage.open_store import open_store

    try:
        return find(open_store(_root(run)), run.name).id == run.id
    except BrokenRun:  # the run that the name means cannot be read
        return False


def _arguments(run: Run) -> list[str]:
    """RUN, and `--storage S` where a command needs it to find the run from this folder."""
    return [display_path(run.store.address)] if run.is_copy else [run.id, *_storage_flag(run)]


def _storage_flag(run: Run) -> list[str]:
    from scythe_cli.experiment.config import find_storage

    root = _root(run)
    try:
        if find_storage() == root:
            return []
    except ScytheError:  # a wrong experiment.yml here is no reason to fail
        pass
    return ["--storage", display_path(root)]

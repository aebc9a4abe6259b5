"""The options that several commands share, and how results leave a command."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from scythe_cli.run import Run
    from scythe_cli.status import FailureGroup

Storage = Annotated[
    str | None, typer.Option(metavar="S", help="Where runs live: a folder or s3://bucket/prefix.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON document on stdout.")]
RunName = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="name, name/v1, name/v1.2.0, name/v1.2.0/time, a full address, or an experiment file. "
        "Default: the latest run of ./experiment.yml.",
        show_default=False,
    ),
]


def find_run(text: str | None, storage: str | None) -> Run:
    """The run that a command's RUN means."""
    from scythe_cli.backends import open_store
    from scythe_cli.run import find, parse_where

    where = parse_where(text, storage=storage)
    return find(open_store(where.storage), where.pattern)


def put_json(document: Any) -> None:
    """One JSON document on stdout."""
    from pydantic import TypeAdapter

    typer.echo(json.dumps(TypeAdapter(type(document)).dump_python(document, mode="json"), indent=2, ensure_ascii=False))


def again(command: str, run_id: str, storage: str | None, *flags: str) -> str:
    """The command line that goes on with a run."""
    where = ["--storage", storage] if storage else []
    return shlex.join(["scythe", *command.split(), run_id, *flags, *where])


def failure_line(group: FailureGroup) -> str:
    """`3x ValueError: too hot in simulate (model.py:48), spec 17`."""
    message = group.message.partition("\n")[0]
    if len(message) > 120:
        message = message[:117] + "..."
    what = (
        message if group.kind == group.error_type else f"{group.error_type}: {message}" if message else group.error_type
    )
    where = f" in {group.place}" if group.place else ""
    return f"{group.count:,}x {what}{where}, spec {group.sort_index}"

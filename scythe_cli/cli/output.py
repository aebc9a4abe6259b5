"""How results leave a command: tables and JSON on stdout, the next command on stderr.

Input: what the operations return. Output: lines and documents; questions are asked here too.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from scythe_cli.cli.formatting import cut, display_path
from scythe_cli.core import layout
from scythe_cli.core.printable import Printable, printable, printable_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scythe_cli.operations.failure_groups import FailureGroup
    from scythe_cli.operations.output_counts import OutputCounts
    from scythe_cli.operations.status import RunStatus

MESSAGE_WIDTH = 120
STATES = {
    "pending": "not started",
    "running": "running",
    "complete": "finished, tables not built",
    "gathered": "finished",
    "cancelled": "cancelled",
    "stopped": "stopped",
    "incomplete": "stopped before the end",
    "removing": "partly removed",
}
"""A run's state, as `--json` has it -> as people read it."""
HAS_DOCUMENT: ContextVar[bool] = ContextVar("HAS_DOCUMENT", default=False)
"""Whether this command line has printed its document: `--json` prints exactly one."""
FIRST_TABLES = ("scalars", "errors")
MOST_OUTPUTS = 8
"""Outputs that a summary has a line for."""
MOST_FAILURES = 5
"""Groups of failures that a summary shows; `status --errors` shows all."""


@contextmanager
def running_user_code() -> Iterator[None]:
    """While the user's code runs in this process, send its output to stderr: it is not a result.

    The output of C code and child processes too, which write to the descriptor.
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
        ctypes.CDLL(None).fflush(None)  # C code has a buffer of its own
        os.dup2(results, 1)
        os.close(results)


def put(text: Printable, *, err: bool = False) -> None:
    """Print a line, or a document. What anybody else may have written goes through `printable` first."""
    typer.echo(text, err=err)


def confirm(question: str, yes: bool) -> bool:
    """Ask, unless `--yes` is given; without a terminal the answer is no."""
    return yes or (sys.stdin.isatty() and typer.confirm(question, err=True))


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    from pydantic import TypeAdapter

    HAS_DOCUMENT.set(True)
    put(printable_json(TypeAdapter(type(document)).dump_json(document, indent=2).decode()))


def print_error(message: str, hint: str | None, code: int) -> None:
    """Print the document of a command that has no other: an error, on one line."""
    from scythe_cli.cli.documents import ErrorDocument

    HAS_DOCUMENT.set(True)
    put(printable_json(json.dumps(asdict(ErrorDocument.of(message, hint, code)), ensure_ascii=False)))


def print_next(*commands: str) -> None:
    """Print the last line of a command, on stderr: the command to continue with."""
    put(printable("next: " + "   or: ".join(commands)), err=True)


def state_text(now: RunStatus) -> str:
    """`running (by process 7 on host)`, `finished (10 failed)`."""
    detail = now.detail or (f"{now.failed:,} failed" if now.failed and not now.missing else "")
    return f"{STATES[now.state]} ({detail})" if detail else STATES[now.state]


def print_tables(tables: Mapping[str, str | Path], rows: Mapping[str, int] | None = None) -> None:
    """Print a line for each table of results: its name, its rows where they are known, its address.

    `execution`, which every run has, is not a result.
    """
    order = [name for name in FIRST_TABLES if name in tables]
    order += sorted(set(tables) - {*FIRST_TABLES, layout.EXECUTION})
    counts = {name: f"{rows[name]:,}" for name in order} if rows else {}
    names, digits = max(map(len, order), default=0), max(map(len, counts.values()), default=0)
    folder = ""
    for name in order:
        count = f"  {counts[name]:>{digits}} {'row ' if rows[name] == 1 else 'rows'}" if rows else ""
        address = display_path(tables[name])
        short = f"...{address.removeprefix(folder)}" if folder and address.startswith(folder) else address
        folder = folder or address.rpartition("/")[0].rpartition("/")[0]
        put(printable(f"  {name:<{names}}{count}  {short}"))


def print_outputs(outputs: Mapping[str, OutputCounts], succeeded: int) -> None:
    """Print a line for each output with NaN, nulls, values outside the bounds, or one value in all specs."""
    from scythe_cli.operations.output_counts import sentences

    lines = sentences(outputs, succeeded)
    for sentence in lines[:MOST_OUTPUTS]:
        put(printable(f"  {sentence}"))
    if len(lines) > MOST_OUTPUTS:
        put(printable(f"  and {len(lines) - MOST_OUTPUTS:,} more outputs; --json has all"))


def failure_line(group: FailureGroup) -> str:
    """`3x ValueError: too hot in simulate (model.py:48), spec 17`."""
    from scythe_cli.run.outcomes import FailureKind

    message = cut(printable(group.message, lines=True), MESSAGE_WIDTH)
    what = (
        message if group.kind == group.error_type else f"{group.error_type}: {message}" if message else group.error_type
    )
    wrong_output = group.kind == FailureKind.INVALID_OUTPUT
    in_message = wrong_output and not group.place.endswith(")")  # it names the part of the output
    where = f" in {group.place}" if group.place and not in_message else ""
    return f"{group.count:,}x {what}{where}, spec {group.sort_index}"

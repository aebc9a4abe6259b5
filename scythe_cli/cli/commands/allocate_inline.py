"""`scythe allocate --only N --inline`: one spec in this terminal, under the debugger when it raises."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

import typer

from scythe_cli.cli.shared import put_error, running_user_code
from scythe_cli.core import package
from scythe_cli.errors import ExitCode

if TYPE_CHECKING:
    from scythe_cli.cli.progress import Terminal
    from scythe_cli.operations.allocate import Prepared


def run_alone(prepared: Prepared, only: int, terminal: Terminal, as_json: bool) -> None:
    from scythe_cli.operations.inline import run_inline
    from scythe_cli.run.outcomes import INVALID_OUTPUT

    terminal.close()
    with nullcontext() if sys.stdout.isatty() else running_user_code():
        output, failure = run_inline(prepared, only, debug=_debug)
    if failure is not None:
        if failure.kind == INVALID_OUTPUT:
            typer.echo(f"{failure.kind}: {failure.message}", err=True)
        if as_json:
            put_error(f"{failure.error_type}: {failure.message}", None, ExitCode.FAILED_SPECS)
        raise typer.Exit(ExitCode.FAILED_SPECS)
    typer.echo(output.model_dump_json(indent=2))


def _debug(exc: BaseException) -> None:
    """The traceback from the user's function on, and its frame in the debugger where somebody sits."""
    import pdb
    import traceback

    tb = exc.__traceback__
    while tb is not None and tb.tb_next is not None and tb.tb_frame.f_code.co_filename.startswith(package.ROOT):
        tb = tb.tb_next
    traceback.print_exception(exc.with_traceback(tb))
    if sys.stdin.isatty():
        pdb.post_mortem(tb)

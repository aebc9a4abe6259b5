"""`scythe allocate --only N --inline`: one spec in this terminal, under the debugger when it raises."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

import typer

from scythe_cli.cli.output import print_error, put, running_user_code
from scythe_cli.core import package
from scythe_cli.core.events import Notice
from scythe_cli.core.printable import printable, printable_json
from scythe_cli.errors import ExitCode

if TYPE_CHECKING:
    from scythe_cli.cli.progress import Terminal
    from scythe_cli.preparation.prepared import Prepared


def run_inline(prepared: Prepared, only: int, terminal: Terminal, *, as_json: bool) -> None:
    """`--inline`: run one spec, print its output."""
    from scythe_cli.operations import inline
    from scythe_cli.run.outcomes import FailureKind
    from scythe_cli.show.other_values import other_values

    if (note := other_values(prepared, only)) is not None:
        terminal(Notice(note))
    terminal.close()
    with nullcontext() if sys.stdout.isatty() else running_user_code():
        output, failure = inline.run_inline(prepared, only, debug=_debug)
    if failure is not None:
        if failure.kind == FailureKind.INVALID_OUTPUT:
            put(printable(f"{failure.kind}: {failure.message}", lines=True), err=True)
        if as_json:
            print_error(f"{failure.error_type}: {failure.message}", None, ExitCode.FAILED_SPECS)
        raise typer.Exit(ExitCode.FAILED_SPECS)
    put(printable_json(output.model_dump_json(indent=2)))


def _debug(exc: BaseException) -> None:
    """Print the traceback from the user's function on; at a terminal, open the debugger in its frame."""
    import pdb
    import traceback

    tb = exc.__traceback__
    while tb is not None and tb.tb_next is not None and tb.tb_frame.f_code.co_filename.startswith(package.ROOT):
        tb = tb.tb_next
    traceback.print_exception(exc.with_traceback(tb))
    if sys.stdin.isatty():
        pdb.post_mortem(tb)

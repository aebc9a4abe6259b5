"""`scythe init`: write a starter."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.cli import options
from scythe_cli.cli.output import put, running_user_code
from scythe_cli.core.printable import printable
from scythe_cli.errors import InputError

if TYPE_CHECKING:
    from scythe_cli.cli.starter import Starter


def init(
    folder: options.Folder = Path(),
    *,
    template: options.Template = None,
    function: options.FromFunction = None,
) -> None:
    """Write an example experiment, ready to run. Existing files are never overwritten."""
    from scythe_cli.cli import starter

    if template and function:
        raise InputError("use --template or --from, not both")
    with running_user_code():
        if function:
            made = starter.from_function(function, folder)
        else:
            made = starter.from_template(template or "minimal", folder)
    for file in made.files:
        put(printable(f"wrote {file}{'/' if file.is_dir() else ''}"))
    if made.problem:
        put(printable(made.problem), err=True)
    put(printable(f"next: {_next(made)}"), err=True)


def _next(made: Starter) -> str:
    allocate = (
        "scythe allocate" if made.folder == Path() else shlex.join(["scythe", "allocate", str(made.experiment_file)])
    )
    if made.problem:
        return f"fix the problem above, then {shlex.join(['python', str(made.folder / 'prepare.py')])}, then {allocate}"
    return allocate if made.has_specs else f"fill {shlex.quote(str(made.specs_file))}, then {allocate}"

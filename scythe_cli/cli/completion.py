"""Completion in shells: of commands and options by typer, of RUN by the names in the storage.

Input: the words so far, in the variables that the shell's script sets. Output: words on stdout, for the script.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from scythe_cli.errors import ConfigError, ScytheError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scythe_cli.storage.base import Store

INSTALL = "--install-completion"
SHOW = "--show-completion"
SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
_ASKED = "_SCYTHE_COMPLETE"
MOST_RUNS = 50
"""Runs of a name that are offered, latest first."""


def is_asked() -> bool:
    """Whether a shell asks what may come next, in place of running the command."""
    return _ASKED in os.environ


def answer(command: Any) -> int:
    """Print what may come next. A line that is wrong so far has no continuation, and is no error."""
    from typer.completion import get_completion_inspect_parameters

    get_completion_inspect_parameters()  # registers typer's shells
    with suppress(ScytheError):
        try:
            command(args=[], prog_name="scythe", complete_var=_ASKED)
        except SystemExit as exc:
            return int(exc.code or 0)
    return 0


def install(ctx: typer.Context, arguments: Sequence[str]) -> None:
    """`--install-completion [SHELL]` and `--show-completion [SHELL]`.

    Args:
        ctx: of the program.
        arguments: the flag, and the shell unless it is that of `$SHELL`.

    Raises:
        ConfigError: it is a shell that we do not know.
    """
    from typer.completion import get_completion_inspect_parameters, install_callback, show_callback

    flag, *given = arguments
    usual = Path(os.environ.get("SHELL", "")).name
    shell = given[0] if given else usual if usual in SHELLS else True
    if shell is not True and shell not in SHELLS:
        raise ConfigError(f"{flag} {shell}: not a shell that can be completed; known: {', '.join(SHELLS)}")
    parameter, _ = get_completion_inspect_parameters()
    callback: Any = install_callback if flag == INSTALL else show_callback
    with suppress(SystemExit):
        callback(ctx, parameter, shell)
    raise typer.Exit


def complete_run(ctx: typer.Context, incomplete: str) -> list[str]:
    """What a RUN may be: names; after a name and a slash, its versions and runs."""
    from scythe_cli.experiment.config import find_storage
    from scythe_cli.storage.open_store import open_store

    with suppress(ScytheError, OSError, ValueError):
        store = open_store(find_storage(ctx.params.get("storage")))
        return [one for one in _runs(store, incomplete) if one.startswith(incomplete)]
    return []


def _runs(store: Store, incomplete: str) -> Iterator[str]:
    from scythe_cli.core import layout
    from scythe_cli.run.find import names, versions

    for name in names(store):
        yield name
        if not incomplete.startswith(f"{name}/"):
            continue
        for version in versions(store, name):
            yield f"{name}/{version}"
            times = filter(layout.is_run_time, store.children(f"{name}/{version}"))
            for moment in sorted(times, reverse=True)[:MOST_RUNS]:
                yield f"{name}/{version}/{moment}"

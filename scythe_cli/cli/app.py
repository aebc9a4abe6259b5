"""`scythe`: the table of commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import os
import re
import signal
import sys
import threading
import warnings
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

import scythe_cli
from scythe_cli.cli import completion
from scythe_cli.cli.known_words import our_command
from scythe_cli.cli.output import HAS_DOCUMENT, print_error, put
from scythe_cli.core import signals
from scythe_cli.core.machine import require_memory
from scythe_cli.core.printable import printable
from scythe_cli.errors import ExitCode, InputError, InsecureEndpoint, ScytheError, did_you_mean
from scythe_cli.libraries.lean_imports import lean_imports

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import TextIO

COMMANDS = {
    "init": "Write an example experiment, ready to run.",
    "sample": "Write the table of specs that a design makes.",
    "allocate": "Check the table, run every spec, collect the results.",
    "worker": "Run specs that a Hatchet engine hands out, or those of one run.",
    "wait": "Follow a run to its end, from any machine.",
    "status": "Show how far a run is and what failed.",
    "show": "Show a run, or its specs: inputs, outputs, times, logs, errors.",
    "report": "Write one offline HTML page about a run.",
    "gather": "Build the result tables of a run.",
    "download": "Copy the result tables here.",
    "compare": "Show what differs between two runs.",
    "cancel": "Stop a run; finished specs are kept.",
    "remove": "Delete runs, after showing their sizes.",
}
"""Command -> what it does, as `scythe --help` shows it. `commands/<command>.py` has a function of the same name."""

_SHORT_FLAG = re.compile(r"('--[\w-]+') / '-\w'")
"""`'--limit' / '-n'` in a message of typer's: people look for the long name."""
IMPORTED_OBJECTS = 200_000
"""New objects after which Python looks for cycles: an import makes many and leaves none, and a look takes a while."""
_BROKEN_PIPE = 141
"""What a shell reports for a program that SIGPIPE ended, such as `cat` in `cat | head`."""
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_THREAD = "can't start new thread"
"""What Python says where the limit of processes is reached."""


class _Commands(TyperGroup):
    """Commands whose files are imported when they are needed, so that `scythe --help` loads none of them."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """The shell after `--install-completion` is optional, which no option of typer's is."""
        if args and args[0] in (completion.INSTALL, completion.SHOW):
            completion.install(ctx, args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is typer's
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the signature is typer's
        if cmd_name not in COMMANDS:
            ours = our_command(cmd_name)
            near = f" Did you mean {ours!r}?" if ours else did_you_mean(cmd_name, COMMANDS)
            raise InputError(f"{cmd_name!r} is not a command.{near}", hint="scythe --help")
        single = _typer(help=COMMANDS[cmd_name])
        single.command(name=cmd_name)(getattr(import_module(f"scythe_cli.cli.commands.{cmd_name}"), cmd_name))
        return typer.main.get_command(single)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the signature is typer's
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _typer(**settings: Any) -> typer.Typer:
    """Plain help: rich's costs twice the start-up."""
    names = {"help_option_names": ["-h", "--help"]}
    return typer.Typer(rich_markup_mode=None, add_completion=False, context_settings=names, **settings)


app = _typer(cls=_Commands, help="Run a typed Python function over every row of a table.")


@app.callback(invoke_without_command=True)
def _scythe(
    ctx: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", "-V", help="Show the version and exit.")] = False,
    install_completion: Annotated[  # noqa: ARG001 - for the help; `parse_args` takes it
        bool,
        typer.Option(completion.INSTALL, help="Let the shell complete commands, options and runs; SHELL may follow."),
    ] = False,
    show_completion: Annotated[  # noqa: ARG001 - for the help; `parse_args` takes it
        bool, typer.Option(completion.SHOW, help="Print what --install-completion would install.")
    ] = False,
) -> None:
    if version:
        put(printable(f"scythe {scythe_cli.__version__}"))
    elif ctx.invoked_subcommand is None:
        put(printable(ctx.get_help(), lines=True))
    elif ctx.invoked_subcommand != "init":
        require_memory()


def main() -> NoReturn:
    """The installed command."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # the parent process closed it
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - for the life of the process
    for number in {signal.SIGTERM, signal.SIGHUP}.intersection(signals.stop_signals_not_ignored()):
        signal.signal(number, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # both are text files here
    gc.set_threshold(IMPORTED_OBJECTS, *gc.get_threshold()[1:])
    lean_imports()
    warnings.showwarning = partial(_show_warning, warnings.showwarning)
    _leave(run(sys.argv[1:]))


def _leave(code: int) -> NoReturn:
    """End the process with this exit code and no other.

    What Python registered for its exit runs. The destructors of C++ libraries do not: where a reader thread of Arrow
    still lives, as after an error in the middle of a table, they abort the process.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # what Python itself calls first
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _show_warning(others: Callable[..., None], message: Warning | str, category: type[Warning], *place: Any) -> None:
    """Print a warning of ours as a line, without the place in our code."""
    if issubclass(category, InsecureEndpoint):
        _say(f"warning: {message}")
    else:
        others(message, category, *place)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """The same as Ctrl-C: the command cleans up."""
    signals.on_stop_signal(number)
    signal.default_int_handler(number, frame)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and print its error, if any. Returns the exit code."""
    HAS_DOCUMENT.set(False)
    try:
        _require_folder()
        command = typer.main.get_command(app)
        if completion.is_asked():
            return completion.answer(command)
        with command.make_context("scythe", list(arguments)) as ctx:
            code = command.invoke(ctx)
        sys.stdout.flush()
    except typer.Exit as exc:
        code = exc.exit_code
    except BrokenPipeError:
        _discard_output(sys.stdout, sys.stderr)
        code = _BROKEN_PIPE
    except BaseException as exc:  # noqa: BLE001 - the boundary: nothing leaves as a bare traceback
        code = _fail(exc, arguments)
    return int(code or ExitCode.DONE)


def _require_folder() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:
        raise InputError("the current folder does not exist any more", hint="cd to a folder that exists") from None


def _fail(exc: BaseException, arguments: Sequence[str]) -> int:
    """Print the error on stderr, and with `--json` on stdout too, unless a document was printed there."""
    message, hint, code = describe_exception(exc, arguments)
    stopped = code == ExitCode.INTERRUPTED
    _say(message if stopped else f"error: {message}", hint, "next" if stopped else "hint")
    try:
        if _wants_json(arguments) and not HAS_DOCUMENT.get():
            print_error(message, hint, code)
        sys.stdout.flush()
    except OSError:
        _discard_output(sys.stdout)
    return code


def describe_exception(exc: BaseException, arguments: Sequence[str]) -> tuple[str, str | None, ExitCode]:
    """An exception's message, hint and exit code."""
    match exc:
        case KeyboardInterrupt() | typer.Abort():
            return "interrupted", None, ExitCode.INTERRUPTED
        case ScytheError():
            return exc.message, exc.hint, exc.exit_code
        case typer.TyperException():
            where = getattr(exc, "ctx", None)  # which command's usage it is about, when it is about one's
            message = _SHORT_FLAG.sub(r"\1", exc.format_message().replace("Value error, ", ""))
            return message, f"{where.command_path if where else 'scythe'} --help", ExitCode.BAD_INPUT
        case OSError() | RuntimeError() if (refused := _refused_by_system(exc)) is not None:
            return *refused, ExitCode.UNREACHABLE
        case Exception():
            message = f"this is a bug in scythe: {type(exc).__name__}: {exc}"
            return message, _keep_traceback(arguments), ExitCode.BUG
    if type(exc).__name__ == "PanicException":  # of a library in Rust: no `Exception`
        return f"a library failed: {exc}", _keep_traceback(arguments), ExitCode.BUG
    raise exc


def _refused_by_system(exc: OSError | RuntimeError) -> tuple[str, str | None] | None:
    """What the system has no more of, and a hint; None where it is something else."""
    if isinstance(exc, OSError) and exc.errno in _DISK_FULL:
        return f"nothing more can be written: {exc.strerror}", None
    if str(exc) == _NO_THREAD:
        return "the system starts no more threads or processes", "ulimit -u   shows the limit"
    return None


def _wants_json(arguments: Sequence[str]) -> bool:
    given = list(arguments)
    return "--json" in (given[: given.index("--")] if "--" in given else given)


def _say(message: str, hint: str | None = None, label: str = "hint") -> None:
    try:
        put(printable(message, lines=True), err=True)
        if hint:
            put(printable(f"{label}: {hint}", lines=True), err=True)
    except BrokenPipeError:
        _discard_output(sys.stdout, sys.stderr)


def _discard_output(*streams: TextIO) -> None:
    """Nobody reads, or nothing can be written: send the rest to the null device, or the last flush would fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())


def _keep_traceback(arguments: Sequence[str]) -> str:
    """Write the current traceback to a file and return its name; the traceback itself, if no file can be written."""
    import platform  # imported only here: they would slow every start
    import tempfile
    import traceback

    details = [
        f"scythe {scythe_cli.__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"scythe {' '.join(arguments)}",
        traceback.format_exc(),
    ]
    try:
        handle, name = tempfile.mkstemp(prefix="scythe-bug-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("\n".join(details))
    except OSError:
        return "please report this:\n" + "\n".join(details)
    return f"please report it with {name}"


if __name__ == "__main__":
    main()

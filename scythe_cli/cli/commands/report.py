"""`scythe report`: one HTML page about a run, which opens without a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.cli import options
from scythe_cli.cli.formatting import display_path, size
from scythe_cli.cli.output import print_json, print_next, put
from scythe_cli.cli.run_argument import find_run
from scythe_cli.core.printable import printable
from scythe_cli.errors import ConfigError

if TYPE_CHECKING:
    from scythe_cli.report.document import Report

DEFAULT = Path("report.html")


def report(
    run: options.RunArgument = None,
    *,
    output: options.ReportFile = None,
    open_page: options.OpenReport = False,
    storage: options.Storage = None,
    as_json: options.ReportJson = False,
) -> None:
    """Write one HTML page about a run: failures, distributions, sensitivity, durations. It opens without a network.

    The run may be at work or have stopped: then the page is about the specs that are finished.
    """
    from scythe_cli.cli.progress import Terminal
    from scythe_cli.report.page import render, write
    from scythe_cli.report.report import report as describe

    file = output or DEFAULT
    wanted = not as_json or output is not None or open_page
    if wanted:
        _check(file, named=output is not None)
    found_run = find_run(run, storage)
    with Terminal() as terminal, terminal.busy("reading the results"):
        found = describe(found_run)
        page = render(found) if wanted else None
    if page is not None:
        write(page, file)
        found = replace(found, page=str(file.absolute()))
    if as_json:
        print_json(found)
    elif page is not None:
        _print(found, file, len(page.encode()))
    if open_page:
        _open(file)


def _check(file: Path, *, named: bool) -> None:
    """Refuse what cannot be written before anything is read, and a file of somebody else that nobody named."""
    from scythe_cli.core.extras import load_extra

    load_extra("plotly.offline", extra="report", purpose="the page of a report")
    if file.is_dir():
        raise ConfigError(f"-o {file}: is a folder; give the name of a file, {file / DEFAULT}")
    if not file.absolute().parent.is_dir():
        raise ConfigError(f"-o {file}: there is no folder {file.absolute().parent}")
    if not named and file.exists() and not _is_ours(file):
        raise ConfigError(f"{file} exists and is not a page of scythe report", hint="give another name: -o FILE")


def _is_ours(file: Path) -> bool:
    from scythe_cli.report.page import GENERATOR

    with file.open("rb") as opened:
        return f'name="generator" content="{GENERATOR}'.encode() in opened.read(4096)


def _print(found: Report, file: Path, n_bytes: int) -> None:
    head = found.head
    counts = f"{head.succeeded:,} succeeded, {head.failed:,} failed"
    missing = f", {head.missing:,} without a result yet" if head.missing else ""
    put(printable(f"{head.run}   {counts}{missing}"))
    put(printable(f"  {display_path(file)}  {size(n_bytes)}, opens without a network"))


def _open(file: Path) -> None:
    import webbrowser

    if not webbrowser.open(file.absolute().as_uri()):
        print_next(f"open {display_path(file)} in a browser: none was found here")

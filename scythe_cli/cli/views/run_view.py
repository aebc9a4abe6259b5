"""What a run is made of, for people: its code, machine, settings, tables.

Input: a run as `show` gives it. Output: lines on stdout.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from scythe_cli.cli.formatting import counted
from scythe_cli.cli.output import STATES, print_tables, put
from scythe_cli.cli.views.text_table import line_width
from scythe_cli.core.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.show.show import Shown

LABEL = 10
WIDEST = 100
_OF_ENGINES = {"slurm": ("slurm",), "hatchet": ("tree", "resources")}
"""Settings that mean nothing to other engines; `--json` has them."""


def print_run(shown: Shown, made_by: str | None = None) -> None:
    """Print what a run is made of; and which code made how many rows, where it was more than one."""
    put(printable(f"{shown.run}   {STATES[shown.state]}"))
    put(
        printable(
            f"  {shown.succeeded:,} of {counted(shown.total, 'spec')} succeeded, {shown.failed:,} failed, "
            f"{shown.missing:,} without a result"
        )
    )
    for label, text in _facts(shown, made_by):
        width = max(30, min(WIDEST, line_width()) - LABEL - 2)
        for at, line in enumerate(textwrap.wrap(printable(text), width, break_on_hyphens=False) or [""]):
            put(printable(f"  {'' if at else label:<{LABEL}}{line}"))
    print_tables(shown.tables)


def _facts(shown: Shown, made_by: str | None) -> Iterator[tuple[str, str]]:
    yield "began", f"{shown.created:%Y-%m-%d %H:%M:%S} UTC on {shown.host}, engine {shown.engine}"
    version = f", version {shown.code_version}" if shown.code_version else ""
    commit = f", git {shown.git_commit[:12]}" if shown.git_commit else ""
    yield "code", f"{shown.entry_point}   {shown.place}, hash {shown.source_hash[:12]}{commit}{version}"
    if made_by is not None:
        yield "made by", made_by
    yield "python", shown.python
    yield "packages", ", ".join(f"{name} {version}" for name, version in shown.packages.items())
    of_others = {name for engine, names in _OF_ENGINES.items() if engine != shown.engine for name in names}
    if shown.settings:
        known = {name: one for name, one in shown.settings.items() if name not in of_others}
        yield "settings", ", ".join(_settings(known))
    fields = shown.units()
    names = [f"{name} [{fields[name]}]" if name in fields else name for name in shown.fields]
    if names:
        yield "fields", ", ".join(names)


def _settings(settings: dict[str, Any], above: str = "") -> Iterator[str]:
    """`run.timeout 1m`; those without a value are left out."""
    for name, value in settings.items():
        if isinstance(value, dict) and name != "specs":
            yield from _settings(value, f"{above}{name}.")
        elif value not in (None, [], {}):
            yield f"{above}{name} {str(value).lower() if isinstance(value, bool) else value}"

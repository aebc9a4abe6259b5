"""Failures for people: groups of them with an example each, and what to do about them.

Input: groups of failures. Output: lines on stdout; the commands to continue with.
"""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

from scythe_cli.cli.formatting import counted, display_path, shortened
from scythe_cli.cli.output import failure_line, put
from scythe_cli.cli.run_argument import command_for
from scythe_cli.cli.views.text_table import line_width, wrapped
from scythe_cli.core import layout
from scythe_cli.core.printable import printable
from scythe_cli.errors import ScytheError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scythe_cli.operations.failure_groups import Common, FailureGroup
    from scythe_cli.run.run import Run

_OF_LIMITS = ("timeout", "memory", "crash", "lost")
"""Kinds of failure that a resume may cure as it is, or with a larger limit."""
LOG_LINES = 8
TRACE_LINES = 6
LINE_WIDTH = 160
LIST_WIDTH = 100
LABEL = 11
_SENTENCES = ("inputs", "common", "message")
"""Parts of a group that may be broken between words where the terminal is narrow; others are copied, or code."""


def kept_folders(run: Run) -> dict[int, str]:
    """By sort_index, the address of what a failed spec left, where `run.keep_failed` is set."""
    names = run.store.children(layout.FAILED)
    found = {of[0]: name for name in names if (of := layout.failed_claim(name)) is not None}
    found |= {int(name): name for name in names if name.isdecimal()}
    return {spec: run.store.locate(f"{layout.FAILED}/{name}") for spec, name in found.items()}


def print_group(group: FailureGroup, command: str | None, left: str | None = None) -> None:
    """Print a group of failures: its example, the command that runs that alone, and the folder that it left."""
    from scythe_cli.core.validation_errors import format_value

    inputs = ", ".join(f"{name}={format_value(value)}" for name, value in group.inputs.items())
    lines: dict[str, Sequence[str]] = {
        "kind": [f"{group.kind}, {counted(group.attempts, 'attempt')}"],
        "inputs": [printable(inputs)] if inputs else [],
        "common": [in_common(group)] if group.common else [],
        "message": printable(group.message, lines=True).strip().splitlines()[1 : 1 + LOG_LINES],
        "trace": _last_calls(group),
        "log": printable(group.log.replace("\r", "\n"), lines=True).rstrip().splitlines()[-LOG_LINES:],
        "specs": textwrap.wrap(spec_ranges(group.specs), max(20, min(LIST_WIDTH, line_width() - LABEL))),
        "left": [display_path(left)] if left else [],
        "alone": [f"{command} --only {group.sort_index} --inline"] if command else [],
    }
    put(printable(""))
    for line in wrapped(failure_line(group), 4):
        put(printable(line))
    for name, part in lines.items():
        for at, line in enumerate(part):
            label = f"  {'' if at else name:<{LABEL - 4}}  "
            whole = label + (line if name in ("alone", "left") else shortened(line, LINE_WIDTH))
            for text in wrapped(whole, LABEL) if name in _SENTENCES else [whole]:
                put(printable(text))


def in_common(group: FailureGroup) -> str:
    """`system=heatpump 100%, u_value 2.51 to 2.99; 166 of 1,000 such specs`."""
    return f"{', '.join(map(_common, group.common))}; {group.failed_such:,} of {counted(group.such, 'such spec')}"


def _common(one: Common) -> str:
    if one.low is not None:
        return printable(f"{one.field} {_number(one.low)} to {_number(one.high)}")
    value = one.value.rpartition("/")[2] if isinstance(one.value, str) else one.value
    return printable(f"{one.field}={_number(value)} {math.floor(100 * one.share)}%")


def _number(value: object) -> str:
    """A number in four digits; other values as they are."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def spec_ranges(numbers: Sequence[int]) -> str:
    """Rising numbers as text: `0-3, 7, 12-13`."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    return ", ".join("-".join(map(str, one)) for one in ranges)


def _last_calls(group: FailureGroup) -> list[str]:
    """The last calls of a traceback, without the marks under their code."""
    from scythe_cli.run.outcomes import CALLS_BEGIN_LAST

    lines = [
        line[2:]
        for line in printable(group.traceback, lines=True).splitlines()
        if line.startswith("  ") and line.strip(" ^~")
    ]
    return lines[:TRACE_LINES] if CALLS_BEGIN_LAST in group.traceback else lines[-TRACE_LINES:]


def commands_after_failures(run: Run, failures: Sequence[FailureGroup], alone: str | None) -> list[str]:
    """What is next, by the most frequent kind of failure: a larger limit, or run one spec alone, then resume.

    Args:
        run: the run.
        failures: its groups, most frequent first.
        alone: the command that runs one spec alone, without its number; None where there is none.
    """
    if not failures or failures[0].kind in _OF_LIMITS:
        found = after_limits(run, failures) or [command_for("allocate --resume", run)]
        if all(one.kind in _OF_LIMITS for one in failures):
            return found
        fixed = f"{found[0]} --allow-changed-code"
        return [f"{found[0]}   or, after a fix of the code:   {fixed}"]
    first = failures[0]
    fixed = command_for("allocate --resume", run, "--allow-changed-code")  # the code will have changed
    if alone is None or not alone.startswith("scythe "):
        return [fixed]
    return [f"{alone} --only {first.sort_index} --inline   then, after a fix:   {fixed}"]


def after_limits(run: Run, failures: Sequence[FailureGroup]) -> list[str]:
    """The command that repeats failed specs with a larger limit, where most went past one; else empty."""
    options = _larger_limit(run, failures[0].kind) if failures else []
    return [command_for("allocate --resume", run, *options)] if options else []


def _larger_limit(run: Run, kind: str) -> list[str]:
    """Options with twice the limit that specs went past; where there was none for memory, fewer specs at a time."""
    from scythe_cli.core.machine import cores
    from scythe_cli.core.units import format_duration, format_size
    from scythe_cli.engines.shared.walltime import END_SECONDS

    try:
        file = run.experiment_file()
    except ScytheError:  # of another version, or cut
        return []
    limits = file.run
    if kind == "timeout" and limits.timeout:
        options = ["--set", f"run.timeout={format_duration(2 * limits.timeout)}"]
        time = file.slurm.time if file.engine == "slurm" else None
        if time is not None and 2 * limits.timeout > time - END_SECONDS:  # else the engine refuses
            options += ["--set", f"slurm.time={format_duration(2 * time)}"]
        return options
    if kind == "memory" and limits.memory:
        return ["--set", f"run.memory={format_size(2 * limits.memory)}"]
    workers = limits.workers or cores()
    if kind == "memory" and file.engine == "local" and workers > 1:  # it was the machine's memory that ran out
        return ["--set", f"run.workers={workers // 2}"]
    return []

"""`scythe compare`: what differs between two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.cli import options
from scythe_cli.cli.formatting import counted
from scythe_cli.cli.output import print_json, put
from scythe_cli.cli.run_argument import find_run
from scythe_cli.cli.views.text_table import wrapped
from scythe_cli.core.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.operations.compare import Comparison, OutputDifference

LABEL = 8


def compare(
    first: options.FirstRun,
    second: options.SecondRun,
    *,
    storage: options.Storage = None,
    as_json: options.Json = False,
) -> None:
    """Show what differs between two runs. The exit code is 0 also when they differ."""
    from scythe_cli.cli.progress import Terminal
    from scythe_cli.operations.compare import compare as compared

    with Terminal() as terminal, terminal.busy("comparing"):
        found = compared(find_run(first, storage), find_run(second, storage))
    if as_json:
        print_json(found)
        return
    for line in _lines(found):
        for part in wrapped(line, LABEL):
            put(printable(part))


def _lines(found: Comparison) -> Iterator[str]:
    yield f"first   {found.first}"
    yield f"second  {found.second}"
    code, rows, failures = found.code, found.rows, found.failures
    if code.first == code.second:
        yield "code    the same"
    else:
        files = f": {', '.join(code.changed)}" if code.changed else ""
        yield f"code    {code.first[:12]} -> {code.second[:12]}{files}"
    for title, values in (("setting", found.settings), ("package", found.packages)):
        for one in values:
            yield f"{title} {one.name}: {_value(one.first)} -> {_value(one.second)}"
    yield (
        f"rows    {counted(rows.same, 'row')} the same, {rows.changed:,} changed, {rows.added:,} added, "
        f"{rows.removed:,} removed"
    )
    for output in found.outputs:
        yield _output(output)
    yield f"failed  {failures.new:,} new, {failures.gone:,} gone, {failures.both:,} in both"
    for note in found.notes:
        yield f"note: {note}"


def _value(text: str | None) -> str:
    return "-" if text is None else text


def _output(one: OutputDifference) -> str:
    if not one.rows_changed:
        return f"output  {one.name}: the same in {counted(one.count, 'row')}"
    means = "" if one.first_mean is None else f", mean {one.first_mean:.6g} -> {one.second_mean:.6g}"
    largest = "" if one.largest_change is None else f", largest change {one.largest_change:.6g}"
    return f"output  {one.name}: {one.rows_changed:,} of {counted(one.count, 'row')} changed{means}{largest}"

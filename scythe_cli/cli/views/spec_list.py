"""Specs as a table for people: number, state, time, error, then inputs and outputs in short columns.

Input: a run as `show` gives it. Output: lines on stdout; in a terminal as many columns as fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scythe_cli.cli.formatting import brief, counted, cut
from scythe_cli.cli.output import put
from scythe_cli.cli.views.text_table import line_width, text_table
from scythe_cli.core.printable import printable

if TYPE_CHECKING:
    from scythe_cli.show.show import Shown
    from scythe_cli.show.spec import Spec

ERROR_WIDTH = 48
_LEFT = ("state", "error")


def print_specs(shown: Shown) -> None:
    """Print the chosen specs as a table, and how many more there are."""
    specs = shown.specs
    if not specs:
        put(printable(f"no spec of {shown.run} fits"))
        return
    names, rows = _table(specs)
    text = [name for name in names if name in _LEFT or _is_text(specs, name)]
    for line in text_table(names, rows, width=line_width(), left=text, cell=ERROR_WIDTH):
        put(printable(line))
    if shown.matching > len(specs):
        put(printable(f"{len(specs):,} of {counted(shown.matching, 'spec')}; -n {shown.matching} shows all"))


def _table(specs: list[Spec]) -> tuple[list[str], list[list[str]]]:
    """The columns that say something about these specs, and their cells."""
    states, failed = {one.state for one in specs}, any(one.kind for one in specs)
    inputs = list(dict.fromkeys(name for one in specs for name in one.inputs))
    outputs = list(dict.fromkeys(name for one in specs for name in one.outputs))
    names = ["spec", *(["state"] if len(states) > 1 else []), *(["took"] if states != {"missing"} else [])]
    names += ["error"] if failed else []
    rows = []
    for one in specs:
        took = "" if one.duration is None else brief(one.duration)
        known = {"spec": str(one.sort_index), "state": one.state, "took": took, "error": _error(one)}
        cells = [known[name] for name in names]
        cells += [short(one.inputs.get(name)) for name in inputs]
        rows.append([*cells, *(short(one.outputs.get(name)) for name in outputs)])
    return [*names, *inputs, *outputs], rows


def _error(spec: Spec) -> str:
    if spec.kind is None:
        return ""
    message = cut(printable(spec.message or "", lines=True), ERROR_WIDTH)
    return message if spec.kind == spec.error_type else f"{spec.error_type}: {message}"


def _is_text(specs: list[Spec], name: str) -> bool:
    return any(isinstance(one.inputs.get(name, one.outputs.get(name)), str) for one in specs)


def short(value: Any) -> str:
    """A value in few characters: numbers with five digits, of a path its last part."""
    from scythe_cli.core.validation_errors import format_value

    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.5g}"
    return value.rpartition("/")[2] if isinstance(value, str) else format_value(value)

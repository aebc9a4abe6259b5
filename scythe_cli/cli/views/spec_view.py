"""One spec for people: what went in, what came out, how it ran, and how to run it alone.

Input: a run as `show` gives it, with one spec. Output: lines on stdout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scythe_cli.cli.formatting import brief, counted, display_path, shortened
from scythe_cli.cli.output import put
from scythe_cli.cli.views.text_table import flowing, line_width, text_table
from scythe_cli.core.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scythe_cli.show.field_notes import FieldNote
    from scythe_cli.show.frames import Frame
    from scythe_cli.show.show import Shown
    from scythe_cli.show.spec import Spec

LOG_LINES = 20
TRACEBACK_LINES = 60
VALUE = 28
"""Characters after which what explains a value moves to the right."""
MOST_VALUES = 100
"""Inputs, or outputs, that are shown; `--json` has all."""


def print_spec(shown: Shown, note: str | None = None) -> None:
    """Print one spec: a block for each thing that is known of it, and a note on the command that runs it alone."""
    spec = shown.specs[0]
    put(printable(f"{shown.run}   spec {spec.sort_index}   {_state(spec)}"))
    for line in flowing(_how(spec), line_width() - 2):
        put(printable(f"  {line}"))
    _print_block("inputs", _values(spec.inputs, shown.fields))
    _print_block("outputs", _values(spec.outputs, shown.fields))
    _print_block("files", _pairs({name: display_path(path) for name, path in spec.files.items()}))
    _print_frames(spec.frames or [])
    if spec.message and spec.kind:
        what = spec.message if spec.kind == spec.error_type else f"{spec.error_type}: {spec.message}"
        _print_block("error", _lines(what, LOG_LINES))
    _print_block("traceback", _lines(spec.traceback or "", TRACEBACK_LINES))
    log = _lines((spec.log or "").replace("\r", "\n"), None)
    cut = [f"... {len(log) - LOG_LINES:,} lines before these; --log prints all"] if len(log) > LOG_LINES else []
    _print_block("log", [*cut, *log[-LOG_LINES:]])
    if spec.command:
        _print_block("alone", [spec.command, *([note] if note else [])])


def print_log(specs: Sequence[Spec]) -> None:
    """Print what specs have printed, and nothing else; several with a line before each."""
    for spec in specs:
        if len(specs) > 1:
            put(printable(f"== spec {spec.sort_index}"))
        log = printable((spec.log or "").replace("\r", "\n"), lines=True)
        if log:
            put(printable(log.rstrip("\n"), lines=True))


def _state(spec: Spec) -> str:
    return (spec.message or "no result yet") if spec.state == "missing" else spec.state


def _how(spec: Spec) -> list[str]:
    """How it ran, as far as that is known."""
    if spec.state == "missing":
        return []
    facts = [] if spec.kind is None else [f"{spec.kind} in {spec.place}" if spec.place else spec.kind]
    if spec.duration is not None:
        facts.append(f"took {brief(spec.duration)}")
    if spec.start is not None:
        facts.append(f"began {spec.start:%Y-%m-%d %H:%M:%S} UTC")
    facts.append(counted(spec.attempts, "attempt"))
    if spec.worker:
        facts.append(f"worker {spec.worker}")
    return [*facts, f"taken over from {spec.reused_from}"] if spec.reused_from else facts


def _values(values: Mapping[str, Any], fields: Mapping[str, FieldNote]) -> list[str]:
    """A line for each field: its name, its value with the unit, what the model says of it where that fits."""
    rows = []
    for name, value in list(values.items())[:MOST_VALUES]:
        note = fields.get(name)
        unit = f" {note.unit}" if note is not None and note.unit and value is not None else ""
        rows.append((name, f"{value_text(value)}{unit}", note.description if note is not None else ""))
    lines = _aligned(rows)
    more = len(values) - MOST_VALUES
    return [*lines, f"and {more:,} more; --json has all"] if more > 0 else lines


def value_text(value: Any) -> str:
    """A value as people read it; numbers with ten digits."""
    from scythe_cli.core.validation_errors import format_value

    if value is None:
        return "-"
    if isinstance(value, str):
        return display_path(value) if "/" in value else value
    return f"{value:.10g}" if isinstance(value, float) else format_value(value)


def _pairs(values: Mapping[str, str]) -> list[str]:
    return _aligned([(name, value, "") for name, value in values.items()])


def _aligned(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """Names in a column; values after them; what explains them last, as far as the terminal has room."""
    if not rows:
        return []
    names = max(len(name) for name, _, _ in rows)
    values = min(VALUE, max(len(value) for _, value, _ in rows))
    room = line_width() - 2
    lines = []
    for name, value, about in rows:
        line = f"{name:<{names}}  {value:<{values}}"
        left = room - len(line) - 2
        lines.append(f"{line}  {shortened(about, left)}" if about and left >= 12 else line.rstrip())
    return lines


def _lines(text: str, most: int | None) -> list[str]:
    lines = printable(text, lines=True).rstrip().splitlines() if text.strip() else []
    if most is None or len(lines) <= most:
        return list(lines)
    half = most // 2
    return [*lines[:half], f"... {len(lines) - 2 * half:,} lines left out; --json has all", *lines[-half:]]


def _print_block(title: str, lines: Sequence[str]) -> None:
    if lines:
        put(printable(title))
        for line in lines:
            put(printable(f"  {line}"))


def _print_frames(frames: Sequence[Frame]) -> None:
    if not frames:
        return
    sizes = {one.name: f"{counted(one.rows, 'row')} x {counted(len(one.columns), 'column')}" for one in frames}
    names = [(one.name, sizes[one.name], ", ".join(one.columns[:MOST_VALUES])) for one in frames]
    _print_block("frames", _aligned(names))
    for frame in frames:
        if frame.head:
            put(printable(""))
            put(printable(f"  {frame.name}"))
            rows = [[value_text(one.get(name)) for name in frame.head[0]] for one in frame.head]
            for line in text_table(list(frame.head[0]), rows, width=line_width() - 2):
                put(printable(f"  {line}"))

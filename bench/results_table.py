"""One table of all that was measured: each figure with its target, its peer, the machine's load, and what missed.

Input: the JSON files of `bench/results`. Output: lines for the terminal, and the table of docs/performance.md.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
_MADE = re.compile(r"(?P<begin><!-- made from: (?P<name>bench|where) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)


def read_results() -> dict[str, dict[str, Any]]:
    """The last results of each measurement, by its name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}


def figure(row: dict[str, Any], key: str) -> str:
    """A figure with its unit, in three digits: "0.86x", "150", "0.4 GB"."""
    value, unit = row[key], row["unit"]
    shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{shown}{unit}" if unit in {"x", "%", ""} else f"{shown} {unit}"


def page_table() -> str:
    """The table of the page."""
    lines = ["| measure | figure | target | |", "|---|---|---|---|"]
    for result in read_results().values():
        load = result["machine"]["load"][0]
        for row in result["rows"]:
            busy = f"load {load:.1f}" if load > 2.5 else ""
            missed = "" if row["met"] else "**missed**"
            note = ", ".join(filter(None, (missed, busy)))
            lines.append(f"| {row['measure']} | {figure(row, 'value')} | {figure(row, 'target')} | {note} |")
    return "\n".join(lines) + "\n"


def parts_table() -> str:
    """Where the time of a spec goes."""
    parts = read_results()["where"]["parts"]
    lines = [f"| {seconds:.1f} | {'**together**' if name == 'together' else name} |" for name, seconds in parts.items()]
    return "\n".join(["| microseconds | for |", "|---|---|", *lines]) + "\n"


def with_tables(page: str) -> str:
    """The text of the page with the tables of now."""
    made = {"bench": page_table, "where": parts_table}
    return _MADE.sub(lambda found: f"{found['begin']}\n{made[found['name']]()}\n{found['end']}", page)


def write_page() -> None:
    """Put the tables into docs/performance.md."""
    PAGE.write_text(with_tables(PAGE.read_text()))


def print_table() -> int:
    """Print all rows, what missed its target last and loud. Returns how many missed."""
    missed = []
    width = max(len(row["measure"]) for result in read_results().values() for row in result["rows"])
    for name, result in read_results().items():
        print(f"\n{name}, {result['machine'].get('date', 'no date')}, load {result['machine']['load'][0]:.1f}")
        for row in result["rows"]:
            mark = "    " if row["met"] else "MISS"
            figures = f"{figure(row, 'value'):>9}  of {figure(row, 'target'):>7}"
            line = f"{mark}  {row['measure']:<{width}}  {figures}  {row['detail']}"
            print(line.rstrip())
            missed += [] if row["met"] else [line]
    if missed:
        print(f"\n{len(missed)} of the targets were missed:", *missed, sep="\n")
    return len(missed)

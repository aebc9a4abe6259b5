"""Text in a page: whoever wrote it, it is text and nothing else.

Input: anything. Output: HTML, text for plotly, JSON that stands in a <script>. Everything in a page goes through here.
"""

from __future__ import annotations

import html
import json
from typing import Any

from scythe_cli.core.printable import printable

MOST_CHARACTERS = 2_000
_IN_SCRIPT = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}
"""What may end a script element or begin a comment in it, as JSON writes it too."""


class Markup(str):
    """HTML that was made here."""

    __slots__ = ()


def text(value: object, *, most: int = MOST_CHARACTERS, lines: bool = False) -> Markup:
    """Anything as HTML text, which is also safe in an attribute with quotes."""
    return Markup(html.escape(_cut(printable(value, lines=lines), most), quote=True))


def plot_text(value: object, *, most: int = 60) -> str:
    """Anything as text in a plot: plotly reads a few tags and entities in it, and `%{...}` in templates."""
    return html.escape(_cut(printable(value), most), quote=False).replace("%{", "% {")


def shortened(value: object, most: int) -> str:
    """Anything as plain text, for what sets the text of an element and reads nothing in it."""
    return _cut(printable(value), most)


def in_script(document: Any) -> Markup:
    """JSON that may stand in a script element, whatever its texts are."""
    found = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escaped in _IN_SCRIPT.items():
        found = found.replace(character, escaped)
    return Markup(found)


def element(name: str, *inside: Markup, **attributes: object) -> Markup:
    """`<name attributes>inside</name>`; attribute values are escaped, an underscore in a name becomes a dash."""
    given = "".join(f' {key.strip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{given}>{''.join(inside)}</{name}>")


def table(caption: str, head: list[str], rows: list[list[Markup]], *, numbers: frozenset[int] = frozenset()) -> Markup:
    """A table in a region that scrolls by itself and can be reached with the keyboard.

    Args:
        caption: what is in it, for all readers.
        head: the titles of the columns.
        rows: cells. The first of a row is its title.
        numbers: the columns that are aligned to the right.
    """
    titles = [element("th", text(one), scope="col", _class="n" if at in numbers else "") for at, one in enumerate(head)]
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(element("td", cell, _class="n" if at + 1 in numbers else "") for at, cell in enumerate(row[1:])),
        )
        for row in rows
    ]
    made = element(
        "table",
        element("caption", text(caption)),
        element("thead", element("tr", *titles)),
        element("tbody", *body),
    )
    return element("div", made, _class="scroll", role="region", tabindex="0", aria_label=caption)


def details(summary: str, *inside: Markup) -> Markup:
    """Something that is shown when one asks for it."""
    return element("details", element("summary", text(summary)), *inside)


def _cut(value: str, most: int) -> str:
    return value if len(value) <= most else f"{value[: most - 3]}..."

"""Runs and errors in a cell: HTML in which all text of users is text."""

from __future__ import annotations

import re

from report_runs import EVIL

from scythe_cli.errors import ConfigError
from scythe_cli.notebook import html
from scythe_cli.operations.failure_groups import FailureGroup

TAGS = {"div", "code", "br", "progress", "span", "details", "summary", "pre", "table", "tbody", "tr", "th", "td"}
GROUP = FailureGroup("exception", EVIL, EVIL, 3, 7, EVIL, 1, {EVIL: EVIL}, EVIL, EVIL)


def tags(markup: str) -> set[str]:
    return set(re.findall(r"<([a-zA-Z!]+)", markup))


def test_texts_of_users_are_text_in_the_bar() -> None:
    found = html.bar(EVIL, 1, 2, EVIL, [EVIL], [GROUP] * 7)
    assert tags(found) <= TAGS
    assert "and 2 more kinds of failure" in found
    assert 'value="1" max="2"' in found


def test_a_bar_of_nothing_is_a_bar() -> None:
    assert 'value="0" max="1"' in html.bar("a/v1.0.0/x", 0, 0, "", [], [])


def test_pairs_are_a_table() -> None:
    assert tags(html.pairs({EVIL: EVIL})) == {"table", "tbody", "tr", "th", "td"}


def test_an_error_is_its_message_and_its_hint() -> None:
    error = ConfigError("<b>\x1bwrong</b>", hint="do this")
    assert error._render_traceback_() == ["ConfigError: <b>wrong</b>", "hint: do this"]
    assert error._repr_html_() == "ConfigError: &lt;b&gt;wrong&lt;/b&gt;<br>hint: do this"

"""Text in a page is text, whoever wrote it."""

from __future__ import annotations

import json

import pytest

from scythe_cli.report.markup import element, in_script, plot_text, table, text

EVIL = [
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "]]>",
    "' onload='alert(1)",
    '" onload="alert(1)',
    "\u2028alert(1)",
    "<img src=x onerror=alert(1)>",
    "&lt;b&gt;",
]


@pytest.mark.parametrize("value", EVIL)
def test_text_has_no_markup_left(value: str) -> None:
    found = text(value)
    assert not set("<>\"'") & set(found.replace("&#x27;", ""))


@pytest.mark.parametrize("value", EVIL)
def test_json_in_a_script_neither_ends_it_nor_opens_a_comment(value: str) -> None:
    document = {value: [value]}
    found = in_script(document)
    assert not set("<>&\u2028\u2029") & set(found)
    assert json.loads(found) == document


def test_numbers_that_json_lacks_are_an_error() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        in_script({"a": float("nan")})


@pytest.mark.parametrize("value", EVIL)
def test_attributes_are_escaped(value: str) -> None:
    assert element("p", title=value).count('"') == 2


def test_text_in_a_plot_is_no_tag_and_no_template() -> None:
    assert plot_text("<b>x</b> %{y}") == "&lt;b&gt;x&lt;/b&gt; % {y}"
    assert len(plot_text("x" * 500)) == 60


def test_secrets_and_escape_codes_do_not_reach_the_page() -> None:
    assert text("\x1b[31mred\x1b[0m https://user:pw@host/") == "red https://***@host/"


def test_a_table_can_be_reached_with_the_keyboard_and_has_a_name() -> None:
    found = table("A caption", ["a", "b"], [[text("1"), text("2")]], numbers=frozenset({1}))
    assert 'tabindex="0"' in found
    assert 'role="region"' in found
    assert "<caption>A caption</caption>" in found
    assert '<th scope="row">1</th>' in found
    assert '<th scope="col" class="n">b</th>' in found

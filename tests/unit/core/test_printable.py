"""Text of anybody's: what is left of it before it is printed."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scythe_cli.core.printable import Printable, mask_secrets, printable, printable_json


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("plain text, ünïcode, 日本", "plain text, ünïcode, 日本"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1$r0m\x1b\\dcs", "dcs"),
        ("\x1b[2J\x1b[1;1Hcleared", "cleared"),
        ("\x1b", ""),
        ("\x9b31mC1", "31mC1"),
        ("\x9d0;t\x9ctitle", "0;ttitle"),
        ("a\rb", "a b"),
        ("a\nnext: rm -rf ~", "a next: rm -rf ~"),
        ("a\x0bb\x0cc\x85d\u2028e\u2029f", "a b c d e f"),
        ("a\x08\x7f\x00b", "ab"),
        ("user\u202etxt.exe", "usertxt.exe"),
        ("a\tb", "a   b"),
    ],
)
def test_nothing_acts_on_the_terminal(text: str, left: str) -> None:
    assert printable(text) == left


def test_lines_stay_where_they_are_ours() -> None:
    assert printable("a\r\nb\x1b[1m\nc", lines=True) == "a\nb\nc"


def test_only_our_way_to_begin_a_line_begins_one() -> None:
    assert printable("a\rb\x0bc\u2028d", lines=True) == "a b c d"


@given(st.text())
def test_no_control_character_comes_through(text: str) -> None:
    left = printable(text)
    assert not [one for one in left if unicodedata.category(one) == "Cc"]


def test_the_type_says_so() -> None:
    assert type(printable(5)) is Printable


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://ada:lovelace@host/x", "https://***@host/x"),
        ("https://token@host/x", "https://***@host/x"),
        ("cannot read https://a:p@ss@host:81/x: 404", "cannot read https://***@host:81/x: 404"),
        ("postgres://ada:secret@db/x", "postgres://***@db/x"),
        ("https://h/x?X-Amz-Signature=abc&X-Amz-Date=1", "https://h/x?X-Amz-Signature=***&X-Amz-Date=1"),
        ("https://h/x?X-Amz-Credential=a%2Fb&id=7", "https://h/x?X-Amz-Credential=***&id=7"),
        ("https://h/x?sv=1&sig=a%3D&se=2", "https://h/x?sv=1&sig=***&se=2"),
        ("https://h/x?access_token=abc#y", "https://h/x?access_token=***#y"),
        ("'https://h/x?key=abc' and https://h/y?api_key=d", "'https://h/x?key=***' and https://h/y?api_key=***"),
        ("s3://bucket/a@b?x=1", "s3://bucket/a@b?x=1"),
        ("https://h/x?page=2", "https://h/x?page=2"),
        ("ada@example.org asks: key=5?", "ada@example.org asks: key=5?"),
    ],
)
def test_secrets_in_addresses_are_hidden(text: str, left: str) -> None:
    assert mask_secrets(text) == left
    assert printable(text) == left


def test_a_document_keeps_its_content() -> None:
    document = {"by": "a\x9b31m\u202e\x7f", "ü": "\x1b[31m"}
    text = printable_json(json.dumps(document, ensure_ascii=False))
    assert json.loads(text) == document
    assert not [one for one in text if one in "\x9b\u202e\x7f\x1b"]

"""Values of tables in documents that people and programs read."""

from __future__ import annotations

import json

from scythe_cli.core.printable import text_for_bytes


def test_bytes_become_text_wherever_they_are() -> None:
    value = {"a": b"\xff\xfeab", "b": [b"x", {"c": b"y"}], "d": 1.5, "e": None}
    assert json.loads(json.dumps(text_for_bytes(value))) == {
        "a": "\\xff\\xfeab",
        "b": ["x", {"c": "y"}],
        "d": 1.5,
        "e": None,
    }

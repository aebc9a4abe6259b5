"""Values of tables as people and documents can have them. Input: Python values. Output: the same, or text."""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> Any:
    """The value with text in place of bytes, which no JSON document holds."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, list):
        return [plain(one) for one in value]
    return {key: plain(one) for key, one in value.items()} if isinstance(value, dict) else value

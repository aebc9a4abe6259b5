"""Text that may be printed: without escape codes, without secrets.

Input: text that anybody may have written: a storage, a server, a queue, the user's function. Output: a `Printable`,
which cannot move the cursor, change colours or titles, start a line of its own, or show a password. Nothing else is
printed.
"""

from __future__ import annotations

import re
from typing import Any

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Also what reverses the direction of the text after it."""
_BREAK = re.compile(r"\r\n|[\r\n\v\f\x85\u2028\u2029]")
_OTHER_BREAK = re.compile(r"\r(?!\n)|[\v\f\x85\u2028\u2029]")
"""What begins a line somewhere, but is not how we write one."""
_IN_JSON = re.compile(r"[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_USER = re.compile(r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^\s/?#@'\"<>]*@)+")
_VALUE = re.compile(r"(?P<name>[?&][^\s=&#'\"<>]*=)(?P<value>[^\s&#'\"<>]+)")
_SECRET_NAME = re.compile(
    r"[?&](?:[^=]*(?:sign|secret|token|credential|password|passwd|policy|api_?key|access_?key|auth)[^=]*|sig|key|pwd|pw)=",
    re.IGNORECASE,
)
HIDDEN = "***"


class Printable(str):
    """Text that went through `printable`."""

    __slots__ = ()


def printable(text: object, *, lines: bool = False) -> Printable:
    """Anything as text that may be printed.

    Args:
        text: what may be anybody's.
        lines: keep its line breaks; otherwise it is one line, with a space for each of them.
    """
    plain = _ESCAPES.sub("", (_OTHER_BREAK if lines else _BREAK).sub(" ", str(text)))
    return Printable(mask_secrets(_CONTROL.sub("", plain).expandtabs(4)))


def printable_json(text: str) -> Printable:
    """A JSON document with the same content, in which no character acts on a terminal."""
    return Printable(_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def text_for_bytes(value: Any) -> Any:
    """A value of a table with text in place of bytes, which no JSON document holds; inside lists and dicts too."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, list):
        return [text_for_bytes(one) for one in value]
    return {key: text_for_bytes(one) for key, one in value.items()} if isinstance(value, dict) else value


def mask_secrets(text: str) -> str:
    """The same text; in its addresses, user and password and the values that sign them are hidden."""
    if "://" not in text:
        return text
    return _VALUE.sub(_mask_value, _USER.sub(rf"\g<scheme>{HIDDEN}@", text))


def _mask_value(found: re.Match[str]) -> str:
    return f"{found['name']}{HIDDEN}" if _SECRET_NAME.fullmatch(found["name"]) else found[0]

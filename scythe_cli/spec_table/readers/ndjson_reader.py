"""A file with one JSON object a line, as rows with their lines.

Input: a path. Output: dicts, some at a time, and the lines that are not objects.
"""

from __future__ import annotations

import json
import math
import re
from array import array
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

if TYPE_CHECKING:
    from collections.abc import Iterator

_ITS_LINE = re.compile(r"(?<= at )line 1 (?=column \d+$)")
"""The parser sees one line at a time; messages name the line of the file already."""
_NO_NUMBER = re.compile(rb"(?<![\w\"])(-?(?:NaN|Infinity))\b")
_LARGE = re.compile(rb"[eE]\+?\d{3}|\d{300}")
"""What may be a number beyond those of 64 bits."""
_KEY = re.compile(rb'"\s*:')
_BOM = b"\xef\xbb\xbf"


class JsonFile:
    """One ndjson file.

    Attributes:
        columns: the keys of all objects, in the order of their first use in the file, each with that line.
        empty: whether the file has nothing but blank lines.
        faults: once `rows` is read, the lines that are not objects, and why.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = array("q")
        self.faults: list[tuple[int, str]] = []
        self.columns: dict[str, int] = {}
        for row in self._read():
            for key in row:
                if key not in self.columns:
                    self.columns[key] = self._lines[-1]
        self.empty = not self._lines and not self.faults

    def rows(self, n: int) -> Iterator[list[dict[str, Any]]]:
        """The objects, `n` at a time."""
        some: list[dict[str, Any]] = []
        for row in self._read():
            some.append(row)
            if len(some) == n:
                yield some
                some = []
        if some:
            yield some

    def line(self, row: int) -> int:
        """The line of row number `row`, from 1."""
        return self._lines[row]

    def lacks(self, row: int, key: str) -> bool:
        """Whether a row does not have a key at all; reads the file once more."""
        with self._path.open("rb") as file:
            line = next(islice(file, self._lines[row] - 1, None))
        return key not in from_json(line.removeprefix(_BOM))

    def _read(self) -> Iterator[dict[str, Any]]:
        del self._lines[:], self.faults[:]
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                text = (line.removeprefix(_BOM) if number == 1 else line).rstrip()
                if not text.strip():
                    continue
                try:
                    row = from_json(text, allow_inf_nan=False)
                except ValueError as exc:
                    self.faults.append((number, _why(text, exc)))
                    continue
                if _LARGE.search(text) and _has_infinity(row):
                    self.faults.append((number, "has a number that is too large: one of 64 bits ends at 1.8e308"))
                elif isinstance(row, dict) and (twice := _doubled(text, row)):
                    self.faults.append((number, f"has the key {twice!r} twice"))
                elif isinstance(row, dict):
                    self._lines.append(number)
                    yield row
                else:
                    self.faults.append((number, "is not a JSON object: each line is one, {...}"))


def _why(text: bytes, exc: ValueError) -> str:
    if found := _NO_NUMBER.search(text):
        return f"has {found[1].decode()}, which is not JSON: write null for what is not known"
    return f"is not JSON: {_ITS_LINE.sub('', str(exc))}"


def _doubled(text: bytes, row: dict[str, Any]) -> str | None:
    """A key that an object of the line has twice: a reader would keep one of the values without a word."""
    if len(_KEY.findall(text)) == _keys(row):
        return None
    doubled: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        doubled.extend(name for name in names if names.count(name) > 1)

    json.loads(text, object_pairs_hook=look)
    return doubled[0] if doubled else None


def _has_infinity(value: Any) -> bool:
    """Whether a number was too large to be read."""
    if isinstance(value, dict | list):
        return any(map(_has_infinity, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and math.isinf(value)


def _keys(value: Any) -> int:
    """How many keys a value has, in all levels."""
    if isinstance(value, dict):
        return len(value) + sum(map(_keys, value.values()))
    return sum(map(_keys, value)) if isinstance(value, list) else 0

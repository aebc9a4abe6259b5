"""YAML that people write, read safely: plain data, and the line of every key.

Input: text. Output: a tree of dicts, lists and scalars, with the line of each key. Only mappings, sequences and
scalars are read: no tags, so nothing is constructed; no anchors, so a value is what is written there.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.representer import RoundTripRepresenter

from scythe_cli.errors import ConfigError

LARGE = 2_000
"""Values of a document that is written as JSON: the schema of a model with thousands of fields."""
LONG = 20_000
"""Characters of a text that is read as JSON if it is JSON: nobody typed it, so nobody needs the lines of its keys."""
Path = tuple[str, ...]
"""The keys from the top down to a value."""

_SCALARS = {f"tag:yaml.org,2002:{kind}" for kind in ["str", "int", "float", "bool", "null", "timestamp"]}


@dataclass
class Document:
    """One file's content.

    Attributes:
        data: plain dicts, lists and scalars.
        lines: the line of each key, counted from 1, by its path.
    """

    data: dict[str, Any]
    lines: dict[Path, int] = field(default_factory=dict)


def read(text: str, place: str) -> Document:
    """Read one mapping.

    Args:
        text: the file's content.
        place: the file as messages name it.

    Raises:
        ConfigError: the text is not one plain YAML mapping; the message has the line.
    """
    if len(text) > LONG and text.startswith("{") and (found := _as_json(text)) is not None:
        return Document(found)
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
    except MarkedYAMLError as exc:
        mark = exc.context_mark if _NEVER_CLOSED in str(exc.problem) else exc.problem_mark
        if mark is not None and (misplaced := _misplaced(text, mark.line)) is not None:
            raise ConfigError(f"{place}:{misplaced[0] + 1}  {misplaced[1]}") from exc
        line = "" if mark is None else f":{mark.line + 1}"
        raise ConfigError(f"{place}{line}  is not YAML: {_problem(exc)}") from exc
    except (YAMLError, RecursionError) as exc:
        problem = "nested too deeply" if isinstance(exc, RecursionError) else str(exc).splitlines()[0]
        raise ConfigError(f"{place}  is not YAML: {problem}") from exc
    if node is None:
        raise ConfigError(f"{place}  is empty: it must name at least the experiment and its specs")
    if isinstance(node, SequenceNode) and any(isinstance(item, MappingNode) for item in node.value):
        where = f"{place}:{node.start_mark.line + 1}"
        raise ConfigError(f"{where}  is a list: leave the dashes out, and write lines of `key: value`")
    if not isinstance(node, MappingNode):
        raise ConfigError(f"{place}:{node.start_mark.line + 1}  must be a mapping, lines of `key: value`")
    document = Document({})
    document.data = _Reader(yaml, place, document.lines).mapping(node, ())
    return document


def _as_json(text: str) -> dict[str, Any] | None:
    """A mapping that is JSON, in a hundredth of the time; None for anything else, and where a key is there twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError
        return found

    try:
        found: dict[str, Any] = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        return None
    return found


def scalar(text: str) -> object:
    """The value of `text` as if it were after `key:`, always a scalar; text that is nothing else is text."""
    yaml = YAML(typ="safe", pure=True)
    if text[:1] in {"'", '"'}:
        try:
            node = yaml.compose(text)
        except YAMLError:
            return text
        return node.value if isinstance(node, ScalarNode) else text
    tag = str(yaml.resolver.resolve(ScalarNode, text, (True, False)))
    return _value(yaml, ScalarNode(tag=tag, value=text)) if tag in _SCALARS else text


def write(data: dict[str, Any]) -> str:
    """The text of plain data, keys in their order, that `read` reads back."""
    if _size(data) > LARGE:  # JSON is YAML too, and is written a hundred times as fast
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.width = 1 << 20
    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


def _size(data: object) -> int:
    """How many values there are, in all levels."""
    inside = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return 1 + sum(map(_size, inside))


class _Representer(RoundTripRepresenter):
    """Writes `key: null` where ruamel would leave the value out."""

    def represent_null(self, data: None) -> ScalarNode:  # noqa: ARG002 - the signature is ruamel's
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_null)


@dataclass
class _Reader:
    yaml: YAML
    place: str
    lines: dict[Path, int]

    def mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                raise self.error(key_node, "a key must be a word")
            key = str(key_node.value)
            below = (*path, key)
            if key in found:
                raise self.error(key_node, f"{'.'.join(below)} is given twice, first in line {self.lines[below]}")
            self.lines[below] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, below)
        return found

    def value(self, node: Node, path: Path) -> object:
        if node.anchor is not None:
            raise self.error(node, f"&{node.anchor}: anchors and aliases are not read here; write the value out")
        if isinstance(node, MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self.mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.value(item, path) for item in node.value]
        if isinstance(node, ScalarNode) and node.tag in _SCALARS:
            return _value(self.yaml, node)
        raise self.error(node, f"the tag {_short(node.tag)} is not read here; write a plain value")

    def error(self, node: Node, problem: str) -> ConfigError:
        return ConfigError(f"{self.place}:{node.start_mark.line + 1}  {problem}")


def _value(yaml: YAML, node: ScalarNode) -> object:
    try:
        return yaml.constructor.construct_object(node)
    except ValueError:  # 2026-13-45 looks like a date and is none
        return node.value


def _short(tag: object) -> str:
    return str(tag).replace("tag:yaml.org,2002:", "!!")


def _misplaced(text: str, at: int) -> tuple[int, str] | None:
    """The line of a key that begins in the wrong column, or has no blank after its colon, and what to do about it."""
    lines = text.splitlines()
    written = [number for number, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
    for number in [number for number in written if number <= at][-2:]:
        if found := _NO_BLANK.match(lines[number]):
            return number, f"has no blank after the colon: write `{found[1]}: {found[2]}`"
    first = written[0] if written else at
    for number in {first, at} & set(written):
        found = _INDENTED.match(lines[number])
        above = [lines[other] for other in written if other < number]
        if found and (not above or not (above[-1].startswith((" ", "\t")) or above[-1].rstrip().endswith(":"))):
            return number, f"begins with a blank: `{found[1]}:` must begin in the first column, as the other keys do"
    return None


_INDENTED = re.compile(r"\s+([A-Za-z_][\w.]*):(?:\s|$)")
_NO_BLANK = re.compile(r"\s*([A-Za-z_]\w*):(?![\s/\\])(\S.*)$")
_NEVER_CLOSED = "unexpected end of stream"
_PLAINER = {
    _NEVER_CLOSED: "a quote that is opened here is never closed",
    r"'\t'": "a tab in the indentation; use spaces",
    "another document": "a second document begins here; one file holds one experiment",
    "<block end>": "the indentation does not fit the lines above",
    "cannot start any token": "a value that starts with this character must be in quotes",
    "mapping values are not allowed": "a colon inside a value; put the value in quotes",
    "undefined alias": "anchors and aliases are not read here; write the value out, or put it in quotes",
}


def _problem(exc: MarkedYAMLError) -> str:
    for part, plain in _PLAINER.items():
        if part in str(exc.problem):
            return plain
    return f"{exc.problem} {exc.context or ''}".strip()

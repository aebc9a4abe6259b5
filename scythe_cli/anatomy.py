"""What pydantic will do with a model's fields, read from the schema that its own validator is built of.

Takes a model; leaves, for each field, the core schema, and whether code of the user's runs while a row is validated.
What is not known here to be plain counts as the user's code, so that a doubt costs time and never a wrong value.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices, AliasPath
from pydantic_core import SchemaValidator

from scythe_cli.specs import user_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

Core = dict[str, Any]
"""A node of a core schema: its keys are those of `pydantic_core.core_schema`."""

_TRUSTED = ("pydantic", "pydantic_core", "pathlib", "ipaddress", "uuid", "scythe_cli.specs")
_PLAIN = frozenset({"int", "float", "str", "bool", "date", "literal"})
_CHANGES_TWICE = frozenset({"json", "call", "callable", "generator", "custom-error"})
_NO_CHILD = frozenset({"metadata", "serialization", "default", "expected", "members", "cls", "config"})


@dataclass(frozen=True)
class Part:
    """One user field of a model.

    Attributes:
        name: the field's name.
        key: what a row calls it: the name, or its alias.
        core: the core schema without its default and its `None`.
        nullable: whether `None` is a value of its own.
        validator: pydantic's validator of this field alone.
        info: pydantic's record of it: default, description.
    """

    name: str
    key: str
    core: Core
    nullable: bool
    validator: SchemaValidator
    info: FieldInfo


@dataclass(frozen=True)
class Anatomy:
    """A model, taken apart.

    Attributes:
        parts: the user's fields, in the model's order.
        hooked: code of the user's (or a type that changes its value when validated twice) runs for each row.
        config: the part of the model's config that pydantic's core reads.
    """

    parts: tuple[Part, ...]
    hooked: bool
    config: Mapping[str, Any]


@lru_cache(maxsize=64)
def anatomy(model: type[BaseModel]) -> Anatomy:
    """Take a model apart."""
    model.model_rebuild()
    top: Any = model.__pydantic_core_schema__
    definitions: list[Core] = top.get("definitions", [])
    root = _resolve(top, definitions)
    config: Mapping[str, Any] = root.get("config", {})
    fields = _fields(root)
    names = user_fields(model)
    hooked = fields is None or any(_is_code(node) for name in names for node in _walk(fields[name], definitions))
    parts = tuple(_part(model, name, (fields or {}).get(name), config, definitions) for name in names)
    return Anatomy(parts, hooked or _is_code(root) or "extras_schema" in root["schema"], config)


def is_plain(model: type[BaseModel]) -> bool:
    """Whether instances may be made by hand from validated columns.

    So it is when every user field is int, float, str, bool, date, Literal or Optional of these, and no validator,
    private attribute, `model_post_init` or constructor of the user's would be left out.
    """
    body = anatomy(model)
    return (
        not body.hooked
        and body.config.get("extra_fields_behavior") != "allow"
        and model.__new__ is object.__new__
        and all(_is_plain(part.core) for part in body.parts)
    )


def accepts(core: Core) -> Iterator[str]:
    """The kinds of the schemas that one value may meet first: the members of unions, the inside of wrappers."""
    if core["type"] in {"union", "tagged-union"}:
        choices = core["choices"].values() if isinstance(core["choices"], dict) else core["choices"]
        for choice in choices:
            yield from accepts(choice[0] if isinstance(choice, tuple) else choice)
    elif core["type"] == "lax-or-strict":
        yield from accepts(core["lax_schema"])
    elif core["type"] in {"nullable", "default"} or core["type"].startswith("function-"):
        yield from accepts(core.get("schema", {"type": "any"}))
    else:
        yield core["type"]


def _is_plain(core: Core) -> bool:
    if core["type"] == "literal":
        kinds = {type(value) for value in core["expected"]}
        return len(kinds) == 1 and kinds <= {str, int, bool}
    return core["type"] in _PLAIN


def _part(
    model: type[BaseModel], name: str, found: Core | None, config: Mapping[str, Any], definitions: list[Core]
) -> Part:
    core: Core = found or {"type": "any"}
    whole = {"type": "definitions", "schema": core, "definitions": definitions} if definitions else core
    validator = SchemaValidator(whole, config)  # type: ignore[arg-type]  # both come from pydantic's own schema
    inner, nullable = core, False
    while inner["type"] in {"default", "nullable", "definition-ref"}:
        nullable = nullable or inner["type"] == "nullable"
        inner = _resolve(inner, definitions) if inner["type"] == "definition-ref" else inner["schema"]
    info = model.model_fields[name]
    return Part(name, _key(name, info), inner, nullable or inner["type"] in {"any", "none"}, validator, info)


def _key(name: str, info: FieldInfo) -> str:
    alias = info.validation_alias
    if isinstance(alias, AliasChoices):
        alias = next((choice for choice in alias.choices if isinstance(choice, str)), name)
    return name if alias is None or isinstance(alias, AliasPath) else alias


def _fields(root: Core) -> dict[str, Core] | None:
    """The schemas of the fields, when nothing stands between them and the model."""
    if root["type"] != "model" or root["schema"]["type"] != "model-fields":
        return None
    return {name: field["schema"] for name, field in root["schema"]["fields"].items()}


def _resolve(node: Core, definitions: list[Core]) -> Core:
    if node["type"] == "definitions":
        return _resolve(node["schema"], definitions)
    if node["type"] == "definition-ref":
        return next(found for found in definitions if found.get("ref") == node["schema_ref"])
    return node


def _is_code(node: Core) -> bool:
    """Whether a schema node runs code of the user's, or gives another value the second time."""
    if node["type"].startswith("function-"):
        function = node["function"]["function"]
        return not str(getattr(function, "__module__", None)).startswith(_TRUSTED) or "Encoded" in str(function)
    return bool(
        node["type"] in _CHANGES_TWICE
        or node.get("post_init")
        or node.get("custom_init")
        or node.get("default_factory_takes_data")
        or node.get("validate_default")
    )


def _walk(core: Core, definitions: list[Core], seen: frozenset[str] = frozenset()) -> Iterator[Core]:
    """Every node of a schema, each definition once."""
    if core["type"] == "definition-ref":
        if core["schema_ref"] in seen:
            return
        seen |= {core["schema_ref"]}
        core = _resolve(core, definitions)
    yield core
    for key, value in core.items():
        if key not in _NO_CHILD:
            for child in _children(value):
                yield from _walk(child, definitions, seen)


def _children(value: Any) -> Iterator[Core]:
    if isinstance(value, dict):
        if isinstance(value.get("type"), str) and value["type"] not in {"no-info", "with-info"}:
            yield value
        else:
            for inner in value.values():
                yield from _children(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _children(inner)

"""What pydantic will do with a model's fields, read from the schema that its own validator is built of.

Takes a model; leaves, for each field, the core schema, and whether code of the user's runs while a row is validated.
What is not known here to be plain counts as the user's code, so that a doubt costs time and never a wrong value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from pydantic import AliasChoices, AliasPath
from pydantic_core import SchemaValidator

from scythe_cli.core import layout
from scythe_cli.experiment.field_kinds import user_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo
    from pydantic_core.core_schema import CoreConfig

Core = dict[str, Any]
"""A node of a core schema: its keys are those of `pydantic_core.core_schema`."""

_TRUSTED = frozenset(
    {"pydantic", "pathlib", "ipaddress", "uuid", "scythe_cli.experiment.file_reference", "scythe_cli.experiment.models"}
)
_PLAIN = frozenset({"int", "float", "str", "bool", "date", "literal"})
_CHANGES_TWICE = frozenset({"any", "json", "call", "callable", "generator", "custom-error"})
_STRUCTURED = frozenset(
    {"list", "set", "frozenset", "tuple", "dict", "model", "dataclass", "typed-dict", "definition-ref", "generator"}
)
_SAME_IN_JSON = frozenset({"str", "int", "float", "bool", "none", "literal", "list", "dict", "model", "definition-ref"})
_TEXT = frozenset({"str", "bytes", "any"})
_NO_CHILD = frozenset({"metadata", "serialization", "default", "expected", "members", "cls", "config"})


@dataclass(frozen=True)
class Part:
    """One user field of a model.

    Attributes:
        name: the field's name.
        key: what a row calls it: the name, or its alias.
        core: the core schema without its default, its `None` and validators of the user's.
        nullable: whether `None` is a value of its own.
        required: whether there is no default.
        takes_text: whether any text is a value of its own, as it is.
        takes_json: whether text stands for a list, a mapping or a model.
        choices: the values of a Literal or an Enum.
        validator: pydantic's validator of this field alone, without those of the user's.
        info: pydantic's record of it: default, description.
    """

    name: str
    key: str
    core: Core
    nullable: bool
    required: bool
    takes_text: bool
    takes_json: bool
    choices: tuple[Any, ...]
    validator: SchemaValidator
    info: FieldInfo


@dataclass(frozen=True)
class Anatomy:
    """A model, taken apart.

    Attributes:
        parts: the user's fields, in the model's order.
        sort_index: scythe's own field; in a table that has it, each row must.
        hooked: each row must go through pydantic as a whole: code of the user's runs for it, or a type that changes
            its value when validated twice, or the model takes fields it does not name.
        config: the part of the model's config that pydantic's core reads.
    """

    parts: tuple[Part, ...]
    sort_index: Part | None
    hooked: bool
    config: Mapping[str, Any]


@lru_cache(maxsize=64)
def anatomy(model: type[BaseModel]) -> Anatomy:
    """Take a model apart."""
    model.model_rebuild()
    top: Any = model.__pydantic_core_schema__
    definitions: list[Core] = top.get("definitions", [])
    root = _resolve(top, definitions)
    config: Mapping[str, Any] = _model(root).get("config", {})
    fields = _fields(root)
    names = user_fields(model)
    hooked = (
        root["type"] != "model"
        or root["schema"]["type"] != "model-fields"
        or config.get("extra_fields_behavior") == "allow"
        or _is_code(root)
        or any(_is_code(node) for name in names for node in _walk(fields[name], definitions))
    )
    parts = {name: _part(model, name, fields[name], config, definitions) for name in model.model_fields}
    own = parts.get(layout.SORT_INDEX)
    return Anatomy(tuple(parts[name] for name in names), own and replace(own, required=True), hooked, config)


def is_plain(model: type[BaseModel]) -> bool:
    """Whether instances may be made by hand from validated columns.

    So it is when every user field is int, float, str, bool, date, Literal or Optional of these, and no validator,
    private attribute, `model_post_init` or constructor of the user's would be left out.
    """
    body = anatomy(model)
    return not body.hooked and model.__new__ is object.__new__ and all(_is_plain(part.core) for part in body.parts)


def _accepts(core: Core) -> Iterator[str]:
    """The kinds of value that a field may take: the members of unions, the inside of wrappers."""
    kind = core["type"]
    if kind in {"union", "tagged-union"}:
        choices = core["choices"].values() if isinstance(core["choices"], dict) else core["choices"]
        for choice in choices:
            yield from _accepts(choice[0] if isinstance(choice, tuple) else choice)
    elif kind.startswith("function-"):  # pydantic's own make something else of text: a path, a url
        ours = _is_code(core)
        yield from (inner if ours or inner != "str" else kind for inner in _accepts(core.get("schema", {"type": kind})))
    elif inside := next((core[key] for key in ("lax_schema", "json_schema", "schema") if key in core), None):
        yield from [kind] if kind in _STRUCTURED else _accepts(inside)
    else:
        yield kind


def _is_plain(core: Core) -> bool:
    if core["type"] == "literal":
        kinds = {type(value) for value in core["expected"]}
        return len(kinds) == 1 and kinds <= {str, int, bool}
    return core["type"] in _PLAIN


def _part(model: type[BaseModel], name: str, inner: Core, config: Mapping[str, Any], definitions: list[Core]) -> Part:
    nullable = False
    while inner["type"] in {"default", "nullable", "definition-ref"} or _is_function(inner):
        nullable = nullable or inner["type"] == "nullable"
        known = _resolve(inner, definitions)
        inner = inner.get("schema", {"type": "any"}) if known is inner else known
    core = {"type": "nullable", "schema": inner} if nullable else inner
    whole: Any = {"type": "definitions", "schema": core, "definitions": definitions} if definitions else core
    validator = SchemaValidator(whole, cast("CoreConfig", config))
    info = model.model_fields[name]
    kinds = set(_accepts(inner))
    choices = _choices(inner)
    return Part(
        name=name,
        key=_key(name, info),
        core=inner,
        nullable=nullable or inner["type"] in {"any", "none"},
        required=info.is_required(),
        takes_text=bool(kinds & _TEXT) or "" in choices,
        takes_json=bool(kinds & _STRUCTURED) and not kinds & _TEXT,
        choices=choices,
        validator=validator,
        info=info,
    )


def _choices(core: Core) -> tuple[Any, ...]:
    if core["type"] == "enum":
        return tuple(member.value for member in core["members"])
    return tuple(core["expected"]) if core["type"] == "literal" else ()


def _key(name: str, info: FieldInfo) -> str:
    alias = info.validation_alias
    if isinstance(alias, AliasChoices):
        alias = next((choice for choice in alias.choices if isinstance(choice, str)), name)
    return name if alias is None or isinstance(alias, AliasPath) else alias


def _fields(root: Core) -> dict[str, Core]:
    """The schemas of the fields, whatever validators stand around the model."""
    inside = _model(root)["schema"]
    while inside["type"] != "model-fields":
        inside = inside["schema"]
    return {name: field["schema"] for name, field in inside["fields"].items()}


def _model(root: Core) -> Core:
    while root["type"] != "model":
        root = root["schema"]
    return root


def _resolve(node: Core, definitions: list[Core]) -> Core:
    if node["type"] == "definitions":
        return _resolve(node["schema"], definitions)
    if node["type"] == "definition-ref":
        return next(found for found in definitions if found.get("ref") == node["schema_ref"])
    return node


def _is_code(node: Core) -> bool:
    """Whether a schema node runs code of the user's, or gives another value the second time."""
    return bool(
        _is_function(node)
        or node["type"] in _CHANGES_TWICE
        or (node["type"] == "union" and _takes_text_for_another(node))
        or node.get("post_init")
        or node.get("custom_init")
        or node.get("default_factory_takes_data")
        or node.get("validate_default")
    )


def _is_function(node: Core) -> bool:
    """Whether a node calls a function that is not known to leave a value as it is the second time."""
    if not node["type"].startswith("function-"):
        return False
    function = node["function"]["function"]
    module = str(getattr(function, "__module__", None))
    return not (module in _TRUSTED or module.startswith("pydantic.")) or "Encoded" in str(function)


def _takes_text_for_another(union: Core) -> bool:
    """Whether text that stands for a date or a path would be taken for mere text the second time."""
    kinds = {choice["type"] for choice in union["choices"] if isinstance(choice, dict)}
    return "str" in kinds and not kinds <= _SAME_IN_JSON


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

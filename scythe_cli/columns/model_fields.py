"""What pydantic will do with a model's fields, read from the core schema of its own validator.

Input: a model. Output: for each field its core schema, and whether the user's code runs while a row is validated.
A validator that is not known here counts as the user's code: a doubt costs time and never gives a wrong value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Flag
from functools import lru_cache, partial
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

SchemaNode = dict[str, Any]
"""A node of a core schema: its keys are those of `pydantic_core.core_schema`."""

_TRUSTED = frozenset(
    {
        *("pydantic", "pathlib", "ipaddress", "uuid"),
        *(f"scythe_cli.experiment.{name}" for name in ("file_reference", "library_types", "models")),
    }
)
_PLAIN = frozenset({"int", "float", "str", "bool", "date", "literal"})
_CHANGES_TWICE = frozenset({"any", "json", "call", "callable", "generator", "custom-error"})
_STRUCTURED = frozenset(
    {"list", "set", "frozenset", "tuple", "dict", "model", "dataclass", "typed-dict", "definition-ref", "generator"}
)
_SAME_IN_JSON = frozenset({"str", "int", "float", "bool", "none", "literal", "list", "dict", "model", "definition-ref"})
_TEXT = frozenset({"str", "bytes", "any"})
_REPEATABLE = frozenset(
    {
        *(
            "int",
            "float",
            "bool",
            "str",
            "bytes",
            "date",
            "datetime",
            "time",
            "timedelta",
            "decimal",
            "complex",
            "uuid",
        ),
        *("url", "multi-host-url", "none", "nullable", "default", "list", "set", "frozenset", "tuple", "dict", "enum"),
        *("model", "model-fields", "model-field", "definition-ref", "definitions"),
    }
)
_NUMBERS = frozenset({"int", "float"})
_NO_CHILD = frozenset({"metadata", "serialization", "default", "expected", "members", "cls", "config"})


@dataclass(frozen=True)
class FieldSchema:
    """One user field of a model.

    Attributes:
        name: the field's name.
        key: what a row calls it: the name, or its alias.
        core: the core schema without its default, its `None` and validators of the user's.
        nullable: whether `None` is a value of its own.
        required: whether there is no default.
        takes_text: whether any text is a value of its own, as it is.
        takes_json: whether text is read as JSON of a list, a mapping or a model.
        reads_text: whether the user's code reads a cell before its type does: it splits a text, looks up a name.
        choices: the values of a Literal or an Enum.
        has_number_choices: whether each of the choices is a number.
        is_flag: whether it is a Flag, whose members can be combined.
        is_number: whether text can only mean a number.
        takes_both_numbers: whether it is `int | float`, where the text of a whole number means the whole number.
        is_exotic: whether a value could be another one after it was written to a column and validated again.
        validator: pydantic's validator of this field alone, without the user's.
        info: pydantic's record of it: default, description.
    """

    name: str
    key: str
    core: SchemaNode
    nullable: bool
    required: bool
    takes_text: bool
    takes_json: bool
    reads_text: bool
    choices: tuple[Any, ...]
    has_number_choices: bool
    is_flag: bool
    is_number: bool
    takes_both_numbers: bool
    is_exotic: bool
    validator: SchemaValidator
    info: FieldInfo


@dataclass(frozen=True)
class ModelFields:
    """What pydantic will do with the fields of a model.

    Attributes:
        fields: the user's fields, in the model's order.
        sort_index: scythe's own field; in a table that has it, each row must.
        has_custom_validation: pydantic must validate each row as a whole, since the user's code runs for it, or a type
            changes its value when validated twice, or the model takes fields that it does not name.
        reads_rows: whether the user's code is given a row before the fields are: it may make a field of other columns.
        config: the part of the model's config that pydantic's core reads.
    """

    fields: tuple[FieldSchema, ...]
    sort_index: FieldSchema | None
    has_custom_validation: bool
    reads_rows: bool
    config: Mapping[str, Any]


@lru_cache(maxsize=64)
def read_fields(model: type[BaseModel]) -> ModelFields:
    """Read the core schema of a model."""
    model.model_rebuild()
    top: Any = model.__pydantic_core_schema__
    definitions: list[SchemaNode] = top.get("definitions", [])
    root = _resolve(top, definitions)
    config: Mapping[str, Any] = _model(root).get("config", {})
    nodes = _nodes_by_field(root)
    names = user_fields(model)
    has_custom_validation = (
        root["type"] != "model"
        or root["schema"]["type"] != "model-fields"
        or config.get("extra_fields_behavior") == "allow"
        or _is_code(root)
        or any(_is_code(node) for name in names for node in _walk(nodes[name], definitions))
    )
    wrapped = any(_reads_first(node) for node in _around_fields(root))
    fields = {
        name: _field(model, name, nodes[name], config, definitions, wrapped=wrapped) for name in model.model_fields
    }
    own = fields.get(layout.SORT_INDEX)
    return ModelFields(
        tuple(fields[name] for name in names),
        own and replace(own, required=True),
        has_custom_validation,
        wrapped,
        config,
    )


def is_plain(model: type[BaseModel]) -> bool:
    """Whether instances may be made by hand from validated columns.

    So it is when every user field is int, float, str, bool, date, Literal or Optional of these, and no validator,
    private attribute, `model_post_init` or constructor of the user's would be left out.
    """
    known = read_fields(model)
    plain_types = all(_is_plain(field.core) for field in known.fields)
    return plain_types and not known.has_custom_validation and model.__new__ is object.__new__


def _accepts(core: SchemaNode) -> Iterator[str]:
    """The kinds of value that a field may take: the members of unions, the inside of wrappers."""
    kind = core["type"]
    if kind in {"union", "tagged-union"}:
        choices = core["choices"].values() if isinstance(core["choices"], dict) else core["choices"]
        for choice in choices:
            yield from _accepts(choice[0] if isinstance(choice, tuple) else choice)
    elif kind.startswith("function-"):  # pydantic's own make something else of text: a path, a url
        users = _is_code(core)
        inside = _accepts(core["schema"]) if "schema" in core else [kind]
        yield from (inner if users or inner != "str" else kind for inner in inside)
    elif found := next((core[key] for key in ("lax_schema", "json_schema", "schema") if key in core), None):
        yield from [kind] if kind in _STRUCTURED else _accepts(found)
    else:
        yield kind


def _is_plain(core: SchemaNode) -> bool:
    if core["type"] == "literal":
        kinds = {type(value) for value in core["expected"]}
        return len(kinds) == 1 and kinds <= {str, int, bool}
    return core["type"] in _PLAIN


def _field(
    model: type[BaseModel],
    name: str,
    inner: SchemaNode,
    config: Mapping[str, Any],
    definitions: list[SchemaNode],
    *,
    wrapped: bool,
) -> FieldSchema:
    nullable = False
    reads_text = wrapped
    while inner["type"] in {"default", "nullable", "definition-ref"} or _is_function(inner):
        nullable = nullable or inner["type"] == "nullable"
        reads_text = reads_text or _reads_first(inner)
        known = _resolve(inner, definitions)
        inner = inner.get("schema", {"type": "any"}) if known is inner else known
    core = {"type": "nullable", "schema": inner} if nullable else inner
    whole: Any = {"type": "definitions", "schema": core, "definitions": definitions} if definitions else core
    validator = SchemaValidator(whole, cast("CoreConfig", config))
    info = model.model_fields[name]
    kinds = set(_accepts(inner))
    choices = _choices(inner)
    return FieldSchema(
        name=name,
        key=_key(name, info),
        core=inner,
        nullable=nullable or inner["type"] in {"any", "none"},
        required=info.is_required(),
        takes_text=bool(kinds & _TEXT) or "" in choices,
        takes_json=bool(kinds & _STRUCTURED) and not kinds & _TEXT,
        reads_text=reads_text,
        choices=choices,
        has_number_choices=bool(choices) and {int, float} >= {*map(type, choices)},
        is_flag=inner["type"] == "enum" and issubclass(inner["cls"], Flag),
        is_number=bool(kinds & {*_NUMBERS, "decimal"}) and not kinds & (_TEXT | _STRUCTURED),
        takes_both_numbers=kinds == _NUMBERS,
        is_exotic=any(node["type"] not in _REPEATABLE for node in _walk(inner, definitions)),
        validator=validator,
        info=info,
    )


def _choices(core: SchemaNode) -> tuple[Any, ...]:
    if core["type"] == "enum":
        return tuple(member.value for member in core["members"])
    return tuple(core["expected"]) if core["type"] == "literal" else ()


def _key(name: str, info: FieldInfo) -> str:
    alias = info.validation_alias
    if isinstance(alias, AliasChoices):
        alias = next((choice for choice in alias.choices if isinstance(choice, str)), name)
    return name if alias is None or isinstance(alias, AliasPath) else alias


def _nodes_by_field(root: SchemaNode) -> dict[str, SchemaNode]:
    """The schemas of the fields, also when validators wrap the model."""
    *_, inside = _around_fields(root)
    return {name: field["schema"] for name, field in inside["fields"].items()}


def _around_fields(root: SchemaNode) -> Iterator[SchemaNode]:
    """The node of a model's fields, and before it those that wrap it."""
    yield root
    while root["type"] != "model-fields":
        root = root["schema"]
        yield root


def _reads_first(node: SchemaNode) -> bool:
    """Whether the user's code is given a value before the type reads it."""
    return _is_function(node) and not node["type"].startswith("function-after")


def _model(root: SchemaNode) -> SchemaNode:
    while root["type"] != "model":
        root = root["schema"]
    return root


def _resolve(node: SchemaNode, definitions: list[SchemaNode]) -> SchemaNode:
    if node["type"] == "definitions":
        return _resolve(node["schema"], definitions)
    if node["type"] == "definition-ref":
        return next(found for found in definitions if found.get("ref") == node["schema_ref"])
    return node


def _is_code(node: SchemaNode) -> bool:
    """Whether a schema node runs code of the user's, or gives another value the second time."""
    return bool(
        _is_function(node)
        or node["type"] in _CHANGES_TWICE
        or (node["type"] == "union" and (_takes_text_for_another(node) or set(_accepts(node)) >= _NUMBERS))
        or node.get("post_init")
        or node.get("custom_init")
        or node.get("default_factory_takes_data")
        or node.get("validate_default")
    )


def _is_function(node: SchemaNode) -> bool:
    """Whether a node calls a function that may change a value the second time."""
    if not node["type"].startswith("function-"):
        return False
    function = node["function"]["function"]
    function = function.func if isinstance(function, partial) else function
    module = str(getattr(function, "__module__", None))
    return not (module in _TRUSTED or module.startswith("pydantic.")) or "Encoded" in str(function)


def _takes_text_for_another(union: SchemaNode) -> bool:
    """Whether text that means a date or a path would be taken as plain text the second time."""
    kinds = {choice["type"] for choice in union["choices"] if isinstance(choice, dict)}
    return "str" in kinds and not kinds <= _SAME_IN_JSON


def _walk(core: SchemaNode, definitions: list[SchemaNode], seen: frozenset[str] = frozenset()) -> Iterator[SchemaNode]:
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


def _children(value: Any) -> Iterator[SchemaNode]:
    if isinstance(value, dict):
        if isinstance(value.get("type"), str) and value["type"] not in {"no-info", "with-info"}:
            yield value
        else:
            for inner in value.values():
                yield from _children(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _children(inner)

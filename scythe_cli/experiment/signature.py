"""What an experiment's function takes and returns, read from its annotations and checked.

Input: a function, or an input model with a `run` method. Output: a `Signature`, or one `EntryPointError` that gives the
place, what is wrong, and what is expected, in code.
"""

from __future__ import annotations

import inspect
import typing
from collections import abc
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel
from pydantic.errors import PydanticUndefinedAnnotation

from scythe_cli.core import layout
from scythe_cli.errors import EntryPointError
from scythe_cli.experiment import hatchet_workflow
from scythe_cli.experiment.field_kinds import DATAFRAMES, file_fields, is_nested, nested_file_field, user_fields
from scythe_cli.experiment.field_types import annotated, is_path, is_table_dict, unsupported
from scythe_cli.experiment.models import ExperimentInputSpec, ExperimentOutputSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Model = TypeVar("Model", bound=BaseModel)

_TEMPDIR = "tempdir"
_INDEX = frozenset({*layout.INDEX_HEAD, layout.SORT_SUBINDEX})
_EXPECTED = (
    "expected `def {name}(input_spec: MyInput, tempdir: Path) -> MyOutput:` (tempdir may be left out), with "
    "`class MyInput(ExperimentInputSpec)` and `class MyOutput(ExperimentOutputSpec)`"
)
_EXPECTED_MANY = (
    "with Register(batch=...) expected `def {name}(specs: list[MyInput], tempdir: Path) -> list[MyOutput]:` (tempdir "
    "may be left out), or with tables `def {name}(table: Annotated[pl.DataFrame, MyInput]) -> Annotated[pl.DataFrame, "
    "MyOutput]:`, also of pa.Table and pd.DataFrame"
)
_EXPECTED_RUN = "expected `def run(self, tempdir: Path) -> MyOutput:` (tempdir may be left out)"


class Form(StrEnum):
    """What a function of many specs takes them as."""

    LIST = "list"
    POLARS = "polars"
    PYARROW = "pyarrow"
    PANDAS = "pandas"


_TABLES = {
    ("polars", "DataFrame"): Form.POLARS,
    ("pyarrow", "Table"): Form.PYARROW,
    ("pandas", "DataFrame"): Form.PANDAS,
}
"""By the package and the name of its class, the form of a table."""


@dataclass(frozen=True)
class Signature:
    """What to call and with what.

    Attributes:
        function: takes (input_spec), or (input_spec, tempdir) when `takes_tempdir`.
        form: what it takes many specs as; None where it takes one.
    """

    function: Callable[..., Any]
    input_model: type[ExperimentInputSpec]
    output_model: type[ExperimentOutputSpec]
    takes_tempdir: bool
    form: Form | None = None


@dataclass(frozen=True)
class _Subject:
    """The function under examination, as messages speak of it."""

    function: Any
    name: str
    place: str
    hint: str | None
    model: type[ExperimentInputSpec] | None

    def error(self, text: str, *, hint: str | None = None) -> EntryPointError:
        return EntryPointError(f"{self.place}  {self.name} {text}", hint=hint)


def read_signature(value: object, name: str, file: Path, *, many: bool = False) -> Signature:
    """Check that a function (or an input model) is an experiment.

    Args:
        value: what the module has under `name`.
        file: the module's file.
        many: it is registered as a function of many specs.

    Raises:
        EntryPointError: it is not.
    """
    if hatchet_workflow.is_workflow(value):
        return _workflow(value, name, file)
    subject = _subject(value, name, file, many=many)
    if inspect.iscoroutinefunction(subject.function) or inspect.isasyncgenfunction(subject.function):
        raise subject.error("is async: its process runs one spec at a time; write `def`", hint=subject.hint)
    if inspect.isgeneratorfunction(subject.function):
        raise subject.error("yields: an experiment returns one output; write `return`", hint=subject.hint)
    names = _parameters(subject)
    types = _annotations(subject)
    if names[1:] and _bare(types.get(_TEMPDIR)) is not Path:
        raise subject.error("must annotate its second parameter `tempdir: Path`", hint=subject.hint)
    if many:
        return _signature_of_many(subject, names, types)
    if subject.model:
        types[names[0]] = subject.model
    input_model = _model(subject, types, names[0], ExperimentInputSpec)
    output_model = _model(subject, types, "return", ExperimentOutputSpec)
    _check_fields(subject, input_model, output_model)
    return Signature(subject.function, input_model, output_model, bool(names[1:]))


def _signature_of_many(subject: _Subject, names: list[str], types: dict[str, Any]) -> Signature:
    """The signature of a function of many specs: the models are inside a list, or beside a table."""
    taken = _many(subject, types, names[0])
    returned = _many(subject, types, "return")
    if (taken[0] is Form.LIST) != (returned[0] is Form.LIST):
        raise subject.error("takes a list or a table, and returns the other", hint=subject.hint)
    inside = {names[0]: taken[1], "return": returned[1]}
    input_model = _model(subject, inside, names[0], ExperimentInputSpec)
    output_model = _model(subject, inside, "return", ExperimentOutputSpec)
    _check_fields(subject, input_model, output_model)
    for model in (input_model, output_model) if taken[0] is not Form.LIST else ():
        if files := file_fields(model):
            raise subject.error(
                f"takes a table, and {files[0]!r} of {model.__name__} is a file, which a table does not carry",
                hint=f"take list[{input_model.__name__}] and return list[{output_model.__name__}]",
            )
    return Signature(subject.function, input_model, output_model, bool(names[1:]), taken[0])


def _many(subject: _Subject, types: Mapping[str, Any], key: str) -> tuple[Form, Any]:
    """The form that an annotation names, and the model in it."""
    what = "return value" if key == "return" else f"parameter {key}"
    if key not in types:
        raise subject.error(f"has no annotation for its {what}", hint=subject.hint)
    origin, args = typing.get_origin(types[key]), typing.get_args(types[key])
    if origin in (list, abc.Sequence) and len(args) == 1:
        return Form.LIST, args[0]
    kind = args[0] if origin is typing.Annotated else types[key]
    form = _TABLES.get((str(getattr(kind, "__module__", "")).partition(".")[0], getattr(kind, "__name__", "")))
    if form is None:
        shown = getattr(kind, "__name__", str(kind))
        raise subject.error(f"is registered with batch=, and has a {what} of {shown}", hint=subject.hint)
    models = [arg for arg in args[1:] if isinstance(arg, type) and issubclass(arg, BaseModel)]
    if len(models) != 1:
        model = "MyOutput" if key == "return" else "MyInput"
        shown = f"{'pl' if form is Form.POLARS else 'pa' if form is Form.PYARROW else 'pd'}.{kind.__name__}"
        raise subject.error(f"does not say which model its {what} has: write Annotated[{shown}, {model}]")
    return form, models[0]


def _subject(value: object, name: str, file: Path, *, many: bool) -> _Subject:
    if many:
        hint = _EXPECTED_MANY.format(name=name)
        if isinstance(value, type):
            raise EntryPointError(f"{file.name}  {name} is registered with batch= and is a class", hint=hint)
    else:
        hint = _EXPECTED.format(name=name)
    if isinstance(value, FunctionType):
        line = inspect.unwrap(value).__code__.co_firstlineno
        return _Subject(value, name, f"{file.name}:{line}", hint, None)
    if not isinstance(value, type) or not issubclass(value, ExperimentInputSpec):
        kind = "a class that is not an ExperimentInputSpec" if isinstance(value, type) else type(value).__name__
        raise EntryPointError(f"{file.name}  {name} must be a function; it is {kind}", hint=hint)
    run = getattr(value, "run", None)
    if not isinstance(run, FunctionType):
        raise EntryPointError(f"{file.name}  the input model {name} has no method `run`", hint=_EXPECTED_RUN)
    line = inspect.unwrap(run).__code__.co_firstlineno
    return _Subject(run, f"{name}.run", f"{file.name}:{line}", _EXPECTED_RUN, value)


def _workflow(value: Any, name: str, file: Path) -> Signature:
    subject = _Subject(None, name, file.name, None, None)
    input_model, outputs = hatchet_workflow.input_model(value), hatchet_workflow.output_models(value)
    if input_model is None:
        raise subject.error(f"must take a model derived from {ExperimentInputSpec.__name__}: input_validator=MyInput")
    if len(outputs) != 1:
        found = ", ".join(outputs) or "none"
        raise subject.error(f"must have one task that returns an {ExperimentOutputSpec.__name__}; it has {found}")
    [(task, output_model)] = outputs.items()
    _check_fields(subject, input_model, output_model)
    return Signature(
        hatchet_workflow.WorkflowCall(value, task, output_model), input_model, output_model, takes_tempdir=False
    )


def _parameters(subject: _Subject) -> list[str]:
    parameters = list(inspect.signature(subject.function).parameters.values())
    names = [parameter.name for parameter in parameters]
    usual = all(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)
    if not usual or len(names) not in {1, 2} or names[1:] not in ([], [_TEMPDIR]):
        empty = inspect.Parameter.empty
        shown = ", ".join(str(parameter.replace(annotation=empty, default=empty)) for parameter in parameters)
        first = "self" if subject.model else "input_spec"
        raise subject.error(f"takes ({shown}); it may take ({first}) or ({first}, tempdir: Path)", hint=subject.hint)
    return names


def _annotations(subject: _Subject) -> dict[str, Any]:
    try:
        return typing.get_type_hints(subject.function, include_extras=True)
    except (NameError, AttributeError, SyntaxError, TypeError) as exc:
        advice = "import the name at the top of the module, not under `if TYPE_CHECKING:`"
        raise subject.error(f"has an annotation that cannot be resolved: {exc}", hint=advice) from exc


def _model(subject: _Subject, types: Mapping[str, Any], key: str, base: type[Model]) -> type[Model]:
    what = "return value" if key == "return" else f"parameter {key}"
    if key not in types:
        raise subject.error(f"has no annotation for its {what}", hint=subject.hint)
    found = _bare(types[key])
    if not isinstance(found, type) or not issubclass(found, base):
        shown = found.__name__ if isinstance(found, type) else str(found)
        many = "; a function of many specs needs Register(batch=...)" if typing.get_origin(found) is list else ""
        wrong = f"has a {what} of {shown}, which is not a subclass of {base.__name__}{many}"
        raise subject.error(wrong, hint=subject.hint)
    try:
        found.model_rebuild()
    except PydanticUndefinedAnnotation as exc:
        raise subject.error(f"uses the model {found.__name__}, in which {exc.name!r} is not defined") from exc
    return found


def _bare(annotation: Any) -> Any:
    """A type without what `Annotated` says of it."""
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation


def _check_fields(subject: _Subject, input_model: type[BaseModel], output_model: type[BaseModel]) -> None:
    if not is_table_dict(annotated(output_model.model_fields[DATAFRAMES])):
        where = f"uses a field {DATAFRAMES!r} of {output_model.__name__}"
        raise subject.error(f"{where}, which is not a dict of tables by name: rename it, or write `dict[str, Any]`")
    fields = [name for name in output_model.model_fields if name != DATAFRAMES]
    for name in [*fields, *output_model.model_computed_fields]:
        if name in _INDEX:
            raise subject.error(f"returns a field {name!r}, which is the name of an index column: rename it")
        if name in input_model.model_fields:
            raise subject.error(f"returns a field {name!r}, which {input_model.__name__} has as an input: rename it")
    for name in {layout.SORT_SUBINDEX, DATAFRAMES} & set(input_model.model_fields):
        raise subject.error(f"takes a field {name!r}, which scythe uses itself: rename it")
    broken = [
        f"uses a field {name!r} of {model.__name__}, which {rule}"
        for model in (input_model, output_model)
        for name in (*user_fields(model), *model.model_computed_fields)
        if (rule := _broken_rule(model, name))
    ]
    if broken:
        raise EntryPointError("\n".join(f"{subject.place}  {subject.name} {text}" for text in broken))


def _broken_rule(model: type[BaseModel], name: str) -> str | None:
    """What is wrong with a field or a computed field, if anything."""
    output = DATAFRAMES in model.model_fields
    if name in model.model_computed_fields:
        return _broken_computed_rule(model.model_computed_fields[name].return_type) if output else None
    if not name.isidentifier():
        return "is not a Python name: rename it"
    annotation = annotated(model.model_fields[name])
    if name in file_fields(model):
        return _broken_file_rule(name, annotation)
    allowed = () if output else (ExperimentInputSpec,)  # of a spec inside a spec, remote files: allocate looks at them
    if inside := nested_file_field(model.model_fields[name].annotation, allowed=allowed):
        return f"holds a file inside, {inside}, which would not be found there: give it a field of {model.__name__}"
    return unsupported(annotation, output=output)


def _broken_computed_rule(returned: Any) -> str | None:
    if is_path(returned):
        return "computes a file: give the file a field, and write it in the function"
    return unsupported(returned, output=True)


def _broken_file_rule(name: str, annotation: Any) -> str | None:
    if is_nested(annotation):
        return "holds several files: give each file a field of its own"
    if not layout.is_safe_name(name):
        return "names a folder and may hold only A-Z, a-z, 0-9 and _: rename it"
    return None

"""Holds an output against its model: values that its columns take as they are, or a failure that says what is wrong.

Input: what the user's function returned. Output: the same, or its scalars as plain values, or a `Failure`. Code of the
user's (validators, a value's own `__str__`) runs here alone, in `normalize`, while the spec's clock runs.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from functools import cached_property
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from scythe_cli.columns.checks import check_bounds
from scythe_cli.columns.column_values import ColumnError, as_cell, exact_types, to_column
from scythe_cli.columns.model_fields import read_fields
from scythe_cli.core.validation_errors import NOT_A_FIELD, Problem, model_errors
from scythe_cli.errors import did_you_mean
from scythe_cli.experiment.field_kinds import DATAFRAMES
from scythe_cli.experiment.plain_values import input_name
from scythe_cli.run.outcomes import MESSAGE_LIMIT, Failure, FailureKind, cut, describe_exception, scalar_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from pydantic import BaseModel

    from scythe_cli.columns.model_fields import FieldSchema

_NAME = re.compile(r"\w+")
_BOUNDED = frozenset({"int", "float", "bool", "str", "date", "datetime", "literal", "enum"})
"""Types whose own rules decide, whatever else the model does with a value."""


class OutputValues:
    """What an output held when its spec ended: the next spec may change the output and return it again."""

    __slots__ = ("__dict__",)

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__ = values


class PlainScalars(OutputValues):
    """The scalars of an output as its columns take them: no code of the user's runs for them any more."""

    __slots__ = ()


class InvalidOutput(ValueError):
    """A part of an output that cannot be taken over.

    Attributes:
        part: a field, or `dataframes['name']`.
    """

    def __init__(self, part: str, message: str) -> None:
        super().__init__(message)
        self.part = part


class OutputModel:
    """One output model, and the columns of its scalars.

    Args:
        model: the output model.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model
        self.name = model.__name__
        self.scalars = scalar_schema(model)
        self._names = [f.name for f in self.scalars]
        self._computed = list(model.model_computed_fields)
        self._exact = {f.name: exact_types(f) for f in self.scalars}
        self._types_seen: set[tuple[type, ...]] = set()
        self._taken = (*self._names, DATAFRAMES)
        self._values_of = itemgetter(*self._taken)
        self._runs_no_code = bool(self._names) and not self._computed
        self._runs_no_code &= model.__getattribute__ is object.__getattribute__

    def take(self, output: Any) -> tuple[Any, ...] | None:
        """The scalars of an output that columns take as they are, and its frames, of which it has none.

        None for an output that `normalize` has to look at. No code of the user's runs to find that out. Nearly all
        outputs are taken here, in a third of the time of `normalize`.
        """
        if type(output) is not self.model or not self._runs_no_code or self._has_custom_validation:
            return None
        try:
            values: tuple[Any, ...] = self._values_of(output.__dict__)
        except KeyError:  # made without validation
            return None
        return values if tuple(map(type, values)) in self._types_seen and not values[-1] else None

    @cached_property
    def _has_custom_validation(self) -> bool:
        return bool(self._exact) and read_fields(self.model).has_custom_validation

    @cached_property
    def _fields(self) -> list[FieldSchema]:
        names = {f.name for f in self.scalars}
        return [field for field in read_fields(self.model).fields if field.name in names]

    def normalize(self, output: Any) -> Any:
        """The output, or its `PlainScalars`, for which no code of the user's runs later; or a `Failure`.

        An output that was made past its model's own checks is found here where that needs the user's code, and
        otherwise in `needs_validation`, which looks at whole columns.
        """
        if self._computed:
            return self._normalize_computed(output)
        values = output.__dict__
        types = tuple([type(values.get(name)) for name in self._names])
        exact = (*types, dict) in self._types_seen or self._is_exact(types)
        if exact and not self._has_custom_validation:
            return output
        try:
            plain = output if exact else self._plain(values)
            if self.is_surely_valid(plain.__dict__):
                return plain
        except BaseException:  # noqa: BLE001 - values may be of any class; the model says what is wrong with them
            return self.validate(output)
        return self.validate(output)

    def _normalize_computed(self, output: Any) -> PlainScalars | Failure:
        """The output's scalars, with those that the model computes from them."""
        try:
            plain = self._plain(self._with_computed(output))
            if self.is_surely_valid(plain.__dict__):
                return plain
        except InvalidOutput as exc:
            return self.refusal(exc)
        except BaseException:  # noqa: BLE001 - values may be of any class; the model says what is wrong with them
            return self.validate(output)
        return self.validate(output)

    def _with_computed(self, output: Any) -> dict[str, Any]:
        values = dict(output.__dict__)
        for name in self._computed:
            try:
                values[name] = getattr(output, name)
            except BaseException as exc:
                kind, message = describe_exception(exc)
                raise InvalidOutput(name, f"the computed field {name} raises {kind}: {message}") from exc
        return values

    def _is_exact(self, types: tuple[type, ...]) -> bool:
        """Whether columns take values of these types as they are; which is remembered."""
        if any(given not in self._exact[name] for name, given in zip(self._names, types, strict=True)):
            return False
        self._types_seen.add((*types, dict))
        return True

    def _plain(self, values: dict[str, Any]) -> PlainScalars:
        cells = {}
        for f in self.scalars:
            cells[f.name] = as_cell(values.get(f.name), f)
            to_column([cells[f.name]], f)
        return PlainScalars(cells)

    def is_surely_valid(self, values: dict[str, Any]) -> bool:
        """Whether the fields' own types allow the values. The user's validators ran already, and may not run twice."""
        for field in self._fields:
            value = values.get(field.name)
            if value is None:
                if not field.nullable and field.info.default is not None:
                    return False
            elif field.core["type"] in _BOUNDED:
                if not _allows(field, value):
                    return False
            elif not self._has_custom_validation:
                return False
        return True

    def validate(self, output: Any) -> PlainScalars | Failure:
        """Ask the model itself about an output."""
        try:
            held = self._held(output)  # also what functools.cached_property keeps there
            given = {input_name(self.model, name): held[name] for name in self.model.model_fields if name in held}
            valid = self.model.model_validate({**given, input_name(self.model, DATAFRAMES): {}})
            values = self._with_computed(valid)
            for f in self.scalars:
                _require_fit(f, values[f.name])
            return self._plain(values)
        except BaseException as exc:  # noqa: BLE001 - the model's validators are the user's code
            return self.refusal(exc)

    def columns(self, outputs: Sequence[Any]) -> list[pa.Array[Any]]:
        """The scalar columns of outputs that were taken or normalized; null where an output is None."""
        rows = [one if type(one) is tuple else self._row(one) for one in outputs]
        columns: Any = [*zip(*rows, strict=False)] or repeat(())
        return [to_column(column, f) for column, f in zip(columns, self.scalars, strict=False)]  # without the frames

    def _row(self, output: Any) -> tuple[Any, ...]:
        values = {} if output is None else output.__dict__
        return tuple([values.get(name) for name in self._names])

    def _held(self, output: Any) -> dict[str, Any]:
        """The values by name of an output, or of what was taken of it."""
        return dict(zip(self._taken, output, strict=True)) if type(output) is tuple else output.__dict__

    def needs_validation(self, outputs: Sequence[Any], columns: list[pa.Array[Any]]) -> list[int]:
        """The places of normalized outputs that only the model can say more about."""
        if not columns:
            return []
        import pyarrow as pa

        table = pa.table(columns, names=[f.name for f in self.scalars])
        known = (type(None), PlainScalars)
        if self._has_custom_validation:
            return []  # they were looked at when they were normalized
        return [at for at in check_bounds(table, self.model) if not isinstance(outputs[at], known)]

    def place(self, part: str) -> str:
        """The part of an output that a failure is about: "Out.heat"."""
        return f"{self.name}.{part}"

    def problems(self, exc: ValidationError) -> list[Problem]:
        """What is wrong with an output, field by field; where a field is not there, the nearest one that is."""
        of = f"{NOT_A_FIELD} of {self.name}."
        return [
            replace(one, rule=f"{of}{did_you_mean(one.field, self.model.model_fields)}")
            if one.rule == NOT_A_FIELD
            else one
            for one in model_errors(exc)
        ]

    def refusal(self, exc: BaseException) -> Failure:
        """What was raised about an output, as its failure."""
        if type(exc) is InvalidOutput:
            return invalid(str(exc), self.place(exc.part))
        if issubclass(type(exc), ValidationError):
            with contextlib.suppress(Exception):  # pydantic shows the user's values, which may not want that
                problems = self.problems(cast("ValidationError", exc))
                name = _NAME.match(problems[0].field)
                known = name is not None and name[0] in self.model.model_fields
                place = self.place(name[0]) if name and known else self.name
                return invalid("; ".join(map(str, problems)), place)
        kind, message = describe_exception(exc)
        return invalid(f"{kind}: {message}", f"{self.name}, {kind}")


def _allows(field: FieldSchema, value: Any) -> bool:
    """Whether pydantic takes a value of one field as it is."""
    try:
        taken = field.validator.validate_python(value)
    except ValidationError:
        return False
    return bool(field.core["type"] == "enum" or taken == value or taken != taken)  # noqa: PLR0124 - NaN


def _require_fit(f: pa.Field[Any], value: Any) -> None:
    try:
        to_column([value], f)
    except ColumnError as exc:
        raise InvalidOutput(f.name, str(Problem(f.name, value, str(exc)))) from exc


def invalid(message: str, place: str) -> Failure:
    """The failure of an output that is not what its model says; its place is the part of the output concerned."""
    return Failure(
        FailureKind.INVALID_OUTPUT, "InvalidOutput", cut(message, MESSAGE_LIMIT), "", cut(place, MESSAGE_LIMIT)
    )

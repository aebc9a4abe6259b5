"""The models a user's experiment takes and gives.

Takes what a user writes (fields with types, bounds, descriptions) and leaves pydantic models that know which of their
fields are files and which columns their rows are indexed by.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    HttpUrl,
    ValidationError,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from scythe_cli.core import layout
from scythe_cli.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails


class S3Url(str):
    """An object's address, `s3://bucket/key`, kept letter by letter: a key may hold spaces and any script."""

    __slots__ = ()
    _pattern: ClassVar[str] = r"^s3://[^/\s]+/.+$"

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self[5:].partition("/")[0]

    @property
    def key(self) -> str:
        """Everything behind the bucket, without the leading slash."""
        return self[5:].partition("/")[2]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls,
            core_schema.str_schema(pattern=cls._pattern),
            serialization=core_schema.to_string_ser_schema(),
            metadata={
                "pydantic_js_functions": [lambda _schema, _handler: {"type": "string", "format": "uri", "minLength": 1}]
            },
        )


ADDRESS_RULE = "a local path, s3:// or https://"
"""What a file's address may be."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def has_foreign_scheme(address: str) -> bool:
    """Whether an address is neither a path nor anywhere that can be read: `gs://`, `ftp://`, `file://`."""
    found = _SCHEME.match(address)
    return found is not None and found[1] != "s3" and found[1].lower() not in {"http", "https"}


class FileMark:
    """Marks a field's annotation as a file."""


def _named(path: Path) -> Path:
    if path == Path():
        raise ValueError("the address of a file is empty")
    return path


def _readable(value: Any) -> Any:
    if isinstance(value, str) and has_foreign_scheme(value):
        raise ValueError(f"must be {ADDRESS_RULE}")
    return value


if TYPE_CHECKING:
    FileReference = Path
else:
    FileReference = Annotated[
        S3Url | HttpUrl | Annotated[Path, AfterValidator(_named)],
        Field(union_mode="left_to_right"),
        BeforeValidator(_readable),
        FileMark(),
    ]
"""A file. In a table: a local path, an `s3://` or an `https://` address. When the function runs: a local `Path`."""


class ExperimentInputSpec(BaseModel):
    """The typed input of one case. Subclass it and add your fields.

    A field that is not in the model is an error, unless the model's config says `extra="allow"`.

    Attributes:
        experiment_id: the run this spec belongs to, `name/version/time`; set at allocate.
        sort_index: the spec's place in the table, from 0, unique; the row number unless given.
        workflow_run_id: the spec's own UUID, the same on every attempt; set at allocate.
        root_workflow_run_id: the run's UUID; set at allocate.
    """

    model_config = ConfigDict(extra="forbid")

    experiment_id: str = Field(default="", description="The run of the spec: name/version/time.")
    sort_index: int = Field(default=0, ge=0, description="The place of the spec in its table, from 0.")
    workflow_run_id: str | None = Field(default=None, description="The UUID of the spec, the same on every attempt.")
    root_workflow_run_id: str | None = Field(default=None, description="The UUID of the run.")

    if not TYPE_CHECKING:

        def __init__(self, **data: Any) -> None:
            __tracebackhide__ = True
            try:
                super().__init__(**data)
            except ValidationError as exc:
                if not any(map(_is_unknown, exc.errors(include_url=False))):
                    raise
                raise _with_nearest(exc, type(self)) from None

        __init__.__pydantic_base_init__ = True  # adds nothing that validation without it would lack

    @property
    def computed_features(self) -> dict[str, Any]:
        """More index columns, computed from the fields; override it. Values: text, numbers, booleans, dates or None."""
        return {}

    def index_data(self) -> dict[str, Any]:
        """The spec's values of the index columns, in their order: ids, fields that can be index levels, features."""
        values: dict[str, Any] = {name: getattr(self, name) for name in index_columns(type(self))}
        return values | self.computed_features

    def make_multiindex(
        self,
        n_rows: int = 1,
        *,
        additional_index_data: dict[str, Any] | list[dict[str, Any]] | None = None,
        include_sort_subindex: bool = True,
    ) -> pd.MultiIndex:
        """The pandas index of `n_rows` rows that belong to this spec, for frames you index yourself.

        Args:
            n_rows: rows of the frame.
            additional_index_data: more levels: values that all rows share, or a dict for each row. In the final table
                they are columns.
            include_sort_subindex: add `sort_subindex`, 0 to `n_rows` - 1, as the last level.

        Returns:
            A MultiIndex of shape (n_rows, levels).

        Raises:
            ValueError: the additional data has another number of rows, or a level's name is taken.
        """
        import pandas as pd

        own = {name: plain(value) for name, value in self.index_data().items()}
        more = additional_index_data or {}
        rows = [more] * n_rows if isinstance(more, dict) else more
        if len(rows) != n_rows:
            raise ValueError(f"additional_index_data has {len(rows)} rows, not {n_rows}")
        if taken := sorted({name for row in rows for name in row if name in own}):
            raise ValueError(f"additional_index_data has {taken[0]!r}, which is an index level already")
        frame = pd.DataFrame([own | row for row in rows], columns=None if n_rows else list(own))
        if include_sort_subindex:
            frame[layout.SORT_SUBINDEX] = range(n_rows)
        return pd.MultiIndex.from_frame(frame)

    def log(self, message: object) -> None:
        """Write a line to the spec's log, which a failed spec's row in `errors.pq` carries."""
        print(message, file=sys.stderr, flush=True)

    def fetch_uri(self, uri: str | S3Url | Path) -> Path:
        """Get anything else by its address: a local path, `s3://` or `https://`, through the machine's cache.

        Returns:
            The local path; do not change the file.

        Raises:
            InputFileError: it does not exist or cannot be read.
            StoreError: its server is away, fails or refuses.
        """
        from scythe_cli.storage.references import fetch

        return fetch(str(uri))


class ExperimentOutputSpec(BaseModel):
    """The typed output of one case. Subclass it and add your fields.

    Attributes:
        dataframes: tables of this case by name; each becomes one final table over all cases, indexed by the specs.
            Anything with the Arrow C stream: pandas, polars, pyarrow.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    dataframes: dict[str, Any] = Field(
        default_factory=dict, exclude=True, repr=False, description="Tables of this case."
    )


def _with_nearest(exc: ValidationError, model: type[BaseModel]) -> ValidationError:
    """The same error, in which each argument that is no field names the nearest one."""
    names = [info.alias or name for name, info in model.model_fields.items()]
    lines: list[InitErrorDetails] = []
    for error in exc.errors(include_url=False):
        line = InitErrorDetails(type=error["type"], loc=error["loc"], input=error["input"], ctx=error.get("ctx", {}))
        if _is_unknown(error):
            name = str(error["loc"][0])
            message = f"{name} is not a field of {model.__name__}.{did_you_mean(name, names)}"
            line["type"] = PydanticCustomError("extra_forbidden", "{message}", {"message": message})
        elif error["type"] not in _PYDANTIC:
            line["type"] = PydanticCustomError(error["type"], "{message}", {"message": error["msg"]})
        lines.append(line)
    hidden = bool(model.model_config.get("hide_input_in_errors"))
    return ValidationError.from_exception_data(exc.title, lines, hide_input=hidden)


def _is_unknown(error: ErrorDetails) -> bool:
    """Whether an error is about an argument that is no field of the model itself."""
    return error["type"] == "extra_forbidden" and len(error["loc"]) == 1


_PYDANTIC = frozenset(get_args(core_schema.ErrorType))
"""The kinds of pydantic's own errors; others are those of the user's validators."""

_KEPT = (bool, int, float, dt.date, dt.time, dt.timedelta)

SPEC_FIELDS = frozenset(ExperimentInputSpec.model_fields)
"""The fields that scythe sets."""


def is_file(field: FieldInfo) -> bool:
    """Whether a field is a `FileReference`, also inside `Optional`."""
    return any(isinstance(mark, FileMark) for mark in field.metadata) or _holds_mark(field.annotation)


def file_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """The names of a model's file fields, in its order."""
    return tuple(name for name, field in model.model_fields.items() if is_file(field))


def user_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """The names of the fields the user wrote, in the model's order."""
    return tuple(name for name in model.model_fields if name not in SPEC_FIELDS and name != "dataframes")


def scalar_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """An output model's fields that are columns of `scalars.pq`: the user's, but for the files."""
    files = set(file_fields(model))
    return tuple(name for name in user_fields(model) if name not in files)


def index_columns(model: type[BaseModel]) -> tuple[str, ...]:
    """The index columns that an input model's fields give: the four ids, then every field that can be an index level.

    Lists, sets, dicts and models cannot; they stay in `specs.pq` alone. Computed features come behind these.
    """
    return layout.INDEX_HEAD + tuple(
        name for name in user_fields(model) if not is_nested(model.model_fields[name].annotation)
    )


def is_nested(annotation: Any) -> bool:
    """Whether values of a type hold several values: lists, dicts, models. Such a field is no index level."""
    origin = get_origin(annotation)
    if origin is Annotated or (origin is not None and not isinstance(origin, type)):
        return any(is_nested(arg) for arg in get_args(annotation))
    kind = origin or annotation
    if isinstance(kind, type):
        if issubclass(kind, BaseModel | list | dict | set | frozenset | tuple):
            return True
        return any(is_nested(arg) for arg in get_args(annotation)) if origin else False
    return annotation is Any


def hidden_file(annotation: Any, above: frozenset[type] = frozenset()) -> str | None:
    """Where a model, dataclass or typed dict inside a field's type has a file, "Layer.drawing"; None where none has."""
    for part in _parts(annotation):
        if isinstance(part, type) and part not in above:
            for name, (is_marked, inner) in _inner_fields(part).items():
                if is_marked:
                    return f"{part.__name__}.{name}"
                if found := hidden_file(inner, above | {part}):
                    return found
        elif part is not annotation and (found := hidden_file(part, above)):
            return found
    return None


def _inner_fields(kind: type) -> dict[str, tuple[bool, Any]]:
    """The fields of a structured type: whether each is a file, and its type."""
    if issubclass(kind, BaseModel):
        return {name: (is_file(info), info.annotation) for name, info in kind.model_fields.items()}
    if not any(hasattr(kind, mark) for mark in ("__dataclass_fields__", "__total__", "_fields")):
        return {}
    try:
        hints = get_type_hints(kind, include_extras=True)
    except (NameError, AttributeError, TypeError):  # names that pydantic found where the class was defined
        return {}
    return {name: (_holds_mark(inner), inner) for name, inner in hints.items()}


def _holds_mark(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        _, *marks = get_args(annotation)
        return any(isinstance(mark, FileMark) for mark in marks)
    return any(part is not annotation and _holds_mark(part) for part in _parts(annotation))


def _parts(annotation: Any) -> Iterator[Any]:
    """A type, and what stands in its brackets or behind its alias."""
    yield annotation
    yield from get_args(annotation)
    for alias in ("__value__", "__supertype__"):  # type X = ..., NewType
        if hasattr(annotation, alias):
            yield getattr(annotation, alias)
    if origin := get_origin(annotation):
        yield origin


def plain(value: Any) -> Any:
    """An index column's value as tables hold it: numbers, booleans, dates and times as they are, all else as text."""
    if isinstance(value, Enum):
        return plain(value.value)
    return value if value is None or isinstance(value, _KEPT) else str(value)

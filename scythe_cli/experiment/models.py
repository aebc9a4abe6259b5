"""The models of a user's experiment: what its function takes and returns.

Input: the user's fields with types, bounds, descriptions. Output: pydantic models, and the index of a spec's rows.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from scythe_cli.core import layout
from scythe_cli.core.clock import Clock
from scythe_cli.core.extras import load_extra
from scythe_cli.core.spec_random import spec_generator
from scythe_cli.errors import did_you_mean
from scythe_cli.experiment.field_kinds import file_fields, index_columns, index_value, user_fields
from scythe_cli.experiment.library_types import accept_scalars
from scythe_cli.session import imported
from scythe_cli.storage.current_run import CURRENT_GENERATION
from scythe_cli.storage.storage_settings import ScytheStorageSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from pydantic_core import ErrorDetails


ComputedFeatureValue = int | float | str
"""What scythe-engine allows as a computed feature; here also booleans, dates and None."""


class ExperimentInputSpec(BaseModel):
    """The typed input of one case. Subclass it and add your fields.

    A field that is not in the model is an error, unless the model's config says `extra="allow"`.

    Attributes:
        experiment_id: the run this spec belongs to, `name/version/time`; set at allocate.
        sort_index: the spec's place in the table, from 0, unique; the row number unless given.
        workflow_run_id: the spec's own UUID, the same on every attempt; set at allocate.
        root_workflow_run_id: the run's UUID; set at allocate.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    # each has its own name as alias, which an alias generator of a user's leaves alone
    experiment_id: str = Field(default="", alias="experiment_id", description="The run of the spec: name/version/time.")
    sort_index: int = Field(
        default=0, ge=0, alias="sort_index", description="The place of the spec in its table, from 0."
    )
    workflow_run_id: str | None = Field(
        default=None, alias="workflow_run_id", description="The UUID of the spec, the same on every attempt."
    )
    root_workflow_run_id: str | None = Field(
        default=None, alias="root_workflow_run_id", description="The UUID of the run."
    )

    if not TYPE_CHECKING:

        def __init__(self, **data: Any) -> None:
            __tracebackhide__ = True
            try:
                super().__init__(**data)
            except ValidationError as exc:
                if not any(map(_is_unknown, exc.errors(include_url=False))):
                    raise
                raise _with_suggestions(exc, type(self)) from None

        __init__.__pydantic_base_init__ = True  # adds nothing that validation without it would lack

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        imported.remember(cls.__module__)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return accept_scalars(handler(source), handler.resolve_ref_schema)

    @property
    def computed_features(self) -> dict[str, Any]:
        """More index columns, computed from the fields; override it. Use text, numbers, booleans, dates, None."""
        return {}

    def index_data(self) -> dict[str, Any]:
        """The spec's values of the index columns, in their order: ids, fields that can be index levels, features."""
        values: dict[str, Any] = {name: getattr(self, name) for name in index_columns(type(self))}
        return values | self.computed_features

    @property
    def storage_settings(self) -> ScytheStorageSettings | None:
        """The bucket of the run that the spec belongs to; None for a run in a folder, and outside of a run."""
        root = _storage_of(self)
        return None if root is None else ScytheStorageSettings.of_storage(root)

    @property
    def prefix(self) -> str:
        """Where the run is: the key in the bucket, or the folder's path, without a slash at the end.

        Raises:
            ValueError: the spec does not belong to a run that is at work.
        """
        root = _storage_of(self)
        if root is None:
            raise ValueError(f"{type(self).__name__}.prefix is known only while a run runs the spec")
        settings = ScytheStorageSettings.of_storage(root)
        above = root if settings is None else settings.BUCKET_PREFIX
        return f"{above}/{self.experiment_id}".lstrip("/" if settings else "")

    def make_multiindex(
        self,
        additional_index_data: dict[str, Any] | list[dict[str, Any]] | int | None = None,
        n_rows: int = 1,
        include_sort_subindex: bool = True,
        additional_excludes: frozenset[str] | set[str] = frozenset(),
    ) -> pd.MultiIndex:
        """The pandas index of `n_rows` rows that belong to this spec, for frames you index yourself.

        Args:
            additional_index_data: more levels: values that all rows share, or a dict for each row. They are levels of
                the final table too. A number here is `n_rows`.
            n_rows: rows of the frame.
            include_sort_subindex: add `sort_subindex`, 0 to `n_rows` - 1, as the last level.
            additional_excludes: names of levels to leave out.

        Returns:
            A MultiIndex of shape (n_rows, levels).

        Raises:
            ValueError: the additional data has another number of rows, or a level's name is taken.
        """
        pandas = load_extra("pandas", extra="pandas", purpose="make_multiindex()")
        if isinstance(additional_index_data, int):
            n_rows, additional_index_data = additional_index_data, {}
        own = {name: index_value(value) for name, value in self.index_data().items()}
        more = additional_index_data or {}
        rows = [more] * n_rows if isinstance(more, dict) else more
        if len(rows) != n_rows:
            raise ValueError(f"additional_index_data has {len(rows)} rows, not {n_rows}")
        if taken := sorted({name for row in rows for name in row if name in own}):
            raise ValueError(f"additional_index_data has {taken[0]!r}, which is an index level already")
        own = {name: value for name, value in own.items() if name not in additional_excludes}
        frame = pandas.DataFrame([own | row for row in rows], columns=None if n_rows else list(own))
        if include_sort_subindex:
            frame[layout.SORT_SUBINDEX] = range(n_rows)
        made: pd.MultiIndex = pandas.MultiIndex.from_frame(frame)
        return made

    def rng(self) -> np.random.Generator:
        """A generator of random numbers of this spec's own.

        Its numbers depend on `run.seed`, the spec's inputs and its place among equal rows: they are the same on any
        number of workers, on every engine, and in each attempt. Each call begins them again, so call it once.
        """
        model = type(self)
        inputs = {name: self.__dict__.get(name) for name in user_fields(model)} | (self.model_extra or {})
        return spec_generator(inputs, file_fields(model), self.sort_index)

    def log(self, message: object) -> None:
        """Write a line to the spec's log, which a failed spec's row in `errors.pq` carries."""
        print(message, file=sys.stderr, flush=True)

    def fetch_uri(self, uri: object, use_cache: bool = True) -> Path:
        """Get anything else by its address, through the machine's cache: a path, `file://`, `s3://` or `https://`.

        Args:
            uri: the address, text or an address type.
            use_cache: take what the cache has when its server says that it is still the same; otherwise ask the server
                again. Either way the file is the one that the server has now.

        Returns:
            The local path; do not change the file.

        Raises:
            InputFileError: it does not exist or cannot be read.
            StoreError: its server cannot be reached, fails or refuses.
        """
        from scythe_cli.storage import cache, references

        if not use_cache:
            cache.revalidate_before(Clock.time())
        return references.fetch(str(uri))

    def local_path(self, pth: object) -> Path:
        """Where the file of an address is on this machine. Fetches it when it is not there."""
        return self.fetch_uri(pth)


class ExperimentOutputSpec(BaseModel):
    """The typed output of one case. Subclass it and add your fields.

    A value for a field that it does not have is an error, unless `model_config = ConfigDict(extra="ignore")` is there.

    Attributes:
        dataframes: tables of this case by name; each becomes one final table over all cases, indexed by the specs.
            Anything with the Arrow C stream: pandas, polars, pyarrow.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    dataframes: dict[str, Any] = Field(
        default_factory=dict, exclude=True, repr=False, description="Tables of this case."
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        imported.remember(cls.__module__)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return accept_scalars(handler(source), handler.resolve_ref_schema)


def make_onerow_multiindex_from_dict(d: Mapping[str, Any], n_rows: int = 1) -> pd.MultiIndex:
    """A MultiIndex whose names are the keys, with the values repeated in `n_rows` rows."""
    pandas = load_extra("pandas", extra="pandas", purpose="make_onerow_multiindex_from_dict()")
    made: pd.MultiIndex = pandas.MultiIndex.from_tuples([tuple(d.values())] * n_rows, names=list(d))
    return made


def _storage_of(spec: ExperimentInputSpec) -> str | None:
    """The storage of the run that runs a spec in this process."""
    at_work = CURRENT_GENERATION.get(None)
    tail = f"/{spec.experiment_id}"
    return at_work.root.removesuffix(tail) if at_work is not None and at_work.root.endswith(tail) else None


def _with_suggestions(exc: ValidationError, model: type[BaseModel]) -> ValidationError:
    """The same error, in which each unknown argument names the nearest field."""
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
    """Whether an error is about an argument that the model itself does not have."""
    return error["type"] == "extra_forbidden" and len(error["loc"]) == 1


_PYDANTIC = frozenset(get_args(core_schema.ErrorType))
"""The kinds of pydantic's own errors; others are those of the user's validators."""

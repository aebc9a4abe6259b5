"""`ExperimentRegistry.Register`: which of the user's functions are experiments, and with what options.

Input: functions, as their modules are imported. Output: the same functions, and a record of their options.
"""

from __future__ import annotations

import inspect
import tempfile
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar
from weakref import WeakKeyDictionary

from scythe_cli.core import layout
from scythe_cli.core.units import parse_duration
from scythe_cli.errors import EntryPointError, did_you_mean
from scythe_cli.experiment import hatchet_workflow
from scythe_cli.experiment.field_kinds import file_fields
from scythe_cli.session import imported

if TYPE_CHECKING:
    from datetime import timedelta

Function = Callable[..., Any]
Registrable = TypeVar("Registrable", bound=Function)
Included = TypeVar("Included")
FileLocation = Literal["cache", "copied-to-tempdir"]
TASK_PREFIX = "scythe_experiment_"
"""The prefix of an experiment's name in the manifest, and in its task's on Hatchet, as in scythe-engine."""
_IGNORED = {
    "schedule_timeout": "a task waits until a worker takes it",
    "worker": "a worker serves what it is started with",
    "inject_workflow_run_id": "each spec has a workflow_run_id",
    "overwrite_log_method": "`input_spec.log` writes to the spec's log",
    "backoff_factor": "an attempt begins at once after the last one",
    "backoff_max_seconds": "an attempt begins at once after the last one",
    "rate_limits": "`run.workers` and the workers' slots limit what runs at a time",
    "concurrency": "`run.workers` and the workers' slots limit what runs at a time",
    "default_priority": "tasks run in the order of their specs",
    "sticky": "any worker may run any spec",
    "on_events": "a run begins with an allocate",
    "on_crons": "a run begins with an allocate",
}
"""Options of scythe-engine's `Register` without an effect here, and why."""


@dataclass(frozen=True)
class Options:
    """What `Register` was given. None leaves the choice to experiment.yml, the environment and the defaults.

    Attributes:
        name: the task's name; the function's unless given.
        description: one line; the docstring's first unless given.
        execution_timeout: one attempt of one spec: seconds, "10m" or a timedelta.
        retries: more attempts of one spec.
        desired_worker_labels: labels of the workers that may run the specs.
        auto_fetch_files: give the function local paths; otherwise its file fields hold the addresses.
        local_file_location: paths in the machine's cache, not to be written to, or copies in the tempdir.
        ignored: options of scythe-engine that were given and have no effect.
        version: names the code by hand, in place of the hash of its files: specs of runs with the same name are reused.
        batch: most specs that the function takes in one call; None for a function of one spec.
    """

    name: str | None = None
    description: str | None = None
    execution_timeout: timedelta | str | float | None = None
    retries: int | None = None
    desired_worker_labels: Mapping[str, Any] | None = None
    auto_fetch_files: bool = True
    local_file_location: FileLocation = "cache"
    ignored: tuple[str, ...] = ()
    version: str | None = None
    batch: int | None = None

    def settings(self) -> dict[str, Any]:
        """What experiment.yml may overrule, as `config.load(options=...)` takes it."""
        keys = ("execution_timeout", "retries", "desired_worker_labels")
        return {key: getattr(self, key) for key in keys if getattr(self, key) is not None}


class ExperimentRegistry:
    """The experiments that this process has imported."""

    _included: ClassVar[list[Any]] = []
    _registered: ClassVar[WeakKeyDictionary[Function, Options]] = WeakKeyDictionary()

    @classmethod
    def Register(  # noqa: N802 - the name that users of the original know
        cls,
        name: str | None = None,
        description: str | None = None,
        *,
        execution_timeout: timedelta | str | float | None = None,
        retries: int | None = None,
        desired_worker_labels: Mapping[str, Any] | None = None,
        auto_fetch_files: bool = True,
        local_file_location: FileLocation = "cache",
        version: str | None = None,
        batch: int | None = None,
        **of_scythe_engine: object,
    ) -> Callable[[Registrable], Registrable]:
        """Register a function as an experiment. Returns the function itself, unchanged.

        Args:
            name: the task's name; the function's unless given.
            description: one line; the docstring's first unless given.
            execution_timeout: one attempt of one spec: seconds, "10m" or a timedelta.
            retries: more attempts of one spec.
            desired_worker_labels: labels of the workers that may run the specs.
            auto_fetch_files: give the function local paths; otherwise its file fields hold the addresses.
            local_file_location: "cache" gives paths in the machine's cache, "copied-to-tempdir" copies of its own.
            version: names the code by hand. `--reuse` then compares this name, not the hash of the source files.
            batch: make it a function of many specs, at most so many in one call: `list[MyInput] -> list[MyOutput]`, or
                a table of them. A call never has specs of two blocks of 4,096.
            **of_scythe_engine: `schedule_timeout`, `backoff_factor` and other options of scythe-engine that have no
                effect here; the first allocate of the function says so once.

        Raises:
            EntryPointError: an option is not what it should be.
        """
        if callable(name):
            raise EntryPointError("write `@ExperimentRegistry.Register()`, with the parentheses")
        options = Options(
            name=name,
            description=description,
            execution_timeout=execution_timeout,
            retries=retries,
            desired_worker_labels=desired_worker_labels,
            auto_fetch_files=auto_fetch_files,
            local_file_location=local_file_location,
            version=version,
            batch=batch,
            ignored=tuple(name for name, value in of_scythe_engine.items() if value not in (None, True)),
        )
        _check(options, of_scythe_engine)

        def register(function: Registrable) -> Registrable:
            cls._registered[function] = options
            imported.remember(str(function.__module__))
            if isinstance(function, FunctionType):
                _add_task_attributes(function, options)
            return function

        return register

    @classmethod
    def Include(cls, workflow: Included) -> Included:  # noqa: N802 - the name that users of the original know
        """Make a Hatchet `Workflow` or `Standalone` an experiment, and return it unchanged: each spec is one run of it.

        Workers that import its module serve it. Its input derives from `ExperimentInputSpec`, and so does the output of
        one of its tasks from `ExperimentOutputSpec`.

        Raises:
            EntryPointError: it is neither, or its input is not derived from ours.
        """
        if not hatchet_workflow.is_workflow(workflow):
            raise EntryPointError(f"Include({workflow!r})  must be a Hatchet Workflow or Standalone")
        if hatchet_workflow.input_model(workflow) is None:
            raise EntryPointError(f"Include({workflow!r})  must take a model derived from ExperimentInputSpec")
        if workflow not in cls._included:
            cls._included.append(workflow)
        return workflow

    @classmethod
    def included(cls) -> list[Any]:
        """The workflows that were included, in order."""
        return list(cls._included)

    @classmethod
    def experiments(cls) -> Mapping[str, Function]:
        """The registered functions by their task's name; of two that share one, the later."""
        return MappingProxyType({options.name or found.__name__: found for found, options in cls._registered.items()})

    @classmethod
    def functions(cls) -> list[Function]:
        """Every registered function, in the order of registration."""
        return list(cls._registered)

    @classmethod
    def get_runnable(cls, name: str) -> Any:
        """The function or workflow of this name; scythe-engine's prefix before it does not matter.

        Raises:
            EntryPointError: this process has imported no such experiment.
        """
        known = {**cls.experiments(), **{workflow.name: workflow for workflow in cls._included}}
        short = name.removeprefix(TASK_PREFIX)
        if name not in known and short not in known:
            near = did_you_mean(short, known)
            raise EntryPointError(f"no experiment is registered as {name!r}.{near}", hint="import its module first")
        return known[name] if name in known else known[short]

    get_experiment = get_runnable

    @classmethod
    def options(cls, function: Any) -> Options:
        """What a function was registered with; the defaults when it was not. A workflow has its own settings."""
        if hatchet_workflow.is_workflow(function):
            return Options(
                name=function.name, description=f"the Hatchet workflow {function.name}", auto_fetch_files=False
            )
        while function not in cls._registered and getattr(function, "__wrapped__", None) is not None:
            function = function.__wrapped__
        return cls._registered.get(function, Options())


def ignored_options(options: Options) -> list[str]:
    """For each option of scythe-engine without an effect, a sentence that says so."""
    return [f"Register({name}=...) has no effect: {_IGNORED[name]}" for name in options.ignored]


def _add_task_attributes(function: FunctionType, options: Options) -> None:
    """Give a function what scythe-engine's decorated name has: `name` and `mock_run`."""

    def mock_run(input: Any) -> Any:  # noqa: A002 - the name that users of scythe-engine know
        if options.batch is not None:
            raise EntryPointError(f"{function.__name__} takes many specs: call it with a list or a table of them")
        from scythe_cli.storage import references

        spec = input.model_copy(deep=True)
        for field in file_fields(type(spec)) if options.auto_fetch_files else ():
            address = getattr(spec, field)
            if address is not None:
                spec.__dict__[field] = references.fetch(str(address))
        if "tempdir" not in inspect.signature(function).parameters:
            return function(spec)
        with tempfile.TemporaryDirectory() as folder:
            return function(spec, Path(folder))

    attributes = {"name": options.name or f"{TASK_PREFIX}{function.__name__}", "mock_run": mock_run}
    for attribute, value in attributes.items():
        function.__dict__.setdefault(attribute, value)


def _check(options: Options, of_scythe_engine: Mapping[str, object]) -> None:
    for option, value in of_scythe_engine.items():
        if option not in _IGNORED:
            near = did_you_mean(option, [*Options.__dataclass_fields__, *_IGNORED])
            raise EntryPointError(f"Register({option}={value!r})  {option} is not an option.{near}")
    if options.name is not None and not layout.is_safe_name(options.name):
        raise _wrong(
            "name",
            options.name,
            "must be at most 100 letters, digits, dots, dashes and underscores, a letter or digit first",
        )
    timeouts = {
        "execution_timeout": options.execution_timeout,
        "schedule_timeout": of_scythe_engine.get("schedule_timeout"),
    }
    for option, value in timeouts.items():
        if value is not None:
            try:
                parse_duration(value)
            except ValueError as exc:
                raise _wrong(option, value, str(exc)) from None
    if options.retries is not None and (not isinstance(options.retries, int) or options.retries < 0):
        raise _wrong("retries", options.retries, "must be a whole number, 0 or more")
    if options.batch is not None and (type(options.batch) is not int or options.batch < 1):
        raise _wrong("batch", options.batch, "must be a whole number, 1 or more")
    if options.local_file_location not in typing.get_args(FileLocation):
        raise _wrong("local_file_location", options.local_file_location, "must be 'cache' or 'copied-to-tempdir'")


def _wrong(option: str, value: object, rule: str) -> EntryPointError:
    return EntryPointError(f"Register({option}={value!r})  {option} {rule}")

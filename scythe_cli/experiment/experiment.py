"""The experiment: a user's function with a typed input and a typed output, found, checked, and described.

Input: a function, or "module:function" and a folder. Output: an `Experiment`, which any process with the same files can
make again from its target and folder, or one `EntryPointError`.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model
from pydantic.json_schema import GenerateJsonSchema

from scythe_cli.core import layout
from scythe_cli.errors import EngineError, EntryPointError
from scythe_cli.experiment import hatchet_workflow, importer, source_files
from scythe_cli.experiment.field_kinds import DATAFRAMES
from scythe_cli.experiment.registry import ExperimentRegistry, Function, Options
from scythe_cli.experiment.signature import Form, read_signature
from scythe_cli.session.kernel import in_kernel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

    from scythe_cli.experiment.models import ExperimentInputSpec, ExperimentOutputSpec

__all__ = ["Experiment", "ExperimentRegistry", "Options", "from_function", "io_spec", "load", "load_all"]

_ELSEWHERE = "put it at the top level of a .py file and import it from there"


@dataclass(frozen=True)
class Experiment:
    """A function that is known to be an experiment.

    Attributes:
        name: the task's name: `Register`'s, else the function's.
        target: what `load` takes, together with `folder`, in any process that has the same files.
        folder: absolute.
        function: takes (input_spec), or (input_spec, tempdir) when `takes_tempdir`; see `call`.
        form: what the function takes many specs as; None where it takes one.
        file: the module's file.
        folders: where the user's modules are found.
        include: patterns of more files that count as its code.
    """

    name: str
    target: str
    folder: Path
    function: Function
    input_model: type[ExperimentInputSpec]
    output_model: type[ExperimentOutputSpec]
    takes_tempdir: bool
    options: Options
    file: Path
    folders: tuple[Path, ...]
    include: tuple[str, ...] = ()
    form: Form | None = None

    def including(self, patterns: Iterable[str]) -> Experiment:
        """The same with more files that count as its code. Raises `ConfigError` when a pattern names no file."""
        more = replace(self, include=tuple(patterns))
        source_files.included_files(more.include, (self.folder, self.file.parent))
        return more

    def call(self, spec: Any, tempdir: Path) -> Any:
        """Run one spec, or many: a list or a table of them, see `form`. The returned value is not checked yet."""
        return self.function(spec, tempdir) if self.takes_tempdir else self.function(spec)

    @property
    def description(self) -> str:
        """One line about the experiment, or ""."""
        documented = (inspect.getdoc(self.function) or "").strip().partition("\n")[0]
        return self.options.description or documented

    @cached_property
    def sources(self) -> dict[str, Path]:
        """The user's own files that the experiment is made of, by relative name."""
        included = source_files.included_files(self.include, (self.folder, self.file.parent))
        return _with_included(source_files.source_files(self.file, self.folders), included)

    @property
    def modules(self) -> list[Path]:
        """The Python files among `sources`: `code.include` may name files of any kind."""
        return [file for file in self.sources.values() if file.suffix == ".py"]

    @cached_property
    def source_hash(self) -> str:
        """SHA-256 in hex over `sources`, the same on every machine."""
        return source_files.source_hash(self.sources)

    def modules_hash(self) -> str:
        """SHA-256 in hex over `modules` as they are now. Other files may be written by the experiment itself."""
        return source_files.source_hash({str(module): module for module in self.modules})

    def refuse_changed_code(self, before: str) -> None:
        """Raises `EngineError` where the modules have not the hash of before any more."""
        try:
            same = self.modules_hash() == before
        except OSError:
            same = False
        if not same:
            raise EngineError(
                f"the code of {self.target} has changed while the run is at work; what is done is kept",
                hint="scythe allocate --resume RUN   with the code as it was, or with --allow-changed-code",
            )


def _with_included(modules: dict[str, Path], included: dict[str, Path]) -> dict[str, Path]:
    return dict(sorted((included | modules).items()))


def load(target: str, folder: Path | str, *, place: str | None = None) -> Experiment:
    """Import and check an experiment.

    Args:
        target: module:function, path/to/file.py:function, or module:Model for an input model with a `run` method.
        folder: what the target is resolved from: the experiment file's folder.
        place: where the target was written, for messages.

    Raises:
        EntryPointError: it cannot be imported or is not an experiment.
    """
    folder = Path(folder).absolute()
    return _experiment(importer.resolve(target, folder, place=place), target, folder)


def located_hash(
    target: str, folder: Path | str, *, place: str | None = None, include: Iterable[str] = ()
) -> tuple[Path, str]:
    """The file of an experiment and its `source_hash`, before anything is imported.

    Args:
        target: as in `load`.
        folder: as in `load`.
        place: as in `load`.
        include: patterns of more files that count as its code.

    Raises:
        ConfigError: a pattern names no file.
        EntryPointError: there is no such module or file, or it lies in a storage or a download.
    """
    file, sources = located_sources(target, folder, place=place, include=include)
    return file, source_files.source_hash(sources)


def located_sources(
    target: str, folder: Path | str, *, place: str | None = None, include: Iterable[str] = ()
) -> tuple[Path, dict[str, Path]]:
    """The file of an experiment and the files that its `source_hash` covers, by name; see `located_hash`."""
    file, folders = importer.locate(target, Path(folder), place=place)
    included = source_files.included_files(include, (Path(folder).absolute(), file.parent))
    return file, _with_included(source_files.source_files(file, folders), included)


def from_function(function: Any) -> Experiment:
    """The experiment that a function (or an input model, or a workflow) of this process is.

    Raises:
        EntryPointError: it is not an experiment, or no other process can import it.
    """
    target, folder = target_of(function)
    module, name, file = _importable(function)
    root = importer.root_of(target.rpartition(":")[0], file)
    found = importer.ImportedObject(module, name, function, file, (root or file.parent,))
    experiment = _experiment(found, target, folder)
    _refuse_the_scripts_own(module, file, name, experiment)
    return experiment


def target_of(function: Any) -> tuple[str, Path]:
    """What another process imports a function or a workflow by: its target, and the folder to resolve that from.

    Raises:
        EntryPointError: no other process can import it.
    """
    module, name, file = _importable(function)
    spec = module.__spec__  # `python -m package.module` runs it as __main__, and here its name is
    dotted = spec.name if module.__name__ == "__main__" and spec else module.__name__
    root = importer.root_of(dotted, file)
    where = dotted if root else file.name
    folder = root if root and not source_files.is_library(file) else (Path.cwd() if root else file.parent)
    return f"{where}:{name}", folder


def load_all(modules: Iterable[str], folder: Path | str) -> list[Experiment]:
    """Every experiment that modules register, in themselves or below them, or import by name from elsewhere.

    Raises:
        EntryPointError: a module cannot be imported or registers none, or two experiments share a name.
    """
    found: dict[str, Experiment] = {}
    for where in modules:
        module, _ = importer.import_module(where, Path(folder).absolute(), place=where)
        mine = [found for found in registered() if _is_in(found, module)]
        if not mine:
            raise EntryPointError(f"{where}  registers no experiment", hint="put @ExperimentRegistry.Register() on one")
        for experiment in map(from_function, mine):
            other = found.setdefault(experiment.name, experiment)
            if other.function is not experiment.function:
                files = f"{other.file} and {experiment.file}"
                message = f"{where}  two experiments are called {experiment.name!r}, in {files}"
                raise EntryPointError(message, hint="give one a name of its own: Register(name=...)")
    return list(found.values())


def registered() -> list[Any]:
    """Every function that was registered and every workflow that was included."""
    return [*ExperimentRegistry.functions(), *ExperimentRegistry.included()]


def io_spec(experiment: Experiment) -> dict[str, Any]:
    """The JSON Schema of an experiment's input and output, with docstrings, descriptions and bounds."""
    both = create_model(
        "ExperimentIO",
        __doc__="The input and output schema for the experiment.",
        input=(experiment.input_model, Field(description="The input for the experiment.")),
        output=(experiment.output_model, Field(description="The output for the experiment.")),
    )
    schema = both.model_json_schema(schema_generator=_AnyTypeSchema)
    output = schema["properties"]["output"]["$ref"].rpartition("/")[2]
    schema["$defs"][output]["properties"].pop(DATAFRAMES, None)
    return schema


class _AnyTypeSchema(GenerateJsonSchema):
    """Describes a type that JSON Schema has no words for as anything."""

    def handle_invalid_for_json_schema(self, schema: core_schema.CoreSchema, error_info: str) -> JsonSchemaValue:  # noqa: ARG002
        return {}


def _experiment(found: importer.ImportedObject, target: str, folder: Path) -> Experiment:
    known = callable(found.value) or hatchet_workflow.is_workflow(found.value)
    options = ExperimentRegistry.options(found.value) if known else Options()
    signature = read_signature(found.value, found.name, found.file, many=options.batch is not None)
    name = options.name or found.name
    if not layout.is_safe_name(name):
        hint = 'give it another: @ExperimentRegistry.Register(name="...")'
        raise EntryPointError(f"{found.file.name}  the name {name!r} cannot be a folder's", hint=hint)
    return Experiment(
        name=name,
        target=target,
        folder=folder,
        function=signature.function,
        input_model=signature.input_model,
        output_model=signature.output_model,
        takes_tempdir=signature.takes_tempdir,
        options=options,
        file=found.file,
        folders=found.folders,
        form=signature.form,
    )


def _importable(function: Any) -> tuple[ModuleType, str, Path]:
    """A function's module, name and file, when another process can import it by these."""
    if hatchet_workflow.is_workflow(function):
        return _workflow_home(function)
    if not isinstance(function, type | FunctionType):
        raise EntryPointError(f"{function!r} is neither a function nor an input model with a method `run`")
    name = function.__qualname__
    if "." in name or name == "<lambda>":
        kind = "a lambda" if "<lambda>" in name else "not at the top level of its module"
        raise EntryPointError(f"{name} is {kind}: no other process can import it", hint=_ELSEWHERE)
    module = sys.modules.get(function.__module__)
    file = Path(getattr(module, "__file__", None) or "")  # a notebook's and a prompt's module have none
    if module is None or not file.is_file() or _was_typed_in(function, file):
        hint = f"put it into a file next to the notebook, such as experiment.py, and `from experiment import {name}`"
        if in_kernel():
            hint = (
                "paste the first of these lines at the top of that cell, and the second into a cell below it:\n"
                f"%%writefile experiment.py\nfrom experiment import {name}"
            )
        raise EntryPointError(
            f"{name} is defined in a notebook or at a prompt: no other process can import it", hint=hint
        )
    return module, name, file.absolute()


def _workflow_home(workflow: Any) -> tuple[ModuleType, str, Path]:
    home = hatchet_workflow.module_of(workflow)
    if home is None:
        raise EntryPointError(f"the workflow {workflow.name} is at the top level of no module", hint=_ELSEWHERE)
    module, name = home
    return module, name, Path(str(module.__file__)).absolute()


def _refuse_the_scripts_own(module: ModuleType, file: Path, name: str, experiment: Experiment) -> None:
    """Refuse what a script defines where no process but the script itself comes by."""
    models = [experiment.input_model, experiment.output_model]
    names = [name, *(model.__name__ for model in models if model.__module__ == module.__name__)]
    guarded = source_files.guarded_names(file) if module.__name__ == "__main__" else {}
    for own in filter(guarded.__contains__, names):
        where = f'{own} is defined under `if __name__ == "__main__":`'
        raise EntryPointError(
            f"{file.name}:{guarded[own]}  {where}: no other process can import it",
            hint="put it above that line, at the top level of the file",
        )


def _was_typed_in(function: Function, file: Path) -> bool:
    """Whether a function of `__main__` comes from no file, though `__main__` has one: a debugger, an `exec`."""
    if not isinstance(function, FunctionType) or function.__module__ != "__main__":
        return False
    return Path(inspect.unwrap(function).__code__.co_filename).name != file.name


def _is_in(found: Any, module: ModuleType) -> bool:
    """Whether a module, or one below it, has a function or a workflow, or imports it by name."""
    if any(value is found for value in vars(module).values()):
        return True
    home = hatchet_workflow.module_of(found) if hatchet_workflow.is_workflow(found) else None
    where = home[0].__name__ if home else getattr(found, "__module__", "")
    return f"{where}.".startswith(f"{module.__name__}.")

"""Which storage and which name the runs of a function have.

Input: a function and what the caller said. Output: the settings, an open store, a name.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from scythe_cli.core.events import Notice
from scythe_cli.errors import EntryPointError
from scythe_cli.experiment import config, experiment
from scythe_cli.experiment.registry import TASK_PREFIX, ExperimentRegistry
from scythe_cli.experiment.source_files import is_library
from scythe_cli.session import imported
from scythe_cli.session.kernel import in_kernel
from scythe_cli.storage.address import Address
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from scythe_cli.core.events import Event
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.storage.base import Store

_PROJECT_MARKS = ("pyproject.toml", "setup.py", "setup.cfg", ".git")
_log = logging.getLogger("scythe_cli")
_said: set[str] = set()


def say_once(sentence: str) -> None:
    """Log a warning, in a process once. Python prints it to stderr where no logging is set up."""
    if sentence not in _said:
        _said.add(sentence)
        _log.warning(sentence)


def log_notice(event: Event) -> None:
    """Log what a command prints as a notice."""
    if isinstance(event, Notice):
        say_once(event.message)


def key_of(address: str) -> str:
    """The key of an address in its bucket; of a folder the path."""
    return Address.parse(address).key.rstrip("/")


def task_name(runnable: Any) -> str:
    """The name of an experiment: its registered one, else the function's."""
    if isinstance(runnable, str):
        return runnable.removeprefix(TASK_PREFIX)
    return ExperimentRegistry.options(runnable).name or runnable.__name__


def load(runnable: Any, **given: object) -> tuple[config.LoadedSettings, Experiment]:
    """The settings for a function: `given` by dotted key, None meaning not given, above environment and options."""
    function = ExperimentRegistry.get_runnable(runnable) if isinstance(runnable, str) else runnable
    found = experiment.from_function(function)
    values = {"experiment": found.target} | {key: value for key, value in given.items() if value is not None}
    loaded = config.from_values(values, folder=_folder_of_runs(found), options=found.options.settings())
    return loaded.with_name(found.name), found.including(loaded.file.code.include)


def refuse_edited(found: Experiment, runnable: Any) -> None:
    """Refuse to run code that differs from what this process has imported: its models have checked the specs.

    Raises:
        EntryPointError: a file has changed since its import, or the function is from before a reload of its module.
    """
    where = "kernel" if in_kernel() else "process"
    if changed := imported.changed_modules(found.modules):
        own = str(getattr(runnable, "__module__", ""))
        reloads = [*(name for name in changed if name != own), *([own] if own in sys.modules else [])]
        them, have = ("it", "has") if len(changed) == 1 else ("them", "have")
        names = ", ".join(sorted(set(changed.values())))
        raise EntryPointError(
            f"{names} {have} changed since this {where} imported {them}: restart or reload",
            hint=f"import importlib, {', '.join(reloads)}; {'; '.join(f'importlib.reload({one})' for one in reloads)}\n"
            f"then run again what imports from {them}",
        )
    module = sys.modules.get(getattr(runnable, "__module__", ""))
    name = getattr(runnable, "__qualname__", "")
    if module is not None and imported.was_reloaded(module.__name__) and vars(module).get(name) is not runnable:
        raise EntryPointError(
            f"{name} is from before {module.__name__} was reloaded", hint=f"from {module.__name__} import {name}"
        )


def storage_and_name(runnable: Any, name: str | None, storage: str | None) -> tuple[Store, str]:
    """Where the runs of an experiment are. A name and a storage are enough; nothing is imported then."""
    if isinstance(runnable, str) and storage is not None:
        return open_store(storage), name or task_name(runnable)
    loaded, _ = load(runnable, name=name, storage=storage)
    return open_store(loaded.file.storage), cast("str", loaded.file.name)


def point_to_runs_of_scythe_engine(store: Store, name: str) -> None:
    """Say once that runs of scythe-engine have another name, where they had the default one and are in this storage."""
    theirs = f"{TASK_PREFIX}{name}"
    if store.children(theirs):
        say_once(
            f"{store.locate(theirs)} has runs under the name that scythe-engine gives; "
            f"BaseExperiment(..., run_name={theirs!r}) continues their versions"
        )


def _folder_of_runs(found: Experiment) -> Path:
    """The folder that holds `scythe-runs` unless a storage is given.

    It is the module's folder. For a function inside a package it is the current folder, and where that is part of the
    package's source tree, the folder of the project.
    """
    where = found.target.rpartition(":")[0]
    packaged = "." in where.removesuffix(".py") or found.file.name == "__init__.py" or is_library(found.file)
    if not packaged:
        return found.folder
    here = Path.cwd()
    if not here.is_relative_to(found.folder):
        return here
    parents = (found.folder, *found.folder.parents)
    return next((folder for folder in parents if any((folder / mark).exists() for mark in _PROJECT_MARKS)), here)

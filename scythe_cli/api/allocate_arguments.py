"""The arguments of `BaseExperiment.allocate`, checked.

Input: a version, specs and settings as users of scythe-engine give them. Output: the same as the commands have them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from scythe_cli.api import places
from scythe_cli.core import library_names
from scythe_cli.errors import ConfigError, EntryPointError, did_you_mean
from scythe_cli.experiment import importer, source_files
from scythe_cli.run.version import Bump, SemVer
from scythe_cli.storage.address import is_remote

if TYPE_CHECKING:
    from types import FrameType

    from scythe_cli.compat.recursion_map import RecursionMap

VersioningStrategy = Literal["bumpmajor", "bumpminor", "bumppatch", "keep"]
_BUMPS: dict[str, Bump] = {"bumpmajor": "major", "bumpminor": "minor", "bumppatch": "patch", "keep": "keep"}


def check_call(s3_client: object, overwrite_experiment_id: bool) -> None:
    """Refuse a call while a module is imported for its experiment; say which arguments have no effect."""
    if importer.is_importing():
        raise EntryPointError(
            "a module that is imported to run its experiment starts a run itself",
            hint='put what a script does under `if __name__ == "__main__":`',
        )
    if sys.path and (file := library_names.hidden_library(sys.path[0])) is not None:
        raise EntryPointError(f"{file} hides the library of this name from scythe", hint=f"rename {file.name}")
    if s3_client is not None:
        places.say_once("allocate(s3_client=...) has no effect: scythe uses the machine's AWS configuration")
    if not overwrite_experiment_id:
        places.say_once("allocate(overwrite_experiment_id=False) has no effect: experiment_id is that of the run")


def refuse_without_guard(file: Path) -> None:
    """A script that starts runs when it is imported would do so in each process that imports it for its function."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    if frame is None or Path(frame.f_code.co_filename).resolve() != file.resolve():
        return
    if source_files.unguarded(file, frame.f_lineno):
        where = f"{file.name}:{frame.f_lineno}"
        raise EntryPointError(
            f"{where}  starts a run whenever the file is imported, and each worker process imports it",
            hint='put this line, and all that a script does, under `if __name__ == "__main__":`',
        )


def bump(version: VersioningStrategy | SemVer) -> Bump | SemVer:
    """The version as the commands name it. Raises `ConfigError`."""
    if isinstance(version, SemVer):
        return version
    if version not in _BUMPS:
        near = did_you_mean(str(version), _BUMPS)
        raise ConfigError(f"version = {version!r} must be one of {', '.join(_BUMPS)}, or a SemVer.{near}")
    return _BUMPS[version]


def source(specs: Any) -> Any:
    """What `prepare` takes: a path from the current folder; one model is a list of one."""
    if isinstance(specs, BaseModel):
        return [specs]
    if isinstance(specs, str | Path) and not is_remote(str(specs)):
        return Path(specs).expanduser().absolute()
    return specs


def settings_of(recursion_map: RecursionMap | None, settings: dict[str, object]) -> dict[str, object]:
    """Settings by their full name: those of the fan-out, and what was given without a section under `run`."""
    shape = recursion_map.settings() if recursion_map is not None else {}
    given = {key if "." in key else f"run.{key}": value for key, value in settings.items()}
    return {**{f"tree.{key}": value for key, value in shape.items()}, **given}

"""scythe: run a typed function over a table of cases. The names here are the public ones; importing runs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scythe_cli.api import BaseExperiment as BaseExperiment
    from scythe_cli.api import ExperimentRun as ExperimentRun
    from scythe_cli.api import VersionedExperiment as VersionedExperiment
    from scythe_cli.compat import RecursionMap as RecursionMap
    from scythe_cli.compat import ScytheStorageSettings as ScytheStorageSettings
    from scythe_cli.compat import ScytheWorkerConfig as ScytheWorkerConfig
    from scythe_cli.experiment.experiment import ExperimentRegistry as ExperimentRegistry
    from scythe_cli.experiment.file_reference import FileReference as FileReference
    from scythe_cli.experiment.file_reference import S3Url as S3Url
    from scythe_cli.experiment.models import ExperimentInputSpec as ExperimentInputSpec
    from scythe_cli.experiment.models import ExperimentOutputSpec as ExperimentOutputSpec
    from scythe_cli.run.version import SemVer as SemVer

_HOMES = {
    "BaseExperiment": "api",
    "ExperimentInputSpec": "experiment.models",
    "ExperimentOutputSpec": "experiment.models",
    "ExperimentRegistry": "experiment.experiment",
    "ExperimentRun": "api",
    "FileReference": "experiment.file_reference",
    "RecursionMap": "compat",
    "S3Url": "experiment.file_reference",
    "ScytheStorageSettings": "compat",
    "ScytheWorkerConfig": "compat",
    "SemVer": "run.version",
    "VersionedExperiment": "api",
}

__all__ = [
    "BaseExperiment",
    "ExperimentInputSpec",
    "ExperimentOutputSpec",
    "ExperimentRegistry",
    "ExperimentRun",
    "FileReference",
    "RecursionMap",
    "S3Url",
    "ScytheStorageSettings",
    "ScytheWorkerConfig",
    "SemVer",
    "VersionedExperiment",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]

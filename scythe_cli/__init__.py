"""scythe: run a typed function over a table of cases. The names here are the public ones; importing runs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scythe_cli.api.allocate_arguments import VersioningStrategy as VersioningStrategy
    from scythe_cli.api.experiment import BaseExperiment as BaseExperiment
    from scythe_cli.api.experiment import ExperimentRun as ExperimentRun
    from scythe_cli.api.experiment import VersionedExperiment as VersionedExperiment
    from scythe_cli.api.open_run import open_run as open_run
    from scythe_cli.api.scan import scan as scan
    from scythe_cli.compat.files import fetch_uri as fetch_uri
    from scythe_cli.compat.recursion_map import RecursionMap as RecursionMap
    from scythe_cli.compat.worker_config import ScytheWorkerConfig as ScytheWorkerConfig
    from scythe_cli.compat.worker_config import ScytheWorkerLabel as ScytheWorkerLabel
    from scythe_cli.designs.design import sample as sample
    from scythe_cli.experiment.experiment import ExperimentRegistry as ExperimentRegistry
    from scythe_cli.experiment.file_reference import FileReference as FileReference
    from scythe_cli.experiment.file_reference import OptionalFileReference as OptionalFileReference
    from scythe_cli.experiment.file_reference import S3Url as S3Url
    from scythe_cli.experiment.models import ComputedFeatureValue as ComputedFeatureValue
    from scythe_cli.experiment.models import ExperimentInputSpec as ExperimentInputSpec
    from scythe_cli.experiment.models import ExperimentOutputSpec as ExperimentOutputSpec
    from scythe_cli.experiment.models import make_onerow_multiindex_from_dict as make_onerow_multiindex_from_dict
    from scythe_cli.run.version import SemVer as SemVer
    from scythe_cli.storage.storage_settings import ScytheStorageSettings as ScytheStorageSettings

_HOMES = {
    "BaseExperiment": "api.experiment",
    "ComputedFeatureValue": "experiment.models",
    "ExperimentInputSpec": "experiment.models",
    "ExperimentOutputSpec": "experiment.models",
    "ExperimentRegistry": "experiment.experiment",
    "ExperimentRun": "api.experiment",
    "FileReference": "experiment.file_reference",
    "OptionalFileReference": "experiment.file_reference",
    "RecursionMap": "compat.recursion_map",
    "S3Url": "experiment.file_reference",
    "ScytheStorageSettings": "storage.storage_settings",
    "ScytheWorkerConfig": "compat.worker_config",
    "ScytheWorkerLabel": "compat.worker_config",
    "SemVer": "run.version",
    "VersionedExperiment": "api.experiment",
    "VersioningStrategy": "api.allocate_arguments",
    "fetch_uri": "compat.files",
    "make_onerow_multiindex_from_dict": "experiment.models",
    "open_run": "api.open_run",
    "sample": "designs.design",
    "scan": "api.scan",
}

__all__ = [
    "BaseExperiment",
    "ComputedFeatureValue",
    "ExperimentInputSpec",
    "ExperimentOutputSpec",
    "ExperimentRegistry",
    "ExperimentRun",
    "FileReference",
    "OptionalFileReference",
    "RecursionMap",
    "S3Url",
    "ScytheStorageSettings",
    "ScytheWorkerConfig",
    "ScytheWorkerLabel",
    "SemVer",
    "VersionedExperiment",
    "VersioningStrategy",
    "fetch_uri",
    "make_onerow_multiindex_from_dict",
    "open_run",
    "sample",
    "scan",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is not None:
        return getattr(import_module(f"{__name__}.{home}"), name)
    if not name.startswith("_"):
        from scythe_cli.compat import replaced_names

        if name in replaced_names.REPLACEMENTS:
            raise replaced_names.refuse(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]

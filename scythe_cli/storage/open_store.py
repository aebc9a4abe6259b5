"""The visible tables of stores and engines. Takes an address or a name, leaves the thing that speaks to it.

A new store is one file in `stores/`, one line here, and a subclass of the contract tests. Each library is imported in
its own branch.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scythe_cli.engines.hatchet.engine import HatchetEngine
    from scythe_cli.engines.local import LocalEngine
    from scythe_cli.experiment.config import ExperimentFile
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.run.engine import Engine
    from scythe_cli.storage.base import Store

SCHEMES = ("s3",)


def open_store(address: str | Path, *, base: Path | None = None, patient: bool = False) -> Store:
    """Open the store at `address`: `s3://bucket/prefix`, or a folder relative to `base` (default: the working folder).

    With `patient`, for workers, an outage at the very start is waited out too, where a person would rather be told.

    Raises:
        ConfigError: the address is empty or its scheme is unknown.
        StoreError: the store cannot be spoken to as this machine is configured.
    """
    text = str(address)
    scheme, separator, rest = text.partition("://")
    if isinstance(address, Path) or not separator:
        if not text.strip():
            raise ConfigError("the storage address is empty; give a folder or s3://bucket/prefix")
        from scythe_cli.storage.local import LocalStore

        return LocalStore((base or Path()) / Path(text).expanduser())
    if scheme == "s3":
        from scythe_cli.storage.s3 import S3Store

        return S3Store.open(rest, patient=patient)
    raise ConfigError(
        f"storage {text!r}: no store for {scheme}://.{did_you_mean(scheme, SCHEMES)} Known: s3:// or a folder."
    )


def open_engine(file: ExperimentFile) -> Engine:
    """Open the engine that the settings name.

    Raises:
        EngineError: it does not answer or refuses.
    """
    return _open_hatchet(file) if file.engine == "hatchet" else _open_local(file)


@contextmanager
def engine_for(experiment: Experiment, file: ExperimentFile) -> Iterator[Callable[[], Engine]]:
    """What opens the engine for work on one experiment, to be submitted and waited for in the block.

    This machine's gets ready meanwhile: the user's module is imported while its specs are checked and written.
    """
    if file.engine == "hatchet":
        yield lambda: _open_hatchet(file)
        return
    engine = _open_local(file)
    with engine.getting_ready(experiment):
        yield lambda: engine


def _open_hatchet(file: ExperimentFile) -> HatchetEngine:
    from scythe_cli.engines.hatchet.engine import HatchetEngine

    return HatchetEngine(file)


def _open_local(file: ExperimentFile) -> LocalEngine:
    from scythe_cli.engines.local import LocalEngine

    return LocalEngine(file.run.workers)

"""The visible table of engines. Input: settings. Output: the engine that they name.

A new engine is one file or folder here, and one branch below. Each library is imported in its own branch.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from scythe_cli.engines.hatchet.client.engine import HatchetEngine
    from scythe_cli.engines.local import LocalEngine
    from scythe_cli.engines.shared.engine import SharedEngine
    from scythe_cli.engines.slurm.engine import SlurmEngine
    from scythe_cli.experiment.config import ExperimentFile
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.run.engine import Engine, Work


def open_engine(file: ExperimentFile, path: Path | None = None) -> Engine:
    """Open the engine that the settings name.

    Args:
        file: the settings.
        path: where they come from, for engines that start processes elsewhere.

    Raises:
        EngineError: it does not answer or refuses.
    """
    if file.engine == "hatchet":
        return _open_hatchet(file)
    if file.engine == "slurm":
        return _open_slurm(file, path)
    return _open_shared(file) if file.engine == "shared" else open_local(file)


@contextmanager
def engine_for(
    experiment: Experiment, file: ExperimentFile, path: Path | None = None
) -> Iterator[Callable[[], Engine]]:
    """What opens the engine for work on one experiment, to be submitted and waited for in the block.

    This machine's gets ready meanwhile: the user's module is imported while its specs are checked and written.
    """
    if file.engine != "local":
        yield lambda: open_engine(file, path)
        return
    engine = open_local(file)
    with engine.getting_ready(experiment):
        yield lambda: engine


def _open_hatchet(file: ExperimentFile) -> HatchetEngine:
    from scythe_cli.engines.hatchet.client.engine import HatchetEngine

    return HatchetEngine(file)


def _open_slurm(file: ExperimentFile, path: Path | None) -> SlurmEngine:
    from scythe_cli.engines.slurm.engine import SlurmEngine

    return SlurmEngine(file, path)


def _open_shared(file: ExperimentFile) -> SharedEngine:
    from scythe_cli.engines.shared.engine import SharedEngine

    return SharedEngine(file)


def open_local(file: ExperimentFile) -> LocalEngine:
    """The engine of this machine, whatever the settings name."""
    from scythe_cli.engines.local import LocalEngine

    return LocalEngine(file.run.workers, fresh=file.run.fresh_workers)


def without_engine(work: Work) -> tuple[Work, LocalEngine]:
    """The same work on this machine, whatever its settings name: to run nothing needs no engine."""
    file = work.file.model_copy(update={"engine": "local"})
    return replace(work, file=file), open_local(file)

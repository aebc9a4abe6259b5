"""The Python API: `BaseExperiment`, `VersionedExperiment`, `ExperimentRun`, with the names of scythe-engine.

Input: a user's function, or a run. Output: runs, and what they hold; the code is that of the commands. The three are
pydantic models, so that other models may have them as fields.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import total_ordering
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from pydantic import BaseModel, ConfigDict, PrivateAttr, field_serializer
from typing_extensions import TypeVar

from scythe_cli.api import allocate_arguments as arguments
from scythe_cli.api import places
from scythe_cli.api.allocate_arguments import VersioningStrategy
from scythe_cli.api.run_actions import RunActions
from scythe_cli.api.run_keys import RunKeys
from scythe_cli.api.run_operations import RunOperations
from scythe_cli.core import layout
from scythe_cli.engines.open_engine import open_engine, without_engine
from scythe_cli.errors import ConfigError, NotFoundError
from scythe_cli.experiment.models import ExperimentInputSpec, ExperimentOutputSpec
from scythe_cli.experiment.settings import EngineName
from scythe_cli.run import find
from scythe_cli.run.run import Run, open_run
from scythe_cli.run.version import SemVer
from scythe_cli.run_future import RunFuture, print_notices
from scythe_cli.storage.open_store import open_store
from scythe_cli.storage.storage_settings import ScytheStorageSettings

if TYPE_CHECKING:
    from scythe_cli.compat.recursion_map import RecursionMap
    from scythe_cli.experiment.config import LoadedSettings
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.preparation.prepared import Prepared
    from scythe_cli.storage.base import Store

TInput = TypeVar("TInput", bound=ExperimentInputSpec, default=Any)
TOutput = TypeVar("TOutput", bound=ExperimentOutputSpec, default=Any)


class BaseExperiment(BaseModel, Generic[TInput, TOutput]):
    """An experiment that can be allocated.

    Args:
        experiment: the function, or an input model with a `run` method, or the name of a registered one.
        runnable: the same, by its name in scythe-engine 1.1 and later.
        run_name: the name of the runs' folder; the experiment's unless given.
        storage: where runs live: a folder, relative to the current one, or s3://bucket/prefix. Unless it is given, the
            environment's `SCYTHE_STORAGE` or `SCYTHE_STORAGE_BUCKET`; else `scythe-runs` next to the function's module,
            for a function inside a package in the current folder.
        storage_settings: a bucket, as users of scythe-engine give it.
        engine: local, hatchet, shared or slurm.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    runnable: Any
    run_name: str | None = None
    storage: str | None = None
    storage_settings: ScytheStorageSettings | None = None
    engine: EngineName | None = None

    def __init__(
        self,
        *,
        experiment: Any = None,
        runnable: Any = None,
        run_name: str | None = None,
        storage: str | Path | None = None,
        storage_settings: ScytheStorageSettings | None = None,
        engine: EngineName | None = None,
    ) -> None:
        found = runnable if experiment is None else experiment
        if experiment is not None and runnable is not None:
            raise ConfigError("experiment and runnable say the same thing; give one of them")
        if found is None:
            raise ConfigError("experiment is missing: give the function, BaseExperiment(experiment=my_function)")
        if storage is not None and storage_settings is not None:
            raise ConfigError("storage and storage_settings say the same thing; give one of them")
        super().__init__(
            runnable=found,
            run_name=run_name,
            storage=None if storage is None else str(storage),
            storage_settings=storage_settings,
            engine=engine,
        )

    @property
    def experiment(self) -> Any:
        """The function, or the input model with a `run` method."""
        return self.runnable

    @property
    def base_id(self) -> str:
        """The name of the runs' folder."""
        return self.run_name or places.task_name(self.runnable)

    @property
    def prefix(self) -> str:
        """Where its runs are: the key in the bucket, or the folder's path, with a slash at the end."""
        return f"{places.key_of(self._place()[0].locate(self.base_id))}/"

    def allocate(
        self,
        specs: Any,
        version: VersioningStrategy | SemVer = "keep",
        overwrite_sort_index: bool = True,
        overwrite_experiment_id: bool = True,
        recursion_map: RecursionMap | None = None,
        s3_client: Any = None,
        *,
        storage: str | Path | None = None,
        engine: EngineName | None = None,
        run_name: str | None = None,
        storage_settings: ScytheStorageSettings | None = None,
        reuse: str | None = None,
        **settings: object,
    ) -> tuple[ExperimentRun, RunFuture]:
        """Check the specs, claim a run, and have it worked through in the background.

        Args:
            specs: a list of input models (or one), a polars, pandas or arrow table, or a path. Relative paths, of the
                table and in its file fields, start from the current folder.
            version: keep (the latest version again), bumpmajor, bumpminor, bumppatch, a `SemVer`; the first is v1.0.0.
            overwrite_sort_index: number the specs by their place; otherwise a given sort_index stays.
            overwrite_experiment_id: without effect: a spec's experiment_id is that of its run.
            recursion_map: the shape of the fan-out on Hatchet.
            s3_client: without effect: scythe makes its own from the machine's AWS configuration.
            storage: a folder or s3://bucket/prefix.
            engine: local, hatchet, shared or slurm.
            run_name: the name of the runs' folder.
            storage_settings: a bucket, as users of scythe-engine give it.
            reuse: take over the specs that an earlier run has computed: a RUN, or "latest", which may be the first run.
            **settings: keys under `run`, such as retries=2; others with their section: `**{"frames.max_file": "1GB"}`.

        Returns:
            The run, and what waits for it.

        Raises:
            InputError: something is wrong with the specs, a file, a setting; nothing was written.
            StoreError: the store refuses.
        """
        from scythe_cli.operations.allocate import begin, first_work, start
        from scythe_cli.preparation.prepare import prepare

        arguments.check_call(s3_client, overwrite_experiment_id)
        wanted = arguments.bump(version)
        here = self._with(storage, storage_settings, engine, run_name)
        loaded, found = here._loaded(reuse=reuse, **arguments.settings_of(recursion_map, settings))
        arguments.refuse_without_guard(found.file)
        places.refuse_edited(found, here.runnable)
        loaded, source = replace(loaded, folder=Path.cwd()), arguments.source(specs)
        prepared = prepare(loaded, found, specs=source, overwrite_sort_index=overwrite_sort_index)
        opened, store = open_engine(prepared.file), open_store(prepared.file.storage)
        prepared = _with_reuse(prepared, store, reuse)
        if here.run_name is None:
            places.point_to_runs_of_scythe_engine(store, prepared.name)
        run = begin(prepared, store, version=wanted, listener=places.log_notice)
        work = first_work(run, prepared)
        if not work.todo:
            work, opened = without_engine(work)
        return ExperimentRun.of(run, here), RunFuture(work, start(work, opened, print_notices))

    def list_versions(self, s3_client: Any = None) -> list[VersionedExperiment]:  # noqa: ARG002 - as in scythe-engine
        """The versions that have runs, lowest first."""
        store, name = self._place()
        real = [v for v in find.versions(store, name) if next(find.real_runs(store, name, v), None) is not None]
        return [VersionedExperiment(base_experiment=self, version=version) for version in sorted(real)]

    def latest_version(
        self,
        s3_client: Any = None,  # noqa: ARG002 - as in scythe-engine
        from_cache: bool = True,  # noqa: ARG002 - as in scythe-engine
    ) -> VersionedExperiment | None:
        """The highest version that has a run, or None. The storage is always asked."""
        version = find.latest_version(*self._place())
        return None if version is None else VersionedExperiment(base_experiment=self, version=version)

    @property
    def latest_run(self) -> ExperimentRun:
        """The latest run of the highest version. Raises `NotFoundError` when there is none."""
        latest = self.latest_version()
        if latest is None:
            store, name = self._place()
            raise NotFoundError(f"{name} has no run in {store.locate('')}")
        return latest.latest_run

    @property
    def latest_results(self) -> dict[str, str]:
        """The latest run's `list_results_files()`. Raises `NotFoundError` when there is no run."""
        return self.latest_run.list_results_files()

    def latest_results_for_version(self, version: SemVer) -> dict[str, str]:
        """`list_results_files()` of one version's latest run. Raises `NotFoundError` when there is no run."""
        return VersionedExperiment(base_experiment=self, version=version).latest_run_results

    def _with(
        self,
        storage: str | Path | None,
        storage_settings: ScytheStorageSettings | None,
        engine: EngineName | None,
        run_name: str | None,
    ) -> BaseExperiment:
        """The experiment with what an allocate gave."""
        elsewhere = storage is not None or storage_settings is not None
        return BaseExperiment(
            runnable=self.runnable,
            run_name=run_name or self.run_name,
            storage=storage if elsewhere else self.storage,
            storage_settings=storage_settings if elsewhere else self.storage_settings,
            engine=engine or self.engine,
        )

    def _loaded(self, **values: object) -> tuple[LoadedSettings, Experiment]:
        return places.load(self.runnable, name=self.run_name, storage=self._storage(), engine=self.engine, **values)

    def _place(self) -> tuple[Store, str]:
        return places.storage_and_name(self.runnable, self.run_name, self._storage())

    def _storage(self) -> str | None:
        return self.storage if self.storage_settings is None else self.storage_settings.address

    @field_serializer("runnable")
    def _name_of(self, runnable: Any) -> str:
        return places.task_name(runnable)


@total_ordering
class VersionedExperiment(BaseModel):
    """One version of an experiment and its runs."""

    model_config = ConfigDict(frozen=True)

    base_experiment: BaseExperiment
    version: SemVer

    def __str__(self) -> str:
        return str(self.version)

    def __lt__(self, other: VersionedExperiment) -> bool:
        return self.version < other.version

    def __hash__(self) -> int:
        return hash((self.base_id, self.version))

    @property
    def base_id(self) -> str:
        """name/version."""
        return f"{self.base_experiment.base_id}/{self.version}"

    @property
    def prefix(self) -> str:
        """Where its runs are: the key in the bucket, or the folder's path, with a slash at the end."""
        return f"{self.base_experiment.prefix}{self.version}/"

    def list_runs(self, s3_client: Any = None) -> list[ExperimentRun]:  # noqa: ARG002 - as in scythe-engine
        """The runs of this version, latest first."""
        store, name = self.base_experiment._place()
        return [ExperimentRun.of(run, self.base_experiment) for run in find.real_runs(store, name, self.version)]

    @property
    def latest_run(self) -> ExperimentRun:
        """The latest run of this version. Raises `NotFoundError` when there is none."""
        store, name = self.base_experiment._place()
        for run in find.real_runs(store, name, self.version):
            return ExperimentRun.of(run, self.base_experiment)
        raise NotFoundError(f"{name} {self.version} has no run in {store.locate('')}")

    @property
    def latest_run_results(self) -> dict[str, str]:
        """`list_results_files()` of the latest run."""
        return self.latest_run.list_results_files()


class ExperimentRun(RunOperations, RunActions, RunKeys, BaseModel):
    """One run: its properties, and the operations on it as methods. It works in any process that reaches the storage.

    Attributes:
        versioned_experiment: the version, and by it the experiment.
        timestamp: when the run was claimed, UTC.
    """

    versioned_experiment: VersionedExperiment
    timestamp: datetime
    _run: Run | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, run: Run, base: BaseExperiment | None = None) -> ExperimentRun:
        """Describe a run. `base` is the experiment where the caller has it."""
        storage = run.store.locate("").removesuffix(f"/{run.id}")
        bucket = ScytheStorageSettings.of_storage(storage)
        experiment = BaseExperiment(
            runnable=base.runnable if base is not None else places.task_name(run.manifest.experiment_name),
            run_name=run.name,
            storage=storage if bucket is None else None,
            storage_settings=bucket,
            engine=base.engine if base is not None else None,
        )
        moment = datetime.strptime(run.id.rpartition("/")[2], layout.TIME_FORMAT).replace(tzinfo=UTC)
        version = VersionedExperiment(base_experiment=experiment, version=run.version)
        found = cls(versioned_experiment=version, timestamp=moment)
        found._run = run
        return found

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.experiment_id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExperimentRun) and self._place() == other._place()

    def __hash__(self) -> int:
        return hash(self._place())

    @property
    def run(self) -> Run:
        """The run in its storage. Raises `NotFoundError` when it does not exist any more."""
        if self._run is None:
            self._run = open_run(self.versioned_experiment.base_experiment._place()[0], self.experiment_id)
        return self._run

    @property
    def runnable(self) -> Any:
        """The function of the run where this process has it; else its registered name."""
        return self.versioned_experiment.base_experiment.runnable

    @property
    def dt_str(self) -> str:
        """The third part of the id."""
        moment = self.timestamp if self.timestamp.tzinfo is None else self.timestamp.astimezone(UTC)
        return moment.strftime(layout.TIME_FORMAT)

    @property
    def experiment_id(self) -> str:
        """name/version/time."""
        return f"{self.versioned_experiment.base_id}/{self.dt_str}"

    @property
    def version(self) -> SemVer:
        """The version."""
        return self.versioned_experiment.version

    @property
    def address(self) -> str:
        """The folder of the run, an absolute path or an address in a bucket."""
        return self.run.store.locate("")

    def _place(self) -> tuple[str, str]:
        store = self._run.store if self._run is not None else self.versioned_experiment.base_experiment._place()[0]
        root = store.locate("")
        return self.experiment_id, root.removesuffix(f"/{self.experiment_id}")


def _with_reuse(prepared: Prepared, store: Store, reuse: str | None) -> Prepared:
    """Plan what an earlier run has computed. Where there is no run yet, a script that says so runs all."""
    from scythe_cli.preparation.reuse import Reuse, with_reuse

    if reuse is None or find.latest_version(store, prepared.name) is None:
        return prepared
    return with_reuse(prepared, store, Reuse(reuse))

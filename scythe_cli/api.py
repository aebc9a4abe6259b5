"""The Python API, with the names that users of scythe-engine know, over the same code as the commands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import total_ordering
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import BaseModel

from scythe_cli.core import layout
from scythe_cli.engines.open_engine import open_engine
from scythe_cli.errors import ConfigError, EntryPointError, NotFoundError, did_you_mean
from scythe_cli.experiment import config, experiment, importer
from scythe_cli.run import find
from scythe_cli.run.version import SemVer
from scythe_cli.run_future import Ref
from scythe_cli.storage.address import is_remote
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from scythe_cli.compat import RecursionMap, ScytheStorageSettings
    from scythe_cli.operations.download import DownloadReport
    from scythe_cli.operations.gather import FinalReport
    from scythe_cli.operations.status import RunStatus
    from scythe_cli.run.run import Run
    from scythe_cli.run.version import Bump
    from scythe_cli.storage.base import Store

Versioning = Literal["bumpmajor", "bumpminor", "bumppatch", "keep"]
_BUMPS: dict[str, Bump] = {"bumpmajor": "major", "bumpminor": "minor", "bumppatch": "patch", "keep": "keep"}


class ExperimentRun:
    """One run: its properties, and the operations on it as methods."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.run.id}>"

    @property
    def experiment_id(self) -> str:
        """name/version/time."""
        return self.run.id

    @property
    def version(self) -> SemVer:
        """The version."""
        return self.run.version

    @property
    def timestamp(self) -> datetime:
        """When it was claimed, UTC."""
        return datetime.strptime(self.run.id.rpartition("/")[2], layout.TIME_FORMAT).replace(tzinfo=UTC)

    @property
    def address(self) -> str:
        """The folder of the run, an absolute path or an address in a bucket."""
        return self.run.store.locate("")

    def status(self, *, errors: bool = False) -> RunStatus:
        """Counts, rate and ETA, from the store alone; with `errors`, failures by kind, type and place."""
        from scythe_cli.operations.status import status

        return status(self.run, errors=errors)

    def gather(self, *, partial: bool = False) -> FinalReport:
        """Build the final tables. Raises `NotFinishedError` when specs are missing, unless `partial`."""
        from scythe_cli.operations.gather import gather

        return gather(self.run, partial=partial)

    def download(
        self, dest: str | Path | None = None, *, files: bool = False, only_field: str | None = None
    ) -> DownloadReport:
        """Fetch the final tables, and with `files` the result files, to a folder on this disk."""
        from scythe_cli.operations.download import download

        target = Path(dest) if dest is not None else Path(f"{self.run.name}-{self.run.version}")
        return download(self.run.store, target, files=files, only_field=only_field, fields=self.run.manifest.files)

    def results(self) -> dict[str, str]:
        """The address of each final table by name."""
        entries = self.run.store.list(layout.FINAL)
        names = sorted(Path(entry.key).stem for entry in entries if entry.key.endswith(".pq"))
        return {name: self.run.store.locate(layout.final(name)) for name in names}

    def table(self, name: str) -> pl.DataFrame:
        """One final table. Raises `NotFoundError` when no table has this name."""
        import polars as pl

        known = self.results()
        if name not in known:
            there = ", ".join(known) or "none yet"
            raise NotFoundError(f"{self.run.id} has no final table {name!r} ({there}).{did_you_mean(name, known)}")
        return pl.read_parquet(self.run.store.read(layout.final(name)))

    def scalars(self) -> pl.DataFrame:
        """scalars.pq: one row for each spec that succeeded."""
        return self.table(layout.SCALARS)

    def errors(self) -> pl.DataFrame:
        """errors.pq: one row for each spec that failed."""
        return self.table(layout.ERRORS)


class BaseExperiment:
    """An experiment that can be allocated.

    Args:
        experiment: the function (or input model with a `run` method).
        run_name: the name of the runs' folder; the experiment's unless given.
        storage: where runs live: a folder, relative to the current one, or s3://bucket/prefix. Unless it is given, the
            environment's `SCYTHE_STORAGE` or `SCYTHE_STORAGE_BUCKET`, else `scythe-runs` next to the function's module.
        storage_settings: a bucket, as users of the original give it.
        engine: local or hatchet.
    """

    def __init__(
        self,
        *,
        experiment: Callable[..., Any],
        run_name: str | None = None,
        storage: str | Path | None = None,
        storage_settings: ScytheStorageSettings | None = None,
        engine: Literal["local", "hatchet"] | None = None,
    ) -> None:
        self.experiment = experiment
        self.run_name = run_name
        self._storage = _storage(storage, storage_settings)
        self._engine = engine

    def allocate(
        self,
        specs: Any,
        version: Versioning | SemVer = "bumpmajor",
        *,
        storage: str | Path | None = None,
        engine: Literal["local", "hatchet"] | None = None,
        overwrite_sort_index: bool = True,
        run_name: str | None = None,
        storage_settings: ScytheStorageSettings | None = None,
        recursion_map: RecursionMap | None = None,
        **settings: object,
    ) -> tuple[ExperimentRun, Ref]:
        """Check the specs, claim a run, and have it worked through in the background.

        Args:
            specs: a list of input models (or one), a polars, pandas or arrow table, or a path. Relative paths, of the
                table and in its file fields, start from the current folder.
            version: bumpmajor, bumpminor, bumppatch, keep, or a `SemVer`; the first run ever is v1.0.0.
            storage: a folder or s3://bucket/prefix.
            engine: local or hatchet.
            overwrite_sort_index: number the specs by their place; otherwise a given sort_index stays.
            run_name: the name of the runs' folder.
            storage_settings: a bucket, as users of the original give it.
            recursion_map: the shape of the fan-out on Hatchet.
            **settings: keys under `run`: timeout="10m", retries=2, workers=4.

        Returns:
            The run, and what waits for it.

        Raises:
            InputError: something is wrong with the specs, a file, a setting; nothing was written.
            StoreError: the store refuses.
        """
        from scythe_cli.operations.allocate import begin, first_work, prepare, start

        _refuse_at_import()
        wanted = _bump(version)
        shape = {f"tree.{key}": value for key, value in (recursion_map.model_dump() if recursion_map else {}).items()}
        loaded, found = self._loaded(
            storage=_storage(storage, storage_settings),
            engine=engine,
            name=run_name,
            **shape,
            **{f"run.{key}": value for key, value in settings.items()},
        )
        here = replace(loaded, folder=Path.cwd())
        prepared = prepare(here, found, specs=_source(specs), overwrite_sort_index=overwrite_sort_index)
        opened = open_engine(prepared.file)
        run = begin(prepared, open_store(prepared.file.storage), version=wanted)
        work = first_work(run, prepared)
        return ExperimentRun(run), Ref(work, start(work, opened))

    def list_versions(self) -> list[VersionedExperiment]:
        """The versions that have runs, lowest first."""
        store, name = self._place()
        real = [v for v in find.versions(store, name) if next(find.real_runs(store, name, v), None) is not None]
        return [VersionedExperiment(base_experiment=self, version=version) for version in sorted(real)]

    def latest_version(self) -> VersionedExperiment | None:
        """The highest version that has a run, or None."""
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
        """The final tables of the latest run, by name. Raises `NotFoundError` when there is no run."""
        return self.latest_run.results()

    def latest_results_for_version(self, version: SemVer) -> dict[str, str]:
        """The final tables of one version's latest run, by name. Raises `NotFoundError` when there is no run."""
        return VersionedExperiment(base_experiment=self, version=version).latest_run_results

    def _loaded(self, **values: object) -> tuple[config.Loaded, experiment.Experiment]:
        found = experiment.from_function(self.experiment)
        given: dict[str, object] = {"experiment": found.target, "name": self.run_name}
        given |= {"storage": self._storage, "engine": self._engine}
        given |= {key: value for key, value in values.items() if value is not None}
        loaded = config.from_values(given, folder=found.folder, options=found.options.settings())
        return loaded.with_name(found.name), found

    def _place(self) -> tuple[Store, str]:
        loaded, _ = self._loaded()
        return open_store(loaded.file.storage), cast("str", loaded.file.name)


@total_ordering
@dataclass(frozen=True, kw_only=True)
class VersionedExperiment:
    """One version of an experiment and its runs."""

    base_experiment: BaseExperiment
    version: SemVer

    def __str__(self) -> str:
        return str(self.version)

    def __lt__(self, other: VersionedExperiment) -> bool:
        return self.version < other.version

    def list_runs(self) -> list[ExperimentRun]:
        """The runs of this version, latest first."""
        store, name = self.base_experiment._place()
        return [ExperimentRun(run) for run in find.real_runs(store, name, self.version)]

    @property
    def latest_run(self) -> ExperimentRun:
        """The latest run of this version. Raises `NotFoundError` when there is none."""
        store, name = self.base_experiment._place()
        for run in find.real_runs(store, name, self.version):
            return ExperimentRun(run)
        raise NotFoundError(f"{name} {self.version} has no run in {store.locate('')}")

    @property
    def latest_run_results(self) -> dict[str, str]:
        """The final tables of the latest run, by name."""
        return self.latest_run.results()


def _refuse_at_import() -> None:
    if importer.is_importing():
        raise EntryPointError(
            "a module that is imported to run its experiment starts a run itself",
            hint='put what a script does under `if __name__ == "__main__":`',
        )


def _bump(version: Versioning | SemVer) -> Bump | SemVer:
    if isinstance(version, SemVer):
        return version
    if version not in _BUMPS:
        near = did_you_mean(str(version), _BUMPS)
        raise ConfigError(f"version = {version!r} must be one of {', '.join(_BUMPS)}, or a SemVer.{near}")
    return _BUMPS[version]


def _source(specs: Any) -> Any:
    """What `prepare` takes: a path from the current folder; one model is a list of one."""
    if isinstance(specs, BaseModel):
        return [specs]
    if isinstance(specs, str | Path) and not is_remote(specs):
        return Path(specs).expanduser().absolute()
    return specs


def _storage(storage: str | Path | None, settings: ScytheStorageSettings | None) -> str | None:
    if storage is not None and settings is not None:
        raise ConfigError("storage and storage_settings say the same thing; give one of them")
    return settings.address if settings is not None else None if storage is None else str(storage)

"""Python's door to the verbs: the names that users of the original know, over the same code as the commands."""

from __future__ import annotations

import asyncio
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from scythe_cli import config, experiment, layout
from scythe_cli import run as runs
from scythe_cli.backends import open_engine, open_store
from scythe_cli.errors import ConfigError, EngineError, Interrupted, NotFinishedError, NotFoundError, did_you_mean
from scythe_cli.events import ignore
from scythe_cli.run import SemVer

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from scythe_cli.allocate import Allocation
    from scythe_cli.download import DownloadReport
    from scythe_cli.engines.base import Ticket, Work
    from scythe_cli.events import Event, Listener
    from scythe_cli.gather import FinalReport
    from scythe_cli.run import Bump, Run
    from scythe_cli.status import RunStatus
    from scythe_cli.stores.base import Store

Versioning = Literal["bumpmajor", "bumpminor", "bumppatch", "keep"]
_BUMPS: dict[str, Bump] = {"bumpmajor": "major", "bumpminor": "minor", "bumppatch": "patch", "keep": "keep"}


class RecursionMap(BaseModel):
    """The shape of the fan-out on Hatchet."""

    model_config = ConfigDict(extra="forbid")

    factor: int = Field(default=16, ge=2, description="Children of one node.")
    max_depth: int = Field(default=4, ge=0, description="Levels of nodes between the root and the leaves.")


class ScytheStorageSettings(BaseModel):
    """A bucket as users of the original name it."""

    model_config = ConfigDict(extra="forbid")

    BUCKET: str = Field(description="The name of the S3 bucket to use.")
    BUCKET_PREFIX: str = Field(default="scythe", description="The prefix to use for the S3 bucket.")

    @property
    def address(self) -> str:
        """s3://bucket/prefix."""
        return f"s3://{self.BUCKET}/{self.BUCKET_PREFIX}".rstrip("/")


class ScytheWorkerConfig:
    """A worker started from Python; every setting also comes from `SCYTHE_WORKER_*`."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def start(self) -> None:
        """Serve what `ExperimentRegistry` holds until stopped."""
        from scythe_cli.worker import serve_registered

        serve_registered(**self._settings)


@dataclass(frozen=True)
class ExperimentRun:
    """One run."""

    run: Run = field(repr=False)

    @property
    def experiment_id(self) -> str:
        """name/version/time."""
        return self.run.id

    @property
    def version(self) -> SemVer:
        """The version."""
        return self.run.version

    @property
    def address(self) -> str:
        """The run's folder: an absolute path, or s3://."""
        return self.run.store.locate("")

    def status(self, *, errors: bool = False) -> RunStatus:
        """Counts, rate and ETA, from the store alone; with `errors`, failures by kind, type and place."""
        from scythe_cli.status import status

        return status(self.run, errors=errors)

    def gather(self, *, partial: bool = False) -> FinalReport:
        """Build the final tables. Raises `NotFinishedError` when specs are missing, unless `partial`."""
        from scythe_cli.gather import gather

        return gather(self.run, partial=partial)

    def download(
        self, dest: str | Path | None = None, *, files: bool = False, only_field: str | None = None
    ) -> DownloadReport:
        """Fetch the final tables, and with `files` the result files, to a folder on this disk."""
        from scythe_cli.download import download

        target = Path(dest) if dest is not None else Path(f"{self.run.name}-{self.run.version}")
        return download(self.run.store, target, files=files, only_field=only_field)

    def results(self) -> dict[str, str]:
        """The address of each final table by name."""
        entries = self.run.store.list(layout.FINAL)
        names = sorted(Path(entry.key).stem for entry in entries if entry.key.endswith(".pq"))
        return {name: self.run.store.locate(layout.final(name)) for name in names}

    def table(self, name: str) -> pl.DataFrame:
        """One final table. Raises `NotFoundError` when there is none of this name."""
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


class Ref:
    """A run under way: wait for it with `result()` or `await aio_result()`."""

    def __init__(self, work: Work, ticket: Ticket) -> None:
        self._work = work
        self._ticket = ticket
        self._done = threading.Event()
        self._listener: Listener = ignore
        self._allocation: Allocation | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._follow, name="scythe-run")
        self._thread.start()
        # Executors shut down before ordinary threads are joined at exit, and the run still needs its own; what is
        # registered here, later than theirs, runs before it.
        threading._register_atexit(self._thread.join)  # type: ignore[attr-defined]  # the hook concurrent.futures uses

    @property
    def workflow_run_id(self) -> str | None:
        """The engine's id of the run."""
        return self._ticket.workflow_run_id

    def _follow(self) -> None:
        from scythe_cli.allocate import finish

        try:
            self._allocation = finish(self._work, self._ticket, self._tell)
        except BaseException as exc:  # noqa: BLE001 - raised again where somebody waits
            self._error = exc
        finally:
            self._done.set()

    def _tell(self, event: Event) -> None:
        self._listener(event)

    def stop(self) -> None:
        """Ask the run to end, as Ctrl-C does a command; the second time, at once."""
        self._ticket.stop()

    def result(self) -> dict[str, str]:
        """Wait for the final tables.

        Returns:
            The address of each by name: scalars, errors, result_file_refs, and the user's frames.

        Raises:
            ScytheError: what stopped the run.
        """
        if sys.stderr.isatty():
            from scythe_cli.cli.ui import Terminal

            with Terminal() as terminal:
                terminal.follow(self._work.run.total)
                self._listener = terminal
                self._wait()
                self._listener = ignore
        else:
            self._wait()
        return self._outcome()

    async def aio_result(self) -> dict[str, str]:
        """The same, for asyncio."""
        await asyncio.to_thread(self._done.wait)
        return self._outcome()

    def _wait(self) -> None:
        try:
            self._done.wait()
        except KeyboardInterrupt:
            self._ticket.stop()
            self._done.wait()

    def _outcome(self) -> dict[str, str]:
        if self._error is not None:
            raise self._error
        allocation = self._allocation
        if allocation is None:
            raise EngineError("the run ended without a word")
        if allocation.ended is not None:
            kind = Interrupted if allocation.ended.reason == "interrupted" else NotFinishedError
            raise kind(allocation.ended.detail, hint=f"scythe allocate --resume {allocation.run.id}")
        return dict(allocation.final.tables) if allocation.final is not None else {}


class BaseExperiment:
    """An experiment that can be allocated.

    Args:
        experiment: the function (or input model with a `run` method).
        run_name: the name of the runs' folder; the experiment's unless given.
        storage: where runs live: a folder or s3://bucket/prefix.
        storage_settings: the same, as users of the original give it.
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

    def _loaded(self, **values: object) -> tuple[config.Loaded, experiment.Experiment]:
        found = experiment.of(self.experiment)
        given = {"experiment": found.target, "storage": self._storage, "engine": self._engine, "name": self.run_name}
        given |= {key: value for key, value in values.items() if value is not None}
        loaded = config.from_values(given, folder=found.folder, options=found.options.settings())
        return loaded.with_name(found.name), found

    def _place(self) -> tuple[Store, str]:
        loaded, _ = self._loaded()
        return open_store(loaded.file.storage), cast("str", loaded.file.name)

    def allocate(
        self,
        specs: Any,
        version: Versioning | SemVer = "keep",
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
            specs: a list of input models, a polars, pandas or arrow table, or a path.
            version: bumpmajor, bumpminor, bumppatch, keep, or a `SemVer`.
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
        from scythe_cli.allocate import begin, first_work, prepare, start

        if not isinstance(version, SemVer) and version not in _BUMPS:
            raise ConfigError(f"version = {version!r} must be one of {', '.join(_BUMPS)}, or a SemVer")
        shape = {f"tree.{key}": value for key, value in (recursion_map.model_dump() if recursion_map else {}).items()}
        loaded, found = self._loaded(
            storage=_storage(storage, storage_settings),
            engine=engine,
            name=run_name,
            **shape,
            **{f"run.{key}": value for key, value in settings.items()},
        )
        prepared = prepare(loaded, found, specs=specs, overwrite_sort_index=overwrite_sort_index)
        opened = open_engine(prepared.file)
        bump = version if isinstance(version, SemVer) else _BUMPS[version]
        run = begin(prepared, open_store(prepared.file.storage), version=bump)
        work = first_work(run, prepared)
        return ExperimentRun(run), Ref(work, start(work, opened))

    def list_versions(self) -> list[SemVer]:
        """The versions that have runs, lowest first."""
        store, name = self._place()
        return sorted(v for v in runs.versions(store, name) if next(runs.real_runs(store, name, v), None) is not None)

    def latest_version(self) -> SemVer | None:
        """The highest version that has a run."""
        return runs.latest_version(*self._place())

    @property
    def latest_run(self) -> ExperimentRun | None:
        """The latest run of the highest version."""
        store, name = self._place()
        version = runs.latest_version(store, name)
        return None if version is None else VersionedExperiment(base_experiment=self, version=version).latest_run

    @property
    def latest_results(self) -> dict[str, str]:
        """The final tables of the latest run, by name; empty where there are none."""
        latest = self.latest_run
        return {} if latest is None else latest.results()


@dataclass(frozen=True, kw_only=True)
class VersionedExperiment:
    """One version of an experiment and its runs."""

    base_experiment: BaseExperiment
    version: SemVer

    def list_runs(self) -> list[ExperimentRun]:
        """The runs of this version, latest first."""
        store, name = self.base_experiment._place()
        return [ExperimentRun(run) for run in runs.real_runs(store, name, self.version)]

    @property
    def latest_run(self) -> ExperimentRun | None:
        """The latest run of this version."""
        return next(iter(self.list_runs()), None)

    @property
    def latest_results(self) -> dict[str, str]:
        """The final tables of the latest run, by name."""
        latest = self.latest_run
        return {} if latest is None else latest.results()


def _storage(storage: str | Path | None, settings: ScytheStorageSettings | None) -> str | None:
    if storage is not None and settings is not None:
        raise ConfigError("storage and storage_settings say the same thing; give one of them")
    return settings.address if settings is not None else None if storage is None else str(storage)

"""A run: its manifest, its folder, and the ids of its specs.

Reads and writes manifest.yml. Allocate writes it last. A folder without a manifest is not a run, and nothing lists it.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from scythe_cli.core import layout, yaml_document
from scythe_cli.core.printable import printable
from scythe_cli.errors import BrokenRun, ConfigError, KeyMissing, NotFoundError
from scythe_cli.experiment import config
from scythe_cli.experiment.settings import EngineName
from scythe_cli.run.version import SemVer
from scythe_cli.storage.address import is_remote
from scythe_cli.storage.base import MANIFEST_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scythe_cli.storage.base import Store


MAX_SPECS = 1_000_000_000
"""More rows than any run has: a larger number in a manifest is a mistake or an attack."""


def _run_id(text: str) -> str:
    if not layout.is_run_id(text):
        raise ValueError("must be name/version/time")
    return text


RunId = Annotated[str, AfterValidator(_run_id)]
Line = Annotated[str, AfterValidator(lambda text: str(printable(text)))]
"""What messages repeat: one printable line, whoever wrote it."""


class Manifest(BaseModel):
    """manifest.yml: what a run is. Written when all that leaves need is in place; an engine's id is added later."""

    model_config = ConfigDict(extra="forbid")

    experiment_id: RunId = Field(description="name/version/time, the run's folder below the storage.")
    experiment_name: Line = Field(description="The name of the experiment's task.")
    input_artifacts: str = Field(description="Address of input_artifacts.yml.")
    io_spec: str = Field(description="Address of experiment_io_spec.yml.")
    specs_uri: str = Field(description="Address of specs.pq.")
    workflow_run_id: str | None = Field(description="The engine's id of the run; for the local engine, the root id.")
    root_workflow_run_id: Line = Field(description="Created when the run is claimed; the same after every resume.")
    created: datetime = Field(description="When the run was claimed, UTC.")
    n_specs: int = Field(ge=0, le=MAX_SPECS, description="Number of rows in specs.pq.")
    block_size: int = Field(description="Number of rows in one block of specs.pq.")
    entry_point: Line = Field(description="module:function or file.py:function, as written in the experiment file.")
    source_hash: Line = Field(description="SHA-256 hash of the experiment's own source files.")
    git_commit: str | None = Field(
        description="The git commit of the experiment's folder; -dirty is added if it has changes."
    )
    packages: dict[str, str] = Field(description="Versions of the packages that the experiment's modules import.")
    python: Line = Field(description="The version of Python that started the run.")
    host: Line = Field(description="The machine that started the run.")
    engine: EngineName = Field(
        description="Where specs run: `local` (this machine), `hatchet` (workers of a Hatchet server) `shared` "
        "(workers that share the storage, without a server) or `slurm` (the same, as an array job)."
    )
    seed: int = Field(default=0, description="`run.seed`: of the random numbers that `input_spec.rng()` gives.")
    index: list[str] = Field(description="The index columns of the final tables, in order.")
    scalars: list[str] = Field(description="The columns of scalars.pq that are outputs.")
    files: list[str] = Field(description="The columns of result_file_refs.pq that are outputs.")
    place: Line = Field(description="Where the function is defined: function (file.py:line).")
    code_version: Line | None = Field(
        default=None, description="The name that Register(version=...) gives to the code; null where it gives none."
    )
    design: dict[str, Any] | None = Field(
        default=None,
        description="What made the specs, where a design did: method, n, seed, space, versions of the libraries.",
    )


@dataclass(frozen=True)
class Run:
    """A real run: its store, rooted at its folder, and its manifest."""

    store: Store
    manifest: Manifest

    @property
    def id(self) -> str:
        """name/version/time."""
        return self.manifest.experiment_id

    @property
    def name(self) -> str:
        """The first part of the id."""
        return self.id.rsplit("/", 2)[0]

    @property
    def version(self) -> SemVer:
        """The second part of the id."""
        return SemVer.FromString(self.id.rsplit("/", 2)[1])

    @property
    def total(self) -> int:
        """The number of specs."""
        return self.manifest.n_specs

    @property
    def is_copy(self) -> bool:
        """Whether its folder is called otherwise than by its id: it was copied, or moved."""
        return not self.store.address.endswith(f"/{self.id}")

    def count(self, key: str) -> int:
        """The rows of a table; 0 where there is none."""
        import polars as pl

        with suppress(KeyMissing):
            self.store.stat(key)
            return int(self.store.scan([key]).select(pl.len()).collect().item())
        return 0

    def experiment_file(self) -> config.ExperimentFile:
        """The frozen experiment file, which rules every resume."""
        text = self.store.read(layout.EXPERIMENT_FILE, limit=MANIFEST_LIMIT).decode(errors="replace")
        return config.parse(text, place=layout.EXPERIMENT_FILE)


@dataclass(frozen=True)
class DownloadedRun(Run):
    """What a download brought of a run: its tables and what says what it is. It is read and never continued."""


@dataclass(frozen=True)
class OriginalRun(Run):
    """A run that scythe-engine made. Its tables can be read; it is never changed, continued or gathered."""

    @property
    def total(self) -> int:
        """The number of specs, from specs.pq."""
        return self.count(layout.SPECS)


def refuse_download(run: Run) -> None:
    """Raise `ConfigError` for a download of a run: what is asked needs all of the run."""
    if isinstance(run, DownloadedRun):
        raise ConfigError(
            f"{run.store.locate('')} is a download of {run.id}: it has the tables, and not all of the run; "
            "name the run in its storage"
        )


def refuse_original(run: Run) -> None:
    """Raise `ConfigError` for a run that scythe-engine made, and for a download: what is asked needs all of a run."""
    refuse_download(run)
    if isinstance(run, OriginalRun):
        raise ConfigError(
            f"{run.id} was made by scythe-engine: scythe reads its tables and does not change it",
            hint=f"scythe download {run.store.locate('')}",
        )


def spec_id_prefix(run_id: str) -> str:
    """The first 23 characters of every spec's UUIDv8 in a run (RFC 9562, section 5.8): from a hash of the run id."""
    digits = hashlib.sha256(run_id.encode()).hexdigest()
    variant = "89ab"[int(digits[15], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-8{digits[12:15]}-{variant}{digits[16:19]}"


def spec_id(run_id: str, sort_index: int) -> str:
    """The workflow_run_id of one spec: the run's prefix and the sort_index in twelve hex digits."""
    return f"{spec_id_prefix(run_id)}-{sort_index:012x}"


def write_manifest(store: Store, manifest: Manifest) -> None:
    """Make the run real; or, later, add the engine's id."""
    store.write(layout.MANIFEST, yaml_document.write(manifest.model_dump(mode="json")).encode())


def open_run(storage: Store, run_id: str) -> Run:
    """The run with this id.

    Raises:
        NotFoundError: there is none, or it never got its manifest.
        BrokenRun: its manifest is not what was written.
    """
    store = storage.within(run_id)
    try:
        data = store.read(layout.MANIFEST, limit=MANIFEST_LIMIT)
    except KeyMissing:
        raise NotFoundError(f"{store.locate('')} is not a run: it has no {layout.MANIFEST}") from None
    try:
        found = _read_manifest(data)
        if (original := _of_scythe_engine(store, found)) is not None:
            return original
        kind = DownloadedRun if _is_download(store) else Run
        return kind(store, Manifest.model_validate(found))
    except (ConfigError, ValueError) as exc:
        raise BrokenRun(
            f"{store.locate(layout.MANIFEST)} is empty, cut or changed, or was written by another version of scythe",
            hint="restore it from a copy; other runs are not affected",
        ) from exc


@lru_cache(maxsize=16)
def _read_manifest(data: bytes) -> dict[str, Any]:
    """The content of a manifest. Whoever looks for the latest of some runs reads the same ones again."""
    return yaml_document.read(data.decode(), layout.MANIFEST).data


def _is_download(store: Store) -> bool:
    return not is_remote(store.address) and (Path(store.address) / layout.DOWNLOAD_RECORD).is_file()


_KEYS_OF_SCYTHE_ENGINE = {
    "experiment_id",
    "experiment_name",
    "input_artifacts",
    "io_spec",
    "specs_uri",
    "workflow_run_id",
}


def _of_scythe_engine(store: Store, found: Mapping[str, Any]) -> OriginalRun | None:
    """A run whose manifest has the keys of scythe-engine and none of ours."""
    if set(found) != _KEYS_OF_SCYTHE_ENGINE or not layout.is_run_time(str(found["experiment_id"]).rpartition("/")[2]):
        return None
    engine_id = str(found["workflow_run_id"])
    manifest = bare_manifest(
        _in_its_folder(str(found["experiment_id"])),
        experiment_name=str(found["experiment_name"]),
        input_artifacts=str(found["input_artifacts"] or store.locate(layout.INPUT_ARTIFACTS)),
        io_spec=str(found["io_spec"]),
        specs_uri=str(found["specs_uri"]),
        workflow_run_id=engine_id,
        root_workflow_run_id=engine_id,
        engine="hatchet",
    )
    return OriginalRun(store, manifest)


def bare_manifest(run_id: str, **known: Any) -> Manifest:
    """A manifest that says what is known, and nothing else; the time is that of the id."""
    moment = datetime.strptime(run_id.rpartition("/")[2], layout.TIME_FORMAT)
    unknown: dict[str, Any] = {
        "experiment_name": "",
        "input_artifacts": "",
        "io_spec": "",
        "specs_uri": "",
        "workflow_run_id": None,
        "root_workflow_run_id": "",
        "created": moment.replace(tzinfo=UTC),
        "n_specs": 0,
        "block_size": layout.BLOCK,
        "entry_point": "",
        "source_hash": "",
        "git_commit": None,
        "packages": {},
        "python": "",
        "host": "",
        "engine": "local",
        "index": [],
        "scalars": [],
        "files": [],
        "place": "",
    }
    return Manifest.model_validate({**unknown, **known, "experiment_id": run_id})


def _in_its_folder(run_id: str) -> str:
    """The id of a run of scythe-engine; of one inside of another run's folder, the id that it has there."""
    parts = run_id.split("/")
    outer = max((at for at, part in enumerate(parts[:-1]) if layout.is_run_time(part)), default=-1)
    return "/".join(parts[outer + 1 :])

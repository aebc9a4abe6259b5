"""A run and how it is claimed, opened and found.

Takes a store and names; leaves, at allocate, the claim (the first write, by conditional create) and the manifest (the
last, which makes the run real). Without a manifest nothing lists a run.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import total_ordering
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from scythe_cli.core import layout, processes, yaml_document
from scythe_cli.errors import BrokenRun, ConfigError, KeyExists, KeyMissing, NotFoundError, did_you_mean
from scythe_cli.experiment import config, setting_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scythe_cli.storage.base import Store

Bump = Literal["major", "minor", "patch", "keep"]
CLAIM_TRIES = 3600
"""Seconds ahead of now that a claim looks for a free one."""
TASK_PREFIX = "scythe_experiment_"
"""What stands before an experiment's name in the manifest, and in its leaf task's on Hatchet."""
_VERSION = re.compile(r"v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


@total_ordering
@dataclass(frozen=True)
class SemVer:
    """A version, ordered as numbers: v1.10.0 comes after v1.9.0."""

    major: int = 1
    minor: int = 0
    patch: int = 0

    @classmethod
    def FromString(cls, text: str) -> SemVer:  # noqa: N802 - the name that users of the original know
        """Read "v1.2.3" or "1.2.3". Raises `ConfigError`."""
        found = _VERSION.fullmatch(text)
        if found is None:
            raise ConfigError(f"{text!r} is not a version: write three numbers, as in v1.2.3")
        return cls(*map(int, found.groups()))

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}"

    def __lt__(self, other: SemVer) -> bool:
        return (self.major, self.minor, self.patch) < (other.major, other.minor, other.patch)

    def next_major_version(self) -> SemVer:
        """v1.2.3 -> v2.0.0."""
        return SemVer(self.major + 1, 0, 0)

    def next_minor_version(self) -> SemVer:
        """v1.2.3 -> v1.3.0."""
        return SemVer(self.major, self.minor + 1, 0)

    def next_patch_version(self) -> SemVer:
        """v1.2.3 -> v1.2.4."""
        return SemVer(self.major, self.minor, self.patch + 1)

    def bumped(self, bump: Bump) -> SemVer:
        """The version after this one."""
        match bump:
            case "major":
                return self.next_major_version()
            case "minor":
                return self.next_minor_version()
            case "patch":
                return self.next_patch_version()
            case "keep":
                return self


class Manifest(BaseModel):
    """manifest.yml: what a run is. Written when all that leaves need is in place; an engine's id is added later."""

    model_config = ConfigDict(extra="forbid")

    experiment_id: str = Field(description="name/version/time, the run's folder below the storage.")
    experiment_name: str = Field(description="The name of the experiment's task.")
    input_artifacts: str = Field(description="Address of input_artifacts.yml.")
    io_spec: str = Field(description="Address of experiment_io_spec.yml.")
    specs_uri: str = Field(description="Address of specs.pq.")
    workflow_run_id: str | None = Field(description="The engine's id of the run; the local engine's is the root id.")
    root_workflow_run_id: str = Field(description="Minted at the claim; stays through every resume.")
    created: datetime = Field(description="When the run was claimed, UTC.")
    n_specs: int = Field(ge=0, description="Rows of specs.pq.")
    block_size: int = Field(description="Rows of specs.pq in one block.")
    entry_point: str = Field(description="module:function or file.py:function, as the experiment file has it.")
    source_hash: str = Field(description="SHA-256 of the experiment's own source files.")
    git_commit: str | None = Field(
        description="The commit of the experiment's folder, with -dirty when it has changes."
    )
    packages: dict[str, str] = Field(description="Versions of the packages that the experiment's modules import.")
    python: str = Field(description="The Python that allocated.")
    host: str = Field(description="The machine that allocated.")
    engine: Literal["local", "hatchet"] = Field(description="What decides where and when specs run.")
    index: list[str] = Field(description="The index columns of the final tables, in order.")
    scalars: list[str] = Field(description="The columns of scalars.pq that are outputs.")
    files: list[str] = Field(description="The columns of result_file_refs.pq that are outputs.")
    place: str = Field(description="Where the function is defined: function (file.py:line).")


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
        return self.id.split("/")[0]

    @property
    def version(self) -> SemVer:
        """The second part of the id."""
        return SemVer.FromString(self.id.split("/")[1])

    @property
    def total(self) -> int:
        """The number of specs."""
        return self.manifest.n_specs

    @property
    def is_copy(self) -> bool:
        """Whether its folder is called otherwise than by its id: it was copied, or moved."""
        return not self.store.address.endswith(f"/{self.id}")

    def experiment_file(self) -> config.ExperimentFile:
        """The frozen experiment file, which rules every resume."""
        return config.parse(self.store.read(layout.EXPERIMENT_FILE).decode(), place=layout.EXPERIMENT_FILE)


@dataclass(frozen=True)
class Claim:
    """A run id that is ours and no run yet."""

    store: Store
    id: str
    created: datetime
    root_workflow_run_id: str


def claim(
    storage: Store, name: str, version: SemVer, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Claim:
    """Take the next free run id: this second's, or the first second after it that nobody has.

    Raises:
        StoreError: the store refuses writes, or lets two creates of one key both succeed.
    """
    moment = now().replace(microsecond=0)
    for _ in range(CLAIM_TRIES):
        run_id = f"{name}/{version}/{layout.run_time(moment)}"
        store = storage.within(run_id)
        root = str(uuid.uuid4())
        note = {
            "experiment_id": run_id,
            "root_workflow_run_id": root,
            "host": processes.host(),
            "pid": os.getpid(),
            "user": _user(),
            "created": moment.isoformat(),
        }
        try:
            store.write(layout.CLAIM, yaml_document.write(note).encode(), new=True)
        except KeyExists:
            moment += timedelta(seconds=1)
            continue
        return Claim(store, run_id, moment, root)
    raise NotFoundError(f"no free run id for {name}/{version} in the next {CLAIM_TRIES} seconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


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
        data = store.read(layout.MANIFEST)
    except KeyMissing:
        raise NotFoundError(f"{store.locate('')} is no run: it has no {layout.MANIFEST}") from None
    try:
        return Run(store, Manifest.model_validate(yaml_document.read(data.decode(), layout.MANIFEST).data))
    except (ConfigError, ValueError) as exc:
        raise BrokenRun(
            f"{store.locate(layout.MANIFEST)} is empty, cut or changed, or of another version of scythe",
            hint="put a copy of it back, or remove the run's folder",
        ) from exc


def names(storage: Store) -> list[str]:
    """The names of experiments that have a folder."""
    return [name for name in storage.children() if layout.is_safe_name(name)]


def versions(storage: Store, name: str) -> list[SemVer]:
    """The versions of an experiment that have a folder, highest first."""
    return sorted((SemVer.FromString(v) for v in storage.children(name) if _VERSION.fullmatch(v)), reverse=True)


def real_runs(storage: Store, name: str, version: SemVer) -> Iterator[Run]:
    """The runs of one version, latest first; claims without a manifest are passed over."""
    folder = f"{name}/{version}"
    for moment in sorted(filter(layout.is_run_time, storage.children(folder)), reverse=True):
        try:
            yield open_run(storage, f"{folder}/{moment}")
        except NotFoundError:
            continue


def latest_version(storage: Store, name: str) -> SemVer | None:
    """The highest version that has a run."""
    return next((v for v in versions(storage, name) if next(real_runs(storage, name, v), None) is not None), None)


def next_version(storage: Store, name: str, bump: Bump | SemVer) -> SemVer:
    """The version a new run gets; the first run ever is v1.0.0 whatever the bump."""
    if isinstance(bump, SemVer):
        return bump
    latest = latest_version(storage, name)
    return SemVer() if latest is None else latest.bumped(bump)


def find(storage: Store, pattern: str) -> Run:
    """The run that `name`, `name/v1`, `name/v1.2.0` or `name/v1.2.0/time` means: highest version, then latest time.

    Raises:
        NotFoundError: nothing matches; the message names the nearest runs.
    """
    name, _, rest = pattern.strip("/").partition("/")
    wanted, _, moment = rest.partition("/")
    if moment and _VERSION.fullmatch(wanted) and layout.is_run_time(moment):
        try:
            return open_run(storage, f"{name}/{SemVer.FromString(wanted)}/{moment}")
        except NotFoundError:
            raise _nothing(storage, name, pattern) from None
    for version in versions(storage, name) if layout.is_safe_name(name) and not moment else []:
        if _matches(version, wanted):
            for run in real_runs(storage, name, version):
                return run
    raise _nothing(storage, name, pattern)


def _matches(version: SemVer, wanted: str) -> bool:
    """Whether "", "v1", "1.2" or "v1.2.3" means this version."""
    parts = wanted.removeprefix("v").split(".") if wanted else []
    return parts == str(version).removeprefix("v").split(".")[: len(parts)]


def _nothing(storage: Store, name: str, pattern: str) -> NotFoundError:
    known = names(storage)
    near = latest(storage, 3, only=name if name in known else None)
    hint = "the latest runs: " + ", ".join(run.id for run in near) if near else f"{storage.locate('')} holds no run"
    return NotFoundError(
        f"no run matches {pattern!r} in {storage.locate('')}.{did_you_mean(name, set(known) - {name})}", hint=hint
    )


def latest(
    storage: Store,
    n: int,
    *,
    only: str | None = None,
    on_broken: Callable[[BrokenRun], object] = lambda _: None,
) -> list[Run]:
    """The `n` latest runs, of one experiment or of all, latest first.

    Args:
        storage: where they live.
        n: how many at most.
        only: the name of the one experiment.
        on_broken: told of each that is passed over because its manifest is not what was written.
    """
    stamps = [
        (moment, f"{name}/{version}/{moment}")
        for name in ([only] if only else names(storage))
        for version in versions(storage, name)
        for moment in storage.children(f"{name}/{version}")
        if layout.is_run_time(moment)
    ]
    found: list[Run] = []
    for _, run_id in sorted(stamps, reverse=True):
        if len(found) == n:
            break
        try:
            found.append(open_run(storage, run_id))
        except NotFoundError:
            continue
        except BrokenRun as exc:
            on_broken(exc)
    return found


@dataclass(frozen=True)
class Where:
    """What a RUN on the command line means.

    Attributes:
        storage: the address of the runs' storage.
        pattern: what to find in it; empty where the storage is a run's own folder, whatever that is called.
        file: the experiment file that gave the pattern; its function may have registered under another name.
    """

    storage: str
    pattern: str
    file: str | None = None


def parse_where(text: str | None, *, storage: str | None = None) -> Where:
    """Read a RUN: a name with or without version and time, an address or a folder, or the path of an experiment file.

    Args:
        text: the RUN; None means the latest run of `./experiment.yml`.
        storage: the flag `--storage`.

    Raises:
        ConfigError: `text` is None and there is no `./experiment.yml`, or the file is wrong.
    """
    if text is None or text.endswith((".yml", ".yaml")):
        path = text or config.DEFAULT_FILE
        if text is None and not Path(path).exists():
            raise ConfigError(f"no RUN is given, and {path} is not here", hint="scythe status lists the latest runs")
        loaded = config.load(path, flags={"storage": storage})
        name = loaded.file.name or loaded.file.experiment.rpartition(":")[2]
        return Where(loaded.file.storage, name, str(path))
    with suppress(OSError, RuntimeError):  # a name that is too long for a file's, or begins with ~
        folder = setting_sources.absolute(Path(text).expanduser())
        if (folder / layout.MANIFEST).is_file():
            return Where(str(folder), "")
    trimmed = text.rstrip("/")
    head, _, tail = trimmed.rpartition("/")
    above, _, version = head.rpartition("/")
    root, _, name = above.rpartition("/")
    is_address = text.startswith(("s3://", "/", "./", "../", "~"))
    if root and layout.is_run_time(tail) and _VERSION.fullmatch(version):
        return Where(root if "://" in root else str(Path(root).expanduser().absolute()), f"{name}/{version}/{tail}")
    if text.startswith("s3://"):
        return Where(trimmed, "")
    if is_address:
        told = f"it has no {layout.MANIFEST}, and does not end in name/version/time"
        raise NotFoundError(f"{text!r} is not the address of a run: {told}")
    return Where(config.find_storage(storage), trimmed)

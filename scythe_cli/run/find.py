"""Which runs a storage has, and which one a RUN on the command line means.

Reads listings of names and the manifests of candidates; writes nothing.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.errors import ConfigError, KeyMissing, NotFoundError, StoreError, did_you_mean
from scythe_cli.experiment import config, setting_sources
from scythe_cli.run.run import Run, open_run
from scythe_cli.run.version import PATTERN as VERSION
from scythe_cli.run.version import SemVer
from scythe_cli.storage.address import Address, is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from scythe_cli.storage.base import Store


_PARTIAL = re.compile(r"(v?[0-9]{1,9}(\.[0-9]{1,9}){0,2})?")
LISTINGS = 3000
"""A storage may have folders of others. Looking for names stops after so many listings, nearest folders first."""
LISTERS = 16


def names(storage: Store) -> list[str]:
    """The names of experiments that have a version."""
    return sorted(_versions_by_name(storage))


def _versions_by_name(storage: Store) -> dict[str, list[SemVer]]:
    """Folders that have versions, and these. Nothing is looked for below them, nor below four folders."""
    found: dict[str, list[SemVer]] = {}
    left = LISTINGS
    with ThreadPoolExecutor(LISTERS) as pool:
        level = [name for name in storage.children() if layout.is_run_name(name)]
        while level and left > 0:
            level, left = level[:left], left - len(level)
            below: list[str] = []
            for name, children in zip(level, pool.map(storage.children, level), strict=True):
                if there := _versions(children):
                    found[name] = there
                else:
                    below += [one for child in children if layout.is_run_name(one := f"{name}/{child}")]
            level = below
    return found


def _versions(children: Iterable[str]) -> list[SemVer]:
    return sorted((SemVer.FromString(child) for child in children if VERSION.fullmatch(child)), reverse=True)


def versions(storage: Store, name: str) -> list[SemVer]:
    """The versions of an experiment that have a folder, highest first."""
    return _versions(storage.children(name))


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


def find(storage: Store, pattern: str) -> Run:
    """The run that `name`, `name/v1`, `name/v1.2.0` or `name/v1.2.0/time` means: highest version, then latest time.

    Raises:
        NotFoundError: nothing matches; the message names the nearest runs.
    """
    pattern = pattern.strip("/")
    head, _, last = pattern.rpartition("/")
    name, _, version = head.rpartition("/")
    if layout.is_run_name(name) and layout.is_run_time(last) and VERSION.fullmatch(version):
        try:
            return open_run(storage, f"{name}/{SemVer.FromString(version)}/{last}")
        except NotFoundError:
            raise _only_claimed(storage, pattern) or _nothing(storage, name, pattern) from None
    for name, wanted in ((pattern, ""), (head, last)):  # `city/2024` may be a name, and may mean a version
        for one in versions(storage, name) if layout.is_run_name(name) and _is_partial(wanted) else []:
            if _matches(one, wanted):
                for run in real_runs(storage, name, one):
                    return run
    raise _nothing(storage, head if _is_partial(last) and head else pattern, pattern)


def matching(storage: Store, pattern: str, *, on_broken: Callable[[StoreError], object] = lambda _: None) -> list[Run]:
    """All runs that a name fits, with or without a version, latest version and time first; `find` gives the first.

    Args:
        storage: where they live.
        pattern: as `find` takes it.
        on_broken: called with each that is left out because its manifest is not what was written.

    Raises:
        NotFoundError: nothing matches.
    """
    first = find(storage, pattern)
    if pattern.strip("/").endswith(f"/{first.id.rpartition('/')[2]}"):
        return [first]
    _, _, last = pattern.strip("/").rpartition("/")
    wanted = "" if first.name == pattern.strip("/") else last
    found: list[Run] = []
    for one in versions(storage, first.name):
        if not _matches(one, wanted):
            continue
        folder = f"{first.name}/{one}"
        for moment in sorted(filter(layout.is_run_time, storage.children(folder)), reverse=True):
            try:
                found.append(open_run(storage, f"{folder}/{moment}"))
            except NotFoundError:
                continue
            except StoreError as exc:
                on_broken(exc)
    return found


def _is_partial(wanted: str) -> bool:
    """Whether a text is a version, the start of one, or nothing."""
    return _PARTIAL.fullmatch(wanted) is not None


def _matches(version: SemVer, wanted: str) -> bool:
    """Whether "", "v1", "1.2" or "v1.2.3" means this version."""
    parts = wanted.removeprefix("v").split(".") if wanted else []
    return parts == str(version).removeprefix("v").split(".")[: len(parts)]


def _only_claimed(storage: Store, run_id: str) -> NotFoundError | None:
    """The error for an id that an allocate has claimed without making a run of it; None if nobody has."""
    try:
        storage.within(run_id).stat(layout.CLAIM)
    except KeyMissing:
        return None
    message = f"{run_id} is not a run: its allocate has not written the manifest, or ended before that"
    return NotFoundError(message, hint=f"if it has ended, delete what it left: scythe remove {run_id}")


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
    on_broken: Callable[[StoreError], object] = lambda _: None,
) -> list[Run]:
    """The `n` latest runs, of one experiment or of all, latest first.

    Args:
        storage: where they live.
        n: how many at most.
        only: the name of the one experiment.
        on_broken: called with each that is left out because its manifest is not what was written.
    """
    stamps = [
        (moment, f"{name}/{version}/{moment}")
        for name, there in ({only: versions(storage, only)} if only else _versions_by_name(storage)).items()
        for version in there
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
        except StoreError as exc:
            on_broken(exc)
    return found


def latest_of(storage: Store, function: str) -> Run | None:
    """The latest run of a function, under whatever name: of each name, the highest version is looked at."""
    found: list[Run] = []
    for name in names(storage):
        with suppress(StoreError):
            version = latest_version(storage, name)
            run = next(real_runs(storage, name, version), None) if version else None
            if run is not None and run.manifest.entry_point == function:
                found.append(run)
    return max(found, key=lambda run: run.id.rpartition("/")[2], default=None)


@dataclass(frozen=True)
class Where:
    """What a RUN on the command line means.

    Attributes:
        storage: the address of the runs' storage.
        pattern: what to find in it; empty where the storage is a run's own folder, whatever that is called.
        function: that of the experiment file, where it gives no name: the code may register another name than the
            function's, and runs are then found by their function.
    """

    storage: str
    pattern: str
    function: str | None = None


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
            raise ConfigError(
                f"RUN is missing, and this folder has no {path}", hint="scythe status lists the latest runs"
            )
        loaded = config.load(path, flags={"storage": storage})
        name = loaded.file.name or loaded.file.experiment.rpartition(":")[2]
        return Where(loaded.file.storage, name, None if loaded.file.name else loaded.file.experiment)
    with suppress(OSError, RuntimeError):  # a name that is too long for a file's, or begins with ~
        folder = setting_sources.absolute(Path(text).expanduser())
        if (folder / layout.MANIFEST).is_file():
            return Where(str(folder), "")
    trimmed = text.rstrip("/")
    head, _, tail = trimmed.rpartition("/")
    above, _, version = head.rpartition("/")
    root, _, name = above.rpartition("/")
    remote = is_remote(text)
    if remote and not Address.parse(text).host:
        raise ConfigError(f"{text!r} is not the address of a run: it names no bucket; write s3://bucket/prefix")
    if root and layout.is_run_time(tail) and VERSION.fullmatch(version):
        return Where(root if remote else str(Address.parse(root).path.absolute()), f"{name}/{version}/{tail}")
    if remote:
        return Where(trimmed, "")
    if text.startswith(("/", "./", "../", "~")):
        rule = f"it has no {layout.MANIFEST}, and does not end in name/version/time"
        raise NotFoundError(f"{text!r} is not the address of a run: {rule}")
    return Where(config.find_storage(storage), trimmed)

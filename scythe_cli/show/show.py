"""A run, and some of its specs, to look at: `scythe show`.

Input: a run and a `SpecChoice`. Output: a `Shown`: what the run is made of, and the chosen specs. Prints nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from scythe_cli.operations.status import State, quick_status
from scythe_cli.run.generation import latest_code
from scythe_cli.run.run import DownloadedRun, refuse_original
from scythe_cli.show.choice import as_error_of, choose
from scythe_cli.show.field_notes import FieldNote, read_field_notes, units
from scythe_cli.show.frames import read_frames
from scythe_cli.show.spec import Spec, read_specs

if TYPE_CHECKING:
    from scythe_cli.run.generation import LatestCode
    from scythe_cli.run.run import Run
    from scythe_cli.show.choice import SpecChoice


@dataclass(frozen=True)
class Shown:
    """A run and some of its specs.

    Attributes:
        run: its id.
        address: its folder.
        state: as in `status`.
        total: specs.
        succeeded: specs that succeeded.
        failed: specs that failed.
        missing: specs without a result.
        created: when it was claimed, UTC.
        engine: where specs run.
        host: the machine that started it.
        python: the version of Python.
        packages: versions of the packages that its modules import.
        entry_point: module:function.
        place: where the function is defined.
        source_hash: SHA-256 hash of its source files; of its latest generation, as packages and settings are.
        code_version: the name that `Register(version=...)` gives to the code, or null.
        git_commit: the commit of its folder, or null.
        settings: every setting of its experiment file; empty for a download, which does not have it.
        fields: description and unit of each input and each output.
        tables: addresses of the final tables that exist.
        matching: how many specs the options fit; all where there are none.
        specs: those to show, at most as many as `--limit` says.
    """

    run: str
    address: str
    state: State
    total: int
    succeeded: int
    failed: int
    missing: int
    created: datetime
    engine: str
    host: str
    python: str
    packages: dict[str, str]
    entry_point: str
    place: str
    source_hash: str
    code_version: str | None
    git_commit: str | None
    settings: dict[str, Any]
    fields: dict[str, FieldNote]
    tables: dict[str, str]
    matching: int
    specs: list[Spec]

    def units(self) -> dict[str, str]:
        """The units of the fields that have one."""
        return units(self.fields, self.fields)


def show(run: Run, choice: SpecChoice, *, head: int = 0) -> Shown:
    """Read what a run is made of, and the chosen specs.

    Args:
        run: the run.
        choice: which specs.
        head: for one spec, read so many rows of each frame.

    Raises:
        ConfigError: scythe-engine made the run; or the choice is wrong.
        NotFoundError: no spec has the sort_index of the choice.
        StoreError: the store does not answer.
    """
    if isinstance(run, DownloadedRun):
        chosen = choose(run, choice)
        return _shown(run, _of_download(run, chosen.rows, choice, head=head), chosen.matching)
    refuse_original(run)
    chosen = choose(run, choice)
    found = read_specs(run, chosen.rows)
    specs = [one.spec for one in found]
    if choice.sort_index is not None:
        one = found[0]
        frames = read_frames(run, one.row, one.part, list(one.frames), head=head) if one.part is not None else []
        specs = [replace(one.spec, frames=frames)]
    return _shown(run, specs, chosen.matching)


def _of_download(run: Run, rows: list[int], choice: SpecChoice, *, head: int) -> list[Spec]:
    if not rows:
        return []
    from scythe_cli.show.from_tables import read_from_tables

    with as_error_of(run, None):
        return read_from_tables(run, rows, frames=choice.sort_index is not None, head=head)


def _settings(run: Run, latest: LatestCode) -> dict[str, Any]:
    """The settings of a run's latest generation; those of a download are not part of it."""
    if isinstance(run, DownloadedRun):
        return {}
    return latest.settings or run.experiment_file().model_dump(mode="json")


def _shown(run: Run, specs: list[Spec], matching: int) -> Shown:
    now, manifest, latest = quick_status(run), run.manifest, latest_code(run)
    return Shown(
        run=run.id,
        address=run.store.locate(""),
        state=now.state,
        total=now.total,
        succeeded=now.succeeded,
        failed=now.failed,
        missing=now.missing,
        created=manifest.created,
        engine=manifest.engine,
        host=manifest.host,
        python=latest.python,
        packages=latest.packages,
        entry_point=manifest.entry_point,
        place=manifest.place,
        source_hash=latest.source_hash,
        code_version=manifest.code_version,
        git_commit=latest.git_commit,
        settings=_settings(run, latest),
        fields=read_field_notes(run),
        tables=now.final,
        matching=matching,
        specs=specs,
    )

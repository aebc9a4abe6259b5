"""Resume: what is left of a run, and the work that finishes it.

Input: a run's directory, and the experiment as it is now. Output: a `Work` for an engine. Writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.core.row_ranges import Range, ranges_of
from scythe_cli.errors import EntryPointError, InputError
from scythe_cli.experiment import config, importer, stored_code
from scythe_cli.experiment.experiment import located_sources
from scythe_cli.experiment.source_files import is_library, source_hash
from scythe_cli.run.code import changed_files
from scythe_cli.run.compatibility import refuse_other_models
from scythe_cli.run.engine import Work
from scythe_cli.run.parts import CorruptPart
from scythe_cli.run.state import read_state, refuse_removed
from scythe_cli.storage.address import is_remote
from scythe_cli.storage.base import MANIFEST_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.run.run import Run


@dataclass(frozen=True)
class Remaining:
    """What a resume will run, and why.

    Attributes:
        missing: rows without an outcome.
        failed: rows whose outcome is a failure and that will be tried again.
        kept: specs that keep their outcome.
        kept_failed: how many of those failed.
        cancelled: whether the last generation was cancelled.
    """

    missing: list[Range]
    failed: list[int]
    kept: int
    kept_failed: int
    generation: int
    cancelled: bool

    @property
    def todo(self) -> int:
        """Specs that will run."""
        return sum(map(len, self.missing)) + len(self.failed)


def remaining(run: Run, *, failed: bool = True, missing: bool = True) -> Remaining:
    """Read from the run's directory what is left to do."""
    state = read_state(run)
    refuse_removed(run, state.marks)
    try:
        again = state.failed_rows() if failed and state.failed else []
    except CorruptPart:
        return remaining(run, failed=failed, missing=missing)
    return Remaining(
        missing=state.missing() if missing else [],
        failed=again,
        kept=state.done - len(again),
        kept_failed=state.failed - len(again),
        generation=state.generation,
        cancelled=bool(state.generation) and state.generation in state.marks.get(Mark.CANCEL, []),
    )


def refuse_other_code(run: Run, sources: Mapping[str, Path], *, now: str | None = None, allowed: bool) -> None:
    """Compare the code of now with the code that the run was started with. Needs no import.

    Args:
        run: the run.
        sources: the files of the code of now, by name.
        now: their hash, where it is known.
        allowed: whether other code may run the rest.

    Raises:
        InputError: the hashes differ, and that was not allowed.
    """
    was, now = run.manifest.source_hash, now or source_hash(sources)
    if was != now and not allowed:
        changed = changed_files(run.store, was, sources)
        files = f": {', '.join(changed)}" if changed else ""
        raise InputError(
            f"the code has changed since this run began ({was[:12]} then, {now[:12]} now){files}",
            hint="add --allow-changed-code to run the rest with the code as it is now",
        )


def compared_code(run: Run, file: Path, *, allowed: bool) -> tuple[str, Path, list[str]]:
    """The code of a resume, compared with the run's before anything of it is imported.

    Returns:
        The function and its folder, see `own_target`; and what counts as code besides modules.

    Raises:
        InputError: it is other code, and that was not allowed; or as `own_target` does.
        EntryPointError: as `own_target` does.
    """
    target, folder = own_target(run, file)
    include = config.included_code(file)
    _, sources = located_sources(target, folder, include=include)
    refuse_other_code(run, sources, allowed=allowed)
    return target, folder, include


def own_target(run: Run, file: Path) -> tuple[str, Path]:
    """The function of a resume, and the folder it is imported from: the user's, never what the storage names.

    Args:
        run: its frozen file is only compared.
        file: the experiment file, or module:function in the current folder; where the file does not exist, the run's
            function must be a file of its folder.

    Raises:
        InputError: the experiment file names another function, or there is none and the function is not in the folder.
        EntryPointError: the code or the experiment file lies in a storage, a run or a download.
    """
    without_file = config.is_target(file)
    frozen, folder = run.experiment_file().experiment, Path.cwd() if without_file else file.absolute().parent
    storage = None if is_remote(run.store.address) else Path(run.store.address.removesuffix(f"/{run.id}"))
    if not file.exists() and not without_file:
        return frozen, _refuse_outside(frozen, folder, storage)
    loaded = config.load(file)
    target, place = loaded.file.experiment, loaded.place("experiment")
    if not without_file:
        stored_code.refuse(file, storage=storage)
    code, _ = importer.locate(target, folder, place=place)
    stored_code.refuse(code, storage=storage)
    if target != frozen and not _is_same(frozen, target, code, folder):
        raise InputError(
            f"{place}  the run {run.id} is of {frozen}, and this file has {target}",
            hint="name the experiment file of the run: scythe allocate FILE --resume RUN",
        )
    return target, folder


def _refuse_outside(target: str, folder: Path, storage: Path | None) -> Path:
    """The folder that a target without an experiment file is imported from: the user is in it."""
    code, _ = importer.locate(target, folder)
    stored_code.refuse(code, storage=storage)
    if not code.resolve().is_relative_to(folder.resolve()) or is_library(code):
        raise InputError(
            f"the run's function {target} is not in {folder}, and this folder has no experiment file that names it",
            hint="name the experiment file: scythe allocate FILE --resume RUN",
        )
    return folder


def _is_same(frozen: str, target: str, code: Path, folder: Path) -> bool:
    """Whether two targets, `model:run` and `model.py:run`, mean one function."""
    try:
        other, _ = importer.locate(frozen, folder)
    except EntryPointError:
        return False
    return other.resolve() == code.resolve() and frozen.rpartition(":")[2] == target.rpartition(":")[2]


def resumed_work(
    run: Run, experiment: Experiment, rest: Remaining, *, sets: Sequence[str] = (), allow_changed_code: bool = False
) -> Work:
    """The work of a resume: the settings are the frozen ones, except `sets`.

    Raises:
        InputError: the experiment's source is not what the run was allocated with, and that was not allowed; or its
            models have changed.
    """
    if experiment.source_hash != run.manifest.source_hash:
        refuse_other_code(run, experiment.sources, now=experiment.source_hash, allowed=allow_changed_code)
        refuse_other_models(run, experiment)
    rows = sorted({*rest.failed, *(row for one in rest.missing for row in one)}) if rest.failed else None
    text = run.store.read(layout.EXPERIMENT_FILE, limit=MANIFEST_LIMIT).decode(errors="replace")
    file = config.parse(text, sets=sets)
    return Work(
        run,
        experiment,
        file,
        rest.missing if rows is None else ranges_of(rows),
        generation=rest.generation + 1,
        done=rest.kept,
        failed=rest.kept_failed,
    )

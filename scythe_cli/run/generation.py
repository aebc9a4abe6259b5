"""What a generation of a run is made of: its code, packages, settings and seed; who began it, where and when.

Input: the work that an engine was given. Output: `control/generation-<n>.yml`, written once when the generation begins.
An allocate is generation 1, each resume one more.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout, processes, yaml_document
from scythe_cli.core.layout import Mark
from scythe_cli.errors import KeyExists, NotFinishedError
from scythe_cli.experiment import provenance
from scythe_cli.experiment.settings import FrameSettings
from scythe_cli.run.claim import user_name
from scythe_cli.run.state import list_marks, read_mark, read_state, write_mark

if TYPE_CHECKING:
    from scythe_cli.run.engine import Work
    from scythe_cli.run.run import Run
    from scythe_cli.storage.base import Store


def begin_generation(work: Work, **of_engine: Any) -> dict[str, Any]:
    """Write the generation's object, and return its content.

    Args:
        work: what is to run.
        of_engine: what the engine adds; at least `engine`, its name, and `lanes`, how many specs run at a time.

    Raises:
        NotFinishedError: another process has begun this generation.
    """
    note = {
        "host": processes.host(),
        "pid": os.getpid(),
        "user": user_name(),
        "began": datetime.now(UTC).isoformat(),
        "todo": work.todo,
        "done": work.done,
        "failed": work.failed,
        **_code(work),
        "settings": work.file.model_dump(mode="json"),
        "seed": work.file.run.seed,
        **of_engine,
    }
    try:
        write_mark(work.run.store, Mark.GENERATION, work.generation, note)
    except KeyExists:
        message = f"{work.run.id}: another process began generation {work.generation} of this run"
        raise NotFinishedError(message, hint=f"scythe status {work.run.id}") from None
    return note


def _code(work: Work) -> dict[str, Any]:
    """The code and its surroundings; of the first generation, as the manifest has them."""
    manifest, experiment = work.run.manifest, work.experiment
    first = work.generation == 1 and manifest.source_hash == experiment.source_hash
    return {
        "source_hash": experiment.source_hash,
        "git_commit": manifest.git_commit if first else provenance.git_commit(experiment.folder),
        "packages": manifest.packages if first else provenance.packages(experiment),
        "python": manifest.python if first else provenance.python(),
    }


def max_file(store: Store, generation: int) -> int:
    """The size at which a frame's final table becomes several files, as the run's settings say."""
    note = read_mark(store, Mark.GENERATION, generation) or {}
    if "settings" not in note:
        return FrameSettings().max_file
    settings = note["settings"]
    if isinstance(settings, str):
        settings = yaml_document.read(settings, layout.mark(Mark.GENERATION, generation)).data
    return FrameSettings.model_validate(settings.get("frames") or {}).max_file


def settings_text(note: dict[str, Any]) -> str:
    """The settings of a generation as `config.parse` reads them; older runs have them as this text."""
    settings = note["settings"]
    return settings if isinstance(settings, str) else yaml_document.write(settings)


@dataclass(frozen=True)
class LatestCode:
    """What the latest generation of a run was made of; of a run that was never resumed, what the manifest has.

    Attributes:
        generation: its number; 1 also before the first spec ran.
        settings: as its experiment file has them; None of a run that was never resumed.
        seed: `run.seed`.
    """

    generation: int
    source_hash: str
    git_commit: str | None
    packages: dict[str, str]
    python: str
    settings: dict[str, Any] | None
    seed: int


def latest_code(run: Run) -> LatestCode:
    """The code and the settings of a run's latest generation. Costs a short listing, and a read if it was resumed."""
    manifest = run.manifest
    number = max(list_marks(run.store).get(Mark.GENERATION, [1]))
    note = (read_mark(run.store, Mark.GENERATION, number) or {}) if number > 1 else {}
    settings = note.get("settings") or None
    if isinstance(settings, str):  # as older runs have them
        settings = yaml_document.read(settings, layout.mark(Mark.GENERATION, number)).data
    return LatestCode(
        generation=number,
        source_hash=note.get("source_hash") or manifest.source_hash,
        git_commit=note.get("git_commit", manifest.git_commit),
        packages=note.get("packages") or manifest.packages,
        python=note.get("python") or manifest.python,
        settings=settings,
        seed=note.get("seed", manifest.seed),
    )


def code_of_rows(run: Run) -> str | None:
    """`5a00... (generation 1, 0 rows), 2960... (generation 2, 60 rows)`; None where one code made all rows."""
    numbers = sorted(list_marks(run.store).get(Mark.GENERATION, []))
    if len(numbers) < 2:
        return None
    notes = {number: read_mark(run.store, Mark.GENERATION, number) or {} for number in numbers}
    hashes = {number: note.get("source_hash") or run.manifest.source_hash for number, note in notes.items()}
    if len(set(hashes.values())) < 2:
        return None
    made = read_state(run).rows_by_generation()
    rows = {number: made.get(number, 0) for number in hashes}
    return ", ".join(
        f"{code[:12]} (generation {number}, {rows[number]:,} {'row' if rows[number] == 1 else 'rows'})"
        for number, code in hashes.items()
    )

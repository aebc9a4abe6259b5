"""Resume: what is left of a run, and the work that finishes it.

Input: a run's directory, and the experiment as it is now. Output: a `Work` for an engine. Writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.core.row_ranges import Range, ranges_of
from scythe_cli.errors import InputError
from scythe_cli.experiment import config
from scythe_cli.run.compatibility import refuse_other_models
from scythe_cli.run.engine import Work
from scythe_cli.run.parts import CorruptPart
from scythe_cli.run.state import read_state

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def resumed_work(
    run: Run, experiment: Experiment, rest: Remaining, *, sets: Sequence[str] = (), allow_changed_code: bool = False
) -> Work:
    """The work of a resume: the frozen settings rule, but for `sets`.

    Raises:
        InputError: the experiment's source is not what the run was allocated with, and that was not allowed; or its
            models have changed.
    """
    changed = experiment.source_hash != run.manifest.source_hash
    if changed and allow_changed_code:
        refuse_other_models(run, experiment)
    elif changed:
        raise InputError(
            f"the code has changed since this run began ({run.manifest.source_hash[:12]} then, "
            f"{experiment.source_hash[:12]} now)",
            hint="add --allow-changed-code to run the rest with the code as it is now",
        )
    rows = sorted({*rest.failed, *(row for one in rest.missing for row in one)}) if rest.failed else None
    file = config.parse(run.store.read(layout.EXPERIMENT_FILE).decode(), sets=sets)
    return Work(
        run,
        experiment,
        file,
        rest.missing if rows is None else ranges_of(rows),
        generation=rest.generation + 1,
        done=rest.kept,
        failed=rest.kept_failed,
    )

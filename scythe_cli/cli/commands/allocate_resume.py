"""`scythe allocate --resume`: what is left of a run, said before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.cli.formatting import counted
from scythe_cli.cli.shared import running_user_code
from scythe_cli.core.layout import Mark
from scythe_cli.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from scythe_cli.cli.progress import Terminal
    from scythe_cli.run.engine import Work
    from scythe_cli.run.run import Run


def left_of(
    terminal: Terminal,
    run: Run,
    file: Path,
    sets: list[str],
    which: dict[str, bool],
    allow_changed_code: bool,
) -> Work | None:
    """What is left of a run, None when nothing is. The frozen file rules; the code comes from FILE's folder."""
    from scythe_cli.experiment import config, experiment
    from scythe_cli.operations.resume import remaining, resumed_work
    from scythe_cli.run.state import read_mark

    _refuse_what_stays(sets)
    config.check_sets(sets)
    rest = remaining(run, **which)
    if not rest.todo:
        return None
    with running_user_code():
        found = experiment.load(run.experiment_file().experiment, file.absolute().parent)
    work = resumed_work(run, found, rest, sets=sets, allow_changed_code=allow_changed_code)
    if run.is_copy and work.file.engine != "local":
        told = f"{run.store.address} is not called by the run's id, by which workers find it"
        raise ConfigError(told, hint=f"move it to <storage>/{run.id}, or add --engine local")
    n_missing = rest.todo - len(rest.failed)
    why = [f"{n_missing:,} missing"] * bool(n_missing) + [f"{len(rest.failed):,} failed before"] * bool(rest.failed)
    if found.source_hash != run.manifest.source_hash:
        was, now = run.manifest.source_hash[:12], found.source_hash[:12]
        terminal.say(f"the code has changed since {run.id} was allocated: its hash was {was} and is {now}")
    terminal.say(f"resuming {run.id}: {counted(rest.todo, 'spec')} to run ({', '.join(why)}), {rest.kept:,} kept")
    if rest.cancelled:  # who names the run wants it
        mark = read_mark(run.store, Mark.CANCEL, rest.generation) or {}
        terminal.say(f"it was cancelled by {mark.get('by')} at {mark.get('at')}, and goes on now")
    return work


def _refuse_what_stays(sets: list[str]) -> None:
    """A run keeps its name, its storage, its experiment and its specs, whatever a resume changes."""
    for key in (one.partition("=")[0].strip() for one in sets):
        if key.partition(".")[0] not in {"run", "engine", "tree", "resources"}:
            raise ConfigError(f"--set {key}  a resume goes on with the run's own {key}", hint="leave it out")

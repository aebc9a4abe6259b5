"""`scythe allocate --resume`: run what is left of a run, and print it before it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.cli.commands.allocate_follow import follow
from scythe_cli.cli.commands.allocate_summary import print_nothing_to_run
from scythe_cli.cli.formatting import counted
from scythe_cli.cli.output import running_user_code
from scythe_cli.cli.run_argument import find_run, is_default_file
from scythe_cli.core.layout import Mark
from scythe_cli.errors import ConfigError

if TYPE_CHECKING:
    from scythe_cli.cli.commands.allocate_summary import Call
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.operations.resume import Remaining
    from scythe_cli.run.engine import Work
    from scythe_cli.run.run import Run


@dataclass(frozen=True)
class Choice:
    """What a resume runs.

    Attributes:
        failed: `--failed`.
        missing: `--missing`.
        changed_code: `--allow-changed-code`.
    """

    failed: bool
    missing: bool
    changed_code: bool

    def check(self, resume: str | None, fresh: list[str]) -> None:
        """Refuse flags that do not fit: `fresh` are those given that make a new run."""
        if resume is not None and fresh:
            raise ConfigError(f"{fresh[0]} cannot be used with --resume")
        if self.failed and self.missing:
            message = "use --failed or --missing, not both"
            raise ConfigError(message, hint="without them, --resume runs the missing and the failed specs")
        if (self.failed or self.missing) and resume is None:
            raise ConfigError("--failed and --missing need --resume", hint="add --resume RUN")
        if self.changed_code and resume is None:
            raise ConfigError("--allow-changed-code needs --resume", hint="add --resume RUN")


def resume_run(call: Call, name: str, choice: Choice, *, storage: str | None, sets: list[str]) -> None:
    """Run what is left of a run. Its code is in the folder of FILE, which may also be the RUN."""
    if name.endswith((".yml", ".yaml")) and is_default_file(call.file):
        call = replace(call, file=Path(name))
    run = find_run(name, storage or _storage_of(call.file))
    work = _work_left(call, run, choice, sets=sets)
    if work is None:
        print_nothing_to_run(run, call)
    else:
        follow(call, work)


def _storage_of(file: Path) -> str | None:
    """The storage in a FILE that was named; the one of this folder is read anyway."""
    from scythe_cli.experiment import config

    return None if is_default_file(file) else config.load(file).file.storage


def _work_left(call: Call, run: Run, choice: Choice, *, sets: list[str]) -> Work | None:
    """What is left of a run, None for nothing. Settings are those of the run's own file, code that of FILE's folder."""
    from scythe_cli.experiment import config, experiment
    from scythe_cli.operations.resume import remaining, resumed_work

    _refuse_what_stays(sets)
    config.check_sets(sets)
    rest = remaining(run, failed=choice.failed or not choice.missing, missing=choice.missing or not choice.failed)
    if not rest.todo:
        return None
    with running_user_code():
        found = experiment.load(run.experiment_file().experiment, call.file.absolute().parent)
    work = resumed_work(run, found, rest, sets=sets, allow_changed_code=choice.changed_code)
    if run.is_copy and work.file.engine != "local":
        message = f"workers cannot find a run in {run.store.address}: its path does not end in the run's id"
        raise ConfigError(message, hint=f"move it to <storage>/{run.id}, or add --engine local")
    _print_rest(call, run, rest, found=found)
    return work


def _print_rest(call: Call, run: Run, rest: Remaining, *, found: Experiment) -> None:
    from scythe_cli.run.state import read_mark

    n_missing = rest.todo - len(rest.failed)
    why = [f"{n_missing:,} missing"] * bool(n_missing) + [f"{len(rest.failed):,} failed before"] * bool(rest.failed)
    if found.source_hash != run.manifest.source_hash:
        was, now = run.manifest.source_hash[:12], found.source_hash[:12]
        call.terminal.say(f"the code has changed since this run began ({was} then, {now} now)")
    call.terminal.say(f"resuming {run.id}: {counted(rest.todo, 'spec')} to run ({', '.join(why)}), {rest.kept:,} kept")
    if rest.cancelled:  # somebody who names the run wants it to run
        mark = read_mark(run.store, Mark.CANCEL, rest.generation) or {}
        call.terminal.say(f"this run was cancelled by {mark.get('by')} at {mark.get('at')}; it continues now")


def _refuse_what_stays(sets: list[str]) -> None:
    """A resume cannot change a run's name, storage, experiment and specs."""
    for key in (one.partition("=")[0].strip() for one in sets):
        if key.partition(".")[0] not in {"run", "engine", "tree", "resources"}:
            raise ConfigError(f"--set {key}  a resume cannot change {key}", hint="leave it out")

"""`scythe allocate --resume`: run what is left of a run, and print it before it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.cli.allocation.follow import follow, follow_run
from scythe_cli.cli.allocation.summary import print_nothing_to_run
from scythe_cli.cli.formatting import counted
from scythe_cli.cli.output import running_user_code
from scythe_cli.cli.run_argument import command_for, find_run, is_default_file, storage_of
from scythe_cli.core.layout import Mark
from scythe_cli.core.printable import printable
from scythe_cli.errors import ConfigError, EngineError, NotFinishedError

if TYPE_CHECKING:
    from scythe_cli.cli.allocation.summary import Call
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.experiment.settings import ExperimentFile
    from scythe_cli.operations.resume import Remaining
    from scythe_cli.run.engine import Work
    from scythe_cli.run.run import Run


@dataclass(frozen=True)
class ResumeOptions:
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


def resume_run(call: Call, name: str, choice: ResumeOptions, *, storage: str | None, sets: list[str]) -> None:
    """Run what is left of a run. Its code is in the folder of FILE, which may also be the RUN."""
    from scythe_cli.experiment import config

    if name.endswith((".yml", ".yaml")) and is_default_file(call.file):
        call = replace(call, file=Path(name))
    run = find_run(name, storage or storage_of(call.file))
    _refuse_what_stays(sets)
    config.check_sets(sets)
    if _is_joined(call, run, choice, sets=sets):
        follow_run(call, run)
        return
    work = _work_left(call, run, choice, sets=sets)
    if work is None:
        with call.notifier.at_end(run, call.terminal):
            print_nothing_to_run(run, call)
    else:
        follow(call, work)


def _is_joined(call: Call, run: Run, choice: ResumeOptions, *, sets: list[str]) -> bool:
    """Whether the run is at work and is to be followed. A generation that must give way is ended here.

    Raises:
        NotFinishedError: the run is at work, and nobody asked to follow it; the message says who holds it.
    """
    from scythe_cli.engines.engine_activity import at_work, lost_generation, supersede

    try:
        now = at_work(run)
    except EngineError:
        if _settings(run, sets).engine != "local":
            raise
        now = None  # a new generation ends the other one, whether its engine is informed or not
    if now is None:
        if (lost := lost_generation(run)) is not None:
            supersede(run, lost, "its engine had lost it; the run was resumed")
        return False
    if now.engine == "hatchet" and (why := _why_superseded(call, run, choice, now.generation, sets=sets)) is not None:
        call.terminal.say(
            printable(f"generation {now.generation} of {run.id} is at work ({now.holder}) and is ended first: {why}")
        )
        supersede(run, now.generation, f"{why}; the run was resumed")
        return False
    if call.wait:
        call.terminal.say(printable(f"{run.id} is at work already ({now.holder}); following it"))
        return True
    hint = f"{command_for('wait', run)}   or, to stop it: {command_for('cancel', run)}"
    raise NotFinishedError(f"the run is held by {now.holder}: {run.id} is at work", hint=hint)


def _settings(run: Run, sets: list[str]) -> ExperimentFile:
    from scythe_cli.core import layout
    from scythe_cli.experiment import config
    from scythe_cli.storage.base import MANIFEST_LIMIT

    text = run.store.read(layout.EXPERIMENT_FILE, limit=MANIFEST_LIMIT).decode(errors="replace")
    return config.parse(text, sets=sets)


def _why_superseded(call: Call, run: Run, choice: ResumeOptions, generation: int, *, sets: list[str]) -> str | None:
    """Why a generation that is at work cannot be what a resume asks for; None when it is."""
    from scythe_cli.engines.generation.plan import plan_of
    from scythe_cli.experiment import config, experiment
    from scythe_cli.operations.resume import own_target

    plan = plan_of(run, generation)
    if plan is None:
        return None
    if sets and _settings(run, sets) != plan.file:
        return "the settings differ"
    if choice.changed_code:
        _, now = experiment.located_hash(*own_target(run, call.file), include=config.included_code(call.file))
        if now != plan.source_hash:
            return "the code differs"
    return None


def _work_left(call: Call, run: Run, choice: ResumeOptions, *, sets: list[str]) -> Work | None:
    """What is left of a run, None for nothing. Settings are those of the run's own file, code that of FILE's folder."""
    from scythe_cli.experiment import experiment
    from scythe_cli.operations.resume import compared_code, remaining, resumed_work
    from scythe_cli.reuse.take_over import take_over
    from scythe_cli.run.compatibility import refuse_wrong_total

    take_over(run, call.terminal)
    rest = remaining(run, failed=choice.failed or not choice.missing, missing=choice.missing or not choice.failed)
    if not rest.todo:
        return None
    refuse_wrong_total(run)
    target, folder, include = compared_code(run, call.file, allowed=choice.changed_code)
    with running_user_code():
        found = experiment.load(target, folder).including(include)
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
        call.terminal.say(printable(f"the code has changed since this run began ({was} then, {now} now)"))
    todo = f"{counted(rest.todo, 'spec')} to run ({', '.join(why)}), {rest.kept:,} kept"
    call.terminal.say(printable(f"resuming {run.id}: {todo}"))
    if rest.cancelled:  # somebody who names the run wants it to run
        mark = read_mark(run.store, Mark.CANCEL, rest.generation) or {}
        call.terminal.say(
            printable(f"this run was cancelled by {mark.get('by')} at {mark.get('at')}; it continues now")
        )


def _refuse_what_stays(sets: list[str]) -> None:
    """A resume cannot change a run's name, storage, experiment and specs."""
    for key in (one.partition("=")[0].strip() for one in sets):
        if key.partition(".")[0] not in {"run", "engine", "tree", "resources", "slurm"}:
            raise ConfigError(f"--set {key}  a resume cannot change {key}", hint="leave it out")

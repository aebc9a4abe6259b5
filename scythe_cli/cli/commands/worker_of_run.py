"""`scythe worker --run`: work on one run straight from its directory, with the code of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.cli.options import seconds_of
from scythe_cli.cli.output import running_user_code
from scythe_cli.cli.run_argument import command_for, find_run, hints_from_here, storage_of
from scythe_cli.core.events import Notice
from scythe_cli.errors import ConfigError, NotFinishedError

if TYPE_CHECKING:
    from scythe_cli.core.events import Listener
    from scythe_cli.engines.generation.plan import GenerationPlan
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.run.run import Run


@dataclass(frozen=True)
class RunWorkerCall:
    """How the command was called.

    Attributes:
        run: the RUN.
        targets: at most one FILE.
        storage: `--storage`.
        lanes: `--workers`.
        name: `--name`.
        any_code: `--allow-changed-code`.
    """

    run: str
    targets: list[str]
    storage: str | None
    lanes: int | None
    name: str | None
    any_code: bool

    @property
    def file(self) -> Path:
        """The experiment file in whose folder the code is."""
        from scythe_cli.experiment.config import DEFAULT_FILE

        if len(self.targets) > 1 or (self.targets and not self.targets[0].endswith((".yml", ".yaml"))):
            file = f"{DEFAULT_FILE} " if Path(DEFAULT_FILE).exists() else ""  # without one, the code is in this folder
            raise ConfigError(
                f"{self.targets[-1]}  a worker with --run takes one experiment file",
                hint=f"scythe worker {file}--run {self.run}",
            )
        return Path(self.targets[0] if self.targets else DEFAULT_FILE)


def work_on_run(call: RunWorkerCall, *, until: str | None, idle_timeout: str | None, listener: Listener) -> None:
    """Work until nothing is left; exit code 5 where the worker ended before."""
    from scythe_cli.engines.shared.serve import ServeSettings, serve_run
    from scythe_cli.operations.status import status

    settings = ServeSettings(
        lanes=call.lanes,
        name=call.name,
        any_code=call.any_code,
        until=seconds_of("--until", until),
        idle=seconds_of("--idle-timeout", idle_timeout),
    )
    run = find_run(call.run, call.storage or storage_of(call.file))
    with hints_from_here(run):
        plan, found = _plan_and_code(call, run)
        ended = serve_run(plan, found, settings, listener)
        now = status(run)
        if ended is None or not now.missing:
            listener(Notice(f"{run.id}: {now.succeeded:,} succeeded, {now.failed:,} failed; nothing is left"))
            return
        left = f"{now.missing:,} of {now.total:,} specs are left"
        raise NotFinishedError(f"{ended.detail}; {left}", hint=command_for(_next(call, now.state), run))


def _next(call: RunWorkerCall, state: str) -> list[str]:
    """The command that continues: another worker, or a resume of a run that was ended."""
    if state in {"cancelled", "stopped"}:
        return ["allocate", *call.targets, "--resume"]
    return ["worker", *call.targets, "--run"]


def _plan_and_code(call: RunWorkerCall, run: Run) -> tuple[GenerationPlan, Experiment]:
    from scythe_cli.engines.shared.serve import plan_to_work_on, refuse_other_code
    from scythe_cli.experiment import config, experiment
    from scythe_cli.operations.resume import own_target

    plan = plan_to_work_on(run)
    target, folder = own_target(run, call.file)
    include = config.included_code(call.file)
    _, now = experiment.located_hash(target, folder, include=include)
    refuse_other_code(plan, now, allowed=call.any_code)
    with running_user_code():
        found = experiment.load(target, folder).including(include)
    return plan, found

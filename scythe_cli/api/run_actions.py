"""What a program does to one run, and looks at in it: resume, cancel, show, report; and how a notebook shows the run.

Input: an object with a `run`. Output: the results of the operations that the commands call too.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from scythe_cli.errors import ConfigError, EngineError, NotFinishedError
from scythe_cli.run.run import OriginalRun, refuse_original

if TYPE_CHECKING:
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.operations.cancel import Cancelled
    from scythe_cli.report.document import Report
    from scythe_cli.run.engine import Work
    from scythe_cli.run.run import Run
    from scythe_cli.run_future import RunFuture
    from scythe_cli.show.show import Shown

MOST_SHOWN = 20


class HasFunction(Protocol):
    """An object that has a run, and may have its function."""

    @property
    def run(self) -> Run:
        """The run."""

    @property
    def runnable(self) -> Any:
        """The function, or its registered name."""


class RunActions:
    """Resume, cancel, show and report a run."""

    def resume(
        self: HasFunction,
        *,
        failed: bool = True,
        missing: bool = True,
        allow_changed_code: bool = False,
        **settings: object,
    ) -> RunFuture:
        """Run what is left of the run, in the background: specs without a result, and those that failed.

        The code is that of this process or of the current folder: of `./experiment.yml`, else the function of the run.

        Args:
            failed: run the failed specs again.
            missing: run the specs without a result.
            allow_changed_code: also with code that has changed since the run began.
            **settings: keys under `run`, as for `allocate`: timeout="20m", workers=4; and engine="local".

        Returns:
            What waits for the run.

        Raises:
            NotFinishedError: the run is at work.
            InputError: the code has changed, or is not in this folder.
        """
        from scythe_cli.engines.open_engine import open_engine, without_engine
        from scythe_cli.operations.allocate import start
        from scythe_cli.run_future import RunFuture, print_notices

        refuse_original(self.run)
        _refuse_at_work(self.run)
        sets = [f"{key if '.' in key or key == 'engine' else f'run.{key}'}={value}" for key, value in settings.items()]
        work = _work_left(self, sets, failed=failed, missing=missing, allow_changed_code=allow_changed_code)
        opened = open_engine(work.file)
        if not work.todo:
            work, opened = without_engine(work)
        return RunFuture(work, start(work, opened, print_notices))

    def cancel(self: HasFunction) -> Cancelled:
        """Stop the run, whichever process or machine works on it. Finished specs are kept."""
        from scythe_cli.engines.engine_activity import cancel_tasks, is_elsewhere
        from scythe_cli.operations.cancel import cancel

        refuse_original(self.run)
        found = cancel(self.run)
        if found.done < found.total and not self.run.is_copy and is_elsewhere(self.run):
            with suppress(EngineError):  # the mark in the directory stops the rest within seconds
                cancel_tasks(self.run)
        return found

    def show(
        self: HasFunction,
        sort_index: int | None = None,
        *,
        failed: bool = False,
        slowest: int | None = None,
        where: str | None = None,
        limit: int = MOST_SHOWN,
    ) -> Shown:
        """Look at one spec, or at those that are chosen: inputs, outputs, times, log, traceback.

        Args:
            sort_index: this spec.
            failed: those that failed.
            slowest: so many of those that took longest.
            where: a condition in SQL over inputs, outputs and how the specs ran.
            limit: at most so many.

        Raises:
            NotFoundError: no spec has this sort_index.
            ConfigError: the condition is wrong.
        """
        from scythe_cli.notebook.shown import ShownInNotebook
        from scythe_cli.show.choice import SpecChoice
        from scythe_cli.show.show import show

        choice = SpecChoice(sort_index, slowest=slowest, failed=failed, where=where, limit=limit)
        if sort_index is None and not choice.filters:
            choice = replace(choice, limit=0)
        return ShownInNotebook.of(show(self.run, choice))

    def report(self: HasFunction, file: str | Path | None = None, *, seed: int = 0) -> Report:
        """Failures, distributions, sensitivity and durations as numbers, and with `file` as an HTML page.

        Args:
            file: where to write the page, which opens without a network; needs the extra `report`.
            seed: of the rows that are drawn for the plots.

        Raises:
            ConfigError: scythe-engine made the run, or the extra is not installed.
        """
        from scythe_cli.report.page import render, write
        from scythe_cli.report.report import report

        found = report(self.run, seed=seed)
        if file is None:
            return found
        path = Path(file).expanduser().absolute()
        write(render(found), path)
        return replace(found, page=str(path))

    def _repr_html_(self: HasFunction) -> str:
        """The run as a notebook shows it: state, tables, what failed, what one may call next."""
        from scythe_cli.notebook.html import run_status
        from scythe_cli.operations.status import status

        now = status(self.run, errors=not isinstance(self.run, OriginalRun))
        calls = ["run.scalars()", 'run.report("report.html")']
        if now.failed:
            calls = ["run.errors()", "run.show(failed=True)", "run.resume()"]
        if now.state == "running":
            calls = ["run.wait()", "run.cancel()"]
        elif now.missing:
            calls = ["run.resume()"]
        return run_status(now, calls)


def _refuse_at_work(run: Run) -> None:
    """A run that is at work is not resumed; one whose engine lost it is ended first."""
    from scythe_cli.engines.engine_activity import at_work, lost_generation, supersede

    if (now := at_work(run)) is not None:
        raise NotFinishedError(
            f"the run is held by {now.holder}: {run.id} is at work", hint="run.wait() follows it; run.cancel() stops it"
        )
    if (lost := lost_generation(run)) is not None:
        supersede(run, lost, "its engine had lost it; the run was resumed")


def _work_left(found: HasFunction, sets: list[str], *, failed: bool, missing: bool, allow_changed_code: bool) -> Work:
    """What is left of a run. Settings are those of the run's own file, except `sets`."""
    from scythe_cli.experiment import config
    from scythe_cli.operations.resume import remaining, resumed_work
    from scythe_cli.reuse.take_over import take_over
    from scythe_cli.run.compatibility import refuse_wrong_total

    config.check_sets(sets)
    take_over(found.run)
    rest = remaining(found.run, failed=failed, missing=missing)
    if rest.todo:
        refuse_wrong_total(found.run)
    experiment = _experiment(found, allow_changed_code=allow_changed_code)
    work = resumed_work(found.run, experiment, rest, sets=sets, allow_changed_code=allow_changed_code)
    if found.run.is_copy and work.file.engine != "local":
        message = f"workers cannot find a run in {found.run.store.address}: its path does not end in the run's id"
        raise ConfigError(message, hint=f'move it to <storage>/{found.run.id}, or give engine="local"')
    return work


def _experiment(found: HasFunction, *, allow_changed_code: bool) -> Experiment:
    """The code of a resume: the function of this process, else that of the current folder; never the storage's.

    Nothing is imported before its hash was compared.
    """
    from scythe_cli.api import places
    from scythe_cli.experiment import config, experiment
    from scythe_cli.operations.resume import compared_code

    if callable(found.runnable):
        _, loaded = places.load(found.runnable)
    else:
        file = Path(config.DEFAULT_FILE)
        target, folder, include = compared_code(found.run, file, allowed=allow_changed_code)
        loaded = experiment.load(target, folder).including(include)
    places.refuse_edited(loaded, loaded.function)
    return loaded

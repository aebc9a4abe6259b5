"""`scythe allocate`: from an experiment file to final tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.cli import options
from scythe_cli.cli.allocation.estimate import print_plan, probe_first
from scythe_cli.cli.allocation.follow import follow, resumable
from scythe_cli.cli.allocation.inline import run_inline
from scythe_cli.cli.allocation.resume import ResumeOptions, resume_run
from scythe_cli.cli.allocation.summary import Call
from scythe_cli.cli.notify import Notifier
from scythe_cli.cli.output import running_user_code
from scythe_cli.core.events import Notice
from scythe_cli.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from scythe_cli.cli.progress import Terminal
    from scythe_cli.experiment.config import LoadedSettings
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.preparation.prepared import Prepared
    from scythe_cli.run.engine import Engine
    from scythe_cli.run.version import Bump, SemVer


def allocate(
    file: options.FileOrFunction = Path("experiment.yml"),
    specs: options.SpecsTable = None,
    *,
    bump: options.Bump = None,
    version: options.Version = None,
    engine: options.Engine = None,
    storage: options.Storage = None,
    sets: options.Sets = None,
    limit: options.Limit = None,
    shuffle: options.Shuffle = False,
    seed: options.ShuffleSeed = None,
    dry_run: options.DryRun = False,
    probe: options.Probe = None,
    wait: options.Wait = None,
    notify: options.Notify = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
    resume: options.Resume = None,
    failed: options.OnlyFailed = False,
    missing: options.OnlyMissing = False,
    allow_changed_code: options.AllowChangedCode = False,
    reuse: options.ReuseRun = None,
    reuse_by: options.ReuseBy = None,
    only: options.OnlySpec = None,
    inline: options.Inline = False,
) -> None:
    """Check the table, run every spec, collect the results."""
    from scythe_cli.cli.progress import Terminal

    given = {"--bump": bump, "--version": version, "--limit": limit, "--probe": probe, "--only": only}
    fresh = [flag for flag, value in {"SPECS": specs, **given}.items() if value is not None] + ["--dry-run"] * dry_run
    shuffled = _shuffle_seed(limit, seed, shuffle=shuffle)
    choice = ResumeOptions(failed=failed, missing=missing, changed_code=allow_changed_code)
    _refuse_half(only, inline=inline)
    call = Call(Terminal(), file, wait=wait, as_json=as_json, notifier=Notifier.of(notify, no_run=dry_run or inline))
    _refuse_pairs(fresh)
    choice.check(resume, fresh)
    from scythe_cli.engines.open_engine import engine_for

    with call.terminal as terminal:
        if resume is not None:
            sets = [*(sets or []), *([f"engine={engine}"] if engine else [])]
            resume_run(call, resume, choice, storage=storage, sets=sets)
            return
        loaded, found = _load(call, sets or [], engine=engine, storage=storage, reuse=reuse, specs=specs)
        selection = SpecSelection(limit, shuffled, changed_code=allow_changed_code, by_sort_index=reuse_by is not None)
        selection.check(loaded)
        call.notifier.check_waits(loaded.file.engine, wait=wait)
        check = cache(partial(_prepare, terminal, loaded, found, selection))
        if only is not None:
            prepared = _prepare(terminal, loaded, found, replace(selection, reuse=False))
            run_inline(prepared, only, terminal, as_json=as_json)
        elif dry_run:
            print_plan(check(), _wanted(bump, version), as_json=as_json)
        elif probe is None or probe_first(terminal, check(), k=probe, yes=yes, as_json=as_json):
            with engine_for(found, loaded.file, loaded.path) as open_it:
                _begin(call, check(), engine=open_it(), version=_wanted(bump, version))


@dataclass(frozen=True)
class SpecSelection:
    """Which specs of the table run, and which an earlier run gives.

    Attributes:
        limit: `--limit`.
        shuffle: the seed of `--shuffle`.
        changed_code: `--allow-changed-code`.
        by_sort_index: `--reuse-by sort_index`.
        reuse: whether the setting `reuse` counts.
    """

    limit: int | None
    shuffle: int | None
    changed_code: bool
    by_sort_index: bool
    reuse: bool = True

    def check(self, loaded: LoadedSettings) -> None:
        """Refuse flags of a reuse without one. Raises `ConfigError`."""
        if self.changed_code and loaded.file.reuse is None:
            raise ConfigError("--allow-changed-code needs --resume or --reuse", hint="add --resume RUN or --reuse RUN")
        if self.by_sort_index and loaded.file.reuse is None:
            raise ConfigError("--reuse-by needs --reuse", hint="add --reuse RUN")


def _refuse_half(only: int | None, *, inline: bool) -> None:
    if (only is not None) != inline:
        raise ConfigError("use --only and --inline together", hint="scythe allocate --only SORT_INDEX --inline")


def _refuse_pairs(given: list[str]) -> None:
    """Flags of which a command takes one."""
    for group in (("--bump", "--version"), ("--probe", "--only", "--dry-run")):
        both = [flag for flag in group if flag in given]
        if len(both) > 1:
            raise ConfigError(f"use {both[0]} or {both[1]}, not both")


def _shuffle_seed(limit: int | None, seed: int | None, *, shuffle: bool) -> int | None:
    """The seed of `--shuffle`; None without it."""
    if shuffle and limit is None:
        raise ConfigError("--shuffle needs --limit N: how many specs to take")
    if seed is not None and not shuffle:
        raise ConfigError("--seed belongs to --shuffle; the seed of a design is specs.seed in the experiment file")
    return (seed or 0) if shuffle else None


def _wanted(bump: options.VersionBump | None, version: str | None) -> Bump | SemVer:
    from scythe_cli.run.version import SemVer

    return SemVer.FromString(version) if version is not None else bump or "keep"


def _load(call: Call, sets: list[str], **flags: str | None) -> tuple[LoadedSettings, Experiment]:
    from scythe_cli.experiment import config, experiment

    loaded = config.load(call.file, sets=sets, flags=flags)
    if loaded.path is None and loaded.file.specs is None:
        message = f"{call.file}  specs is missing: without an experiment file, the table follows the function"
        raise ConfigError(message, hint=f"scythe allocate {call.file} specs.csv")
    with call.terminal.busy("importing the experiment"), running_user_code():
        found = experiment.load(loaded.file.experiment, loaded.folder, place=loaded.place("experiment"))
        found = found.including(loaded.file.code.include)
        return loaded.with_options(found.options.settings()).with_name(found.name), found


def _prepare(terminal: Terminal, loaded: LoadedSettings, found: Experiment, selection: SpecSelection) -> Prepared:
    with terminal.busy("checking the specs"), running_user_code():
        from scythe_cli.preparation.prepare import prepare

        prepared = prepare(loaded, found, limit=selection.limit, shuffle=selection.shuffle)
    if loaded.file.reuse is None or not selection.reuse:
        return prepared
    from scythe_cli.preparation.reuse import Reuse, with_reuse
    from scythe_cli.reuse.plan import LATEST
    from scythe_cli.storage.open_store import open_store

    wanted = Reuse(loaded.file.reuse, changed_code=selection.changed_code, by_sort_index=selection.by_sort_index)
    try:
        with terminal.busy(f"comparing the specs with those of {loaded.file.reuse}"):
            return with_reuse(prepared, open_store(loaded.file.storage), wanted)
    except NotFoundError:
        place = loaded.place("reuse")
        if loaded.file.reuse != LATEST or place.startswith("--"):
            raise
        terminal(Notice(f"{place}  reuse: no earlier run of {prepared.name} has a spec that succeeded; all specs run"))
        return prepared


def _begin(call: Call, prepared: Prepared, *, engine: Engine, version: Bump | SemVer) -> None:
    from scythe_cli.engines.open_engine import without_engine
    from scythe_cli.operations.allocate import begin, first_work
    from scythe_cli.storage.open_store import open_store

    run = begin(prepared, open_store(prepared.file.storage), version=version, listener=call.terminal)
    if prepared.reuse is None:
        follow(call, first_work(run, prepared), engine=engine)
        return
    with call.notifier.at_end(run, call.terminal):
        with resumable(call, run):
            work = first_work(run, prepared, call.terminal)
        if not work.todo:
            work, engine = without_engine(work)
        follow(call, work, engine=engine)

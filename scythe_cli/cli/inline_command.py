"""The command that runs one spec of a run alone, in this terminal.

Input: a run, and the RUN that was typed. Output: the command without the number of the spec, or None where it could run
another run's spec.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.cli.formatting import display_path
from scythe_cli.cli.run_argument import is_default_file
from scythe_cli.errors import ScytheError
from scythe_cli.storage.address import is_remote

if TYPE_CHECKING:
    from scythe_cli.experiment.config import LoadedSettings
    from scythe_cli.experiment.settings import ExperimentFile, Specs
    from scythe_cli.run.run import Run

_YAML = (".yml", ".yaml")
_OF_RESULTS = ("seed", "nan")
"""Settings of `run` that decide what a spec gives."""


def inline_command(run: Run, text: str | None, storage: str | None) -> str | None:
    """The command, without its flags, that runs one spec of a run in this terminal.

    It is about RUN where that is an experiment file, else about ./experiment.yml. None where it could run another
    run's spec.
    """
    from scythe_cli.experiment.registry import TASK_PREFIX

    file = _file(text)
    if (frozen := _frozen(run)) is None or frozen.specs is None:  # without specs: given in Python, no table has them
        return None
    loaded = _settings_for(file, run)
    if loaded is None:
        return _without_file(frozen) or "in the experiment's folder: scythe allocate FILE"
    sets = _sets(loaded, frozen)
    same_storage = bool(storage) or loaded.file.storage == frozen.storage
    specs = _specs_address(loaded, frozen.specs)
    name = loaded.file.name or run.manifest.experiment_name.removeprefix(TASK_PREFIX)
    same_specs = loaded.file.specs == frozen.specs or (
        specs is not None and _specs_address(loaded, loaded.file.specs) == specs
    )
    if same_storage and name == run.name and same_specs:
        return f"{_allocate(file)}{sets}"
    known = same_storage or specs == frozen.specs
    if specs is not None and known and (is_remote(specs) or Path(specs).exists()):
        return f"{_allocate(file)} --set {shlex.quote(f'specs={display_path(specs)}')}{sets}"
    return None


def changed_table(run: Run, text: str | None) -> str | None:
    """A sentence where the table of a run was written after the run began: its specs may be others now."""
    from scythe_cli.experiment.settings import SpecsFile

    if (frozen := _frozen(run)) is None:
        return None
    loaded = _settings_for(_file(text), run)
    specs = frozen.specs.file if isinstance(frozen.specs, SpecsFile) else frozen.specs
    if loaded is not None:
        specs = _specs_address(loaded, specs)
    if not isinstance(specs, str) or is_remote(specs) or not Path(specs).is_file():
        return None
    if Path(specs).stat().st_mtime < run.manifest.created.timestamp() + 1:  # of which the fraction is not kept
        return None
    return f"{display_path(specs)} is newer than this run: a spec may have other values now"


def _file(text: str | None) -> Path:
    """The experiment file that RUN is, else that of this folder."""
    from scythe_cli.experiment.config import DEFAULT_FILE

    return Path(text) if text and text.endswith(_YAML) else Path(DEFAULT_FILE)


def _frozen(run: Run) -> ExperimentFile | None:
    """The settings that the run began with; without them, its failures can be printed all the same."""
    try:
        return run.experiment_file()
    except ScytheError:  # of another version, or cut
        return None


def _sets(loaded: LoadedSettings, frozen: ExperimentFile) -> str:
    """The settings of the run that decide what a spec gives, where the experiment file has others."""
    words = []
    for name in _OF_RESULTS:
        theirs, ours = getattr(frozen.run, name), getattr(loaded.file.run, name)
        if theirs != ours:
            words.append(f" --set {shlex.quote(f'run.{name}={theirs}')}")
    return "".join(words)


def _without_file(frozen: ExperimentFile) -> str | None:
    """The command for a run that was allocated without an experiment file, from the folder of its function."""
    from scythe_cli.experiment import config, importer

    specs = frozen.specs
    if not isinstance(specs, str) or not (is_remote(specs) or (Path(specs).is_absolute() and Path(specs).exists())):
        return None
    try:
        importer.locate(frozen.experiment, Path.cwd())
    except ScytheError:
        return None
    try:
        sets = _sets(config.load(frozen.experiment), frozen)
    except ScytheError:  # a wrong variable of the environment
        sets = ""
    return shlex.join(["scythe", "allocate", frozen.experiment, display_path(specs)]) + sets


def _allocate(file: Path) -> str:
    return "scythe allocate" if is_default_file(file) else shlex.join(["scythe", "allocate", display_path(file)])


def _settings_for(file: Path, run: Run) -> LoadedSettings | None:
    """The settings of an experiment file, if it names the function of the run."""
    from scythe_cli.experiment import config

    try:
        loaded = config.load(file)
    except ScytheError:
        return None
    return loaded if loaded.file.experiment == run.manifest.entry_point else None


def _specs_address(loaded: LoadedSettings, specs: Specs | None) -> str | None:
    """The absolute address of specs that an experiment file names; None for a design."""
    from scythe_cli.experiment.setting_sources import absolute

    if not isinstance(specs, str):
        return None
    return specs if is_remote(specs) else str(absolute(loaded.folder / Path(specs).expanduser()))

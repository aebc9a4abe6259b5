"""experiment.yml, flags and the environment, made into one frozen `ExperimentFile`.

Input: the file's path, the flags and the environment. Output: the settings, every value as a plain number, or one
`ConfigError` that names each wrong value's place, rule, and nearest right name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from scythe_cli.core import yaml_document
from scythe_cli.core.units import MaxFailures
from scythe_cli.errors import ConfigError, did_you_mean, nearest
from scythe_cli.experiment import setting_sources
from scythe_cli.experiment.setting_sources import SettingValue
from scythe_cli.experiment.settings import (
    DEFAULT_FILE,
    DEFAULT_STORAGE,
    DESIGNS,
    ENGINES,
    SECTIONS,
    SETTINGS,
    DesignSettings,
    ExperimentFile,
    Resources,
    RunSettings,
    SpecsFile,
)
from scythe_cli.storage.address import Address

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

__all__ = [
    "DEFAULT_FILE",
    "DEFAULT_STORAGE",
    "ExperimentFile",
    "LoadedSettings",
    "MaxFailures",
    "Resources",
    "RunSettings",
    "dump",
    "find_storage",
    "from_values",
    "load",
    "parse",
    "settings",
]


@dataclass(frozen=True)
class LoadedSettings:
    """The settings and where they came from.

    Attributes:
        file: the settings; `storage` is an absolute path or an s3:// address.
        folder: what relative paths of the file start from, absolute.
        path: the file as it was named, or None when there was none.
        given: every value that was given, with its place.
        notices: what was given and has no effect, a sentence each.
    """

    file: ExperimentFile
    folder: Path
    path: Path | None
    given: Mapping[yaml_document.Path, SettingValue]
    notices: tuple[str, ...] = ()

    def place(self, key: str) -> str:
        """Where `run.timeout` (say) was given; the file, or "the defaults", when nowhere."""
        return _origin(tuple(key.split(".")), self.given, str(self.path or "the defaults"))

    def with_options(self, options: Mapping[str, Any]) -> LoadedSettings:
        """The settings with `Register`'s options below everything that was given."""
        lowest = {path: one for path, one in self.given.items() if one.origin.startswith(setting_sources.TIMEOUTS)}
        above = {path: one for path, one in self.given.items() if path not in lowest}
        given = lowest | setting_sources.from_options(options) | above
        return replace(_loaded(given, self.folder, self.path), notices=self.notices)

    def with_name(self, default: str) -> LoadedSettings:
        """The settings with a name, `default` unless one was given."""
        return self if self.file.name else replace(self, file=self.file.model_copy(update={"name": default}))

    def specs(self) -> str | SpecsFile | DesignSettings:
        """The address of the specs, their table, or their design. Raises `ConfigError` when none was given."""
        if self.file.specs is None:
            raise ConfigError(f"{self.place('specs')}  specs is missing: name a csv, parquet, feather or ndjson file")
        return self.file.specs


def load(
    path: str | Path = DEFAULT_FILE,
    *,
    sets: Iterable[str] = (),
    flags: Mapping[str, str | None] = MappingProxyType({}),
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> LoadedSettings:
    """Read an experiment file and what overrules it: flag > file > environment > `Register`'s options > default.

    Args:
        path: the file; or module:function in the current folder, for settings without a file.
        sets: each `--set`, "run.timeout=20m". Relative paths in it start from the current folder.
        flags: flags of their own by their key, {"storage": "./runs"}; None means not given.
        environ: the environment, `os.environ` unless given.
        options: `Register`'s options, `execution_timeout`, `retries`, `desired_worker_labels`.

    Raises:
        ConfigError: something is wrong; the message has a line for each problem.
    """
    path = Path(path)
    if is_target(path):
        target = {("experiment",): SettingValue(str(path), str(path))}
        return _with_surroundings(target | setting_sources.from_flags(sets, flags), options, environ, Path.cwd(), None)
    written = setting_sources.from_document(yaml_document.read(setting_sources.read_text(path), str(path)), str(path))
    flagged = setting_sources.from_flags(sets, flags)
    return _with_surroundings(written | flagged, options, environ, path.parent, path)


def included_code(file: Path) -> list[str]:
    """What counts as code besides modules, by the user's own file: the run's file may name any file of theirs."""
    return load(file).file.code.include if file.exists() else []


def is_target(path: str | Path) -> bool:
    """Whether what stands for an experiment file is a function, module:function or path/to/file.py:function."""
    where, colon, name = str(path).rpartition(":")
    return bool(colon and where and name.isidentifier()) and not Path(path).exists()


def from_values(
    values: Mapping[str, object],
    *,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> LoadedSettings:
    """Settings without a file: `values` by dotted key as a program gives them; None means not given.

    Raises:
        ConfigError: something is wrong; the message has a line for each problem.
    """
    given = {key: value for key, value in values.items() if value is not None}
    arguments = {tuple(key.split(".")): SettingValue(value, f"{key}={value!r}") for key, value in given.items()}
    return _with_surroundings(setting_sources.with_absolute_addresses(arguments), options, environ, folder, None)


def parse(text: str, *, place: str = DEFAULT_FILE, sets: Iterable[str] = ()) -> ExperimentFile:
    """Read a frozen file: its content, and flags. The inverse of `dump`."""
    return _build(
        setting_sources.from_document(yaml_document.read(text, place), place) | setting_sources.from_flags(sets, {}),
        place,
    )


def check_sets(sets: Iterable[str]) -> None:
    """Hold that every `--set` names a setting, and one value that it may have. Raises `ConfigError`."""
    _build({("experiment",): SettingValue("any:one", "")} | setting_sources.from_flags(sets, {}), "--set")


def dump(file: ExperimentFile) -> str:
    """The text that holds every setting, defaults too, and that `parse` reads as an equal object."""
    return yaml_document.write(file.model_dump(mode="json"))


def find_storage(
    flag: str | None = None, *, path: str | Path = DEFAULT_FILE, environ: Mapping[str, str] | None = None
) -> str:
    """The storage of a bare RUN: the flag, else the experiment file's if there is one, else the environment's."""
    if flag is None and Path(path).exists():
        return load(path, environ=environ).file.storage
    anything = {("experiment",): SettingValue("any:one", "")}
    surroundings = setting_sources.from_environment(os.environ if environ is None else environ)
    given = anything | surroundings | setting_sources.from_flags([], {"storage": flag})
    return _loaded(given, Path.cwd(), None).file.storage


def settings() -> list[str]:
    """Every key as `--set` takes it."""
    return [".".join(path) for path in SETTINGS]


def _with_surroundings(
    given: setting_sources.Layer,
    options: Mapping[str, Any],
    environ: Mapping[str, str] | None,
    folder: Path,
    path: Path | None,
) -> LoadedSettings:
    """The settings with the environment and `Register`'s options below what was given."""
    surroundings = os.environ if environ is None else environ
    lowest = setting_sources.from_timeouts(surroundings) | setting_sources.from_options(options)
    all_given = lowest | setting_sources.from_environment(surroundings) | given
    loaded = _loaded(setting_sources.with_variables(all_given, surroundings), folder, path)
    return replace(loaded, notices=tuple(setting_sources.ignored_variables(surroundings)))


def _loaded(given: Mapping[yaml_document.Path, SettingValue], folder: Path, path: Path | None) -> LoadedSettings:
    file, folder = _build(given, str(path or "the arguments")), setting_sources.absolute(folder)
    address = Address.parse(file.storage, folder)
    storage = str(address).rstrip("/") if address.is_remote else str(setting_sources.absolute(address.path))
    return LoadedSettings(file.model_copy(update={"storage": storage}), folder, path, MappingProxyType(dict(given)))


def _build(given: Mapping[yaml_document.Path, SettingValue], place: str) -> ExperimentFile:
    nested: dict[str, Any] = {}
    problems: dict[yaml_document.Path, str] = {}
    for path, item in given.items():
        if path in SETTINGS:
            section = nested.setdefault(path[0], {}) if len(path) == 2 else nested
            section[path[-1]] = item.value
        else:
            problems[path] = _not_a_setting(path)
    try:
        file = ExperimentFile.model_validate(nested)
    except ValidationError as exc:
        for error in exc.errors(include_url=False):
            path = _path_of(error["loc"])
            problems[path] = _wrong(path, error, given)
    if problems:
        order = [*given, *problems]
        lines = [f"{_origin(path, given, place)}  {problems[path]}" for path in sorted(problems, key=order.index)]
        raise ConfigError("\n".join(lines))
    return file


def _path_of(location: tuple[int | str, ...]) -> yaml_document.Path:
    """The keys of the file that pydantic's location means: without the form of `specs`, which no file names."""
    keys = tuple(map(str, location))
    return (keys[0], *keys[2:]) if keys[0] == "specs" else keys


def _origin(path: yaml_document.Path, given: Mapping[yaml_document.Path, SettingValue], otherwise: str) -> str:
    """The place of a key, or of the nearest key above it that has one."""
    if path in given:
        return given[path].origin
    for length in range(len(path), 0, -1):
        for known in given.values():
            if path[:length] in known.below:
                return known.below[path[:length]]
        if path[:length] in given:
            return given[path[:length]].origin
    return otherwise


def _not_a_setting(path: yaml_document.Path) -> str:
    key, section = ".".join(path), SECTIONS.get(path[0])
    if section and len(path) == 1:
        return f"{key} is a section: give its keys below it ({', '.join(section.model_fields)})"
    name, known_names = (path[-1], section) if section else (key, ExperimentFile)
    suggestion = did_you_mean(name, known_names.model_fields)
    elsewhere = {known[-1]: ".".join(known) for known in SETTINGS}
    if path[-1] in elsewhere:
        return f"{key} is not a setting. Did you mean {elsewhere[path[-1]]!r}?"
    near = nearest(path[-1], elsewhere)
    return f"{key} is not a setting.{suggestion or (f' Did you mean {elsewhere[near]!r}?' if near else '')}"


_FORMS_OF_SPECS = (
    'a table such as {file: cases.csv, separator: ";", decimal: ","}, or a design such as {design: sobol, n: 64}'
)
_RULES = {
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be text; put it in quotes",
    "string_too_short": "must not be empty",
    "string_too_long": "must be one character",
    "greater_than_equal": "must be {ge} or more",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}


def _wrong_in_specs(path: yaml_document.Path, error: ErrorDetails) -> str:
    key, of_table = ".".join(path), error["loc"][1] == "table"
    known, what = (SpecsFile.model_fields, "a table") if of_table else (DesignSettings.model_fields, "a design")
    if error["type"] == "missing":
        return f"{key} is missing: specs is the address of a table, or {_FORMS_OF_SPECS}"
    if error["type"] == "extra_forbidden":
        return f"{key} is not a setting of {what}.{did_you_mean(path[-1], known)} Known: {', '.join(known)}"
    rule = _RULES.get(error["type"], error["msg"]).format(**error.get("ctx", {}))
    near = did_you_mean(str(error["input"]), DESIGNS) if key == "specs.design" else ""
    return f"{key} is {error['input']!r}: {rule}{'.' if near else ''}{near}"


def _wrong(path: yaml_document.Path, error: ErrorDetails, given: Mapping[yaml_document.Path, SettingValue]) -> str:
    key = ".".join(path)
    if path[0] == "specs" and len(path) > 1:
        return _wrong_in_specs(path, error)
    while path not in given and path[-1].isdecimal():  # one of a list
        path = path[:-1]
    if path not in given:
        return f"{key} is missing. {ExperimentFile.model_fields[key].description}"
    value = given[path].value
    if value is None:
        return f"{key} is empty: give a value, or leave it out for the default"
    if path == ("specs",) and isinstance(value, list):
        return f"{key} is a list: name one file, or a folder of parquet files; put all specs into it"
    if path == ("specs",) and isinstance(value, dict):
        return f"{key}: {error['msg'].removeprefix('Value error, ')}"
    rule = _RULES.get(error["type"], error["msg"]).format(**error.get("ctx", {}))
    near = did_you_mean(str(value), ENGINES) if key == "engine" else ""
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return f"{key} is {shown}: {rule}{'.' if near else ''}{near}"

"""experiment.yml, flags and the environment, made into one frozen `ExperimentFile`.

Takes the file's path, the flags and the environment; leaves the settings with every value resolved to plain numbers, or
one `ConfigError` that names each wrong value's place, rule, and nearest right name.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from scythe_cli import layout, yamlfile
from scythe_cli.errors import ConfigError, did_you_mean
from scythe_cli.quantities import NONE, Limit, MaxFailures, OptionalBytes, OptionalSeconds, PositiveSeconds, Seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

__all__ = [
    "ExperimentFile",
    "Loaded",
    "MaxFailures",
    "RunSettings",
    "dump",
    "find_storage",
    "from_values",
    "load",
    "parse",
    "settings",
]

DEFAULT_FILE = "experiment.yml"
DEFAULT_STORAGE = "./scythe-runs"
DEFAULT_PREFIX = "scythe"
AUTO = "auto"
ENGINES = ("local", "hatchet")
S3 = "s3://"
LEAST_MEMORY = 16 << 20
"""Less than this no Python process can start in."""

_TARGET = r"^.+:[^\W\d]\w*$"
_STORAGE = r"^(s3://[^/\s]+(/.*)?|(?![A-Za-z0-9+.-]+:/).+)$"


def _target(value: str) -> str:
    if not re.match(_TARGET, value):
        raise ValueError("must be module:function or path/to/file.py:function")
    return value


def _storage(value: str) -> str:
    if not re.match(_STORAGE, value):
        raise ValueError("must be a folder or s3://bucket/prefix")
    return value


def _name(value: str) -> str:
    if not layout.is_safe_name(value):
        raise ValueError(layout.NAME_RULE)
    return value


def _leaf_size(value: object) -> object:
    if value == AUTO or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= layout.BLOCK):
        return value
    raise ValueError(f"must be auto or a whole number from 1 to {layout.BLOCK}")


def _enough(value: int | None) -> int | None:
    if value is not None and value < LEAST_MEMORY:
        raise ValueError("must be at least 16MiB, with a unit, such as 4GiB")
    return value


class Settings(BaseModel):
    """Common to the sections: nothing unknown, nothing converted silently, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RunSettings(Settings):
    """How the specs are run."""

    timeout: OptionalSeconds = Field(
        default=None,
        description="One attempt of one spec; then its process and all its children are killed. Default: none.",
        examples=["10m", "1h30m", 45],
    )
    retries: int = Field(
        default=1, ge=0, description="More attempts of one spec after an exception, a crash or a timeout.", examples=[1]
    )
    max_failures: Limit = Field(
        default=MaxFailures(),
        description="Failed specs, a number or a percentage of the finished ones (counted once 20 have finished); past "
        "it the run stops. `all`: never stop, not even when the first 20 specs all fail alike. Default: none.",
        examples=["5%", 12, "all"],
        json_schema_extra={"default": NONE},
    )
    memory: Annotated[OptionalBytes, AfterValidator(_enough)] = Field(
        default=None,
        description="Memory of one spec's process and its children; past it they are killed. Default: none.",
        examples=["4GiB", "500MB"],
    )
    grace: Seconds = Field(
        default=30.0,
        description="What running specs get to end when the run is asked to stop.",
        examples=["30s", "2m"],
        json_schema_extra={"default": "30s"},
    )
    flush: PositiveSeconds = Field(
        default=30.0,
        description="Finished specs are in the store at the latest after this.",
        examples=["30s"],
        json_schema_extra={"default": "30s"},
    )
    leaf_size: Annotated[
        int | Literal["auto"],
        BeforeValidator(_leaf_size),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": layout.BLOCK}, {"const": AUTO}]}),
    ] = Field(
        default="auto",
        description=f"Specs a leaf, at most {layout.BLOCK}; `auto` adapts to what a spec is seen to cost.",
        examples=["auto", 100],
    )
    workers: int | None = Field(
        default=None, ge=1, description="Local engine: processes. Default: the cores of the machine.", examples=[4]
    )


class ArtifactSettings(Settings):
    """What becomes of input files."""

    copy_remote: bool = Field(default=False, description="Also copy s3:// and https:// input files into the run.")


class Resources(Settings):
    """Which workers may take the leaves."""

    high_memory: bool = Field(default=False, description="Only workers with the label high_memory=true.")
    high_cpu: bool = Field(default=False, description="Only workers with the label high_cpu=true.")
    has_gpu: bool = Field(default=False, description="Only workers with the label has_gpu=true.")


class TreeSettings(Settings):
    """The shape of the fan-out on Hatchet."""

    factor: int = Field(default=16, ge=2, description="Children of one node.")
    max_depth: int = Field(default=4, ge=0, description="Levels of nodes between the root and the leaves.")


class ExperimentFile(Settings):
    """One experiment and how to run it: the content of experiment.yml."""

    experiment: Annotated[str, AfterValidator(_target)] = Field(
        description="The function: module:function, or path/to/file.py:function, from this file's folder.",
        examples=["building_energy:simulate_energy", "models/epidemic.py:simulate"],
        json_schema_extra={"pattern": r"^.+:[^\s:]+$"},
    )
    specs: str | None = Field(
        default=None,
        min_length=1,
        description="The table of specs: csv, parquet, feather or ndjson; a path from this file's folder, an s3:// or "
        "https:// address.",
        examples=["specs.csv", "s3://bucket/specs.parquet"],
    )
    name: Annotated[str, AfterValidator(_name)] | None = Field(
        default=None,
        description="The name of the runs' folder. Default: the function's name.",
        examples=["building_energy"],
        json_schema_extra={"pattern": layout.NAME_PATTERN},
    )
    storage: Annotated[str, AfterValidator(_storage)] = Field(
        default=DEFAULT_STORAGE,
        description="Where runs live: a folder, relative to this file, or s3://bucket/prefix.",
        examples=[DEFAULT_STORAGE, "s3://bucket/prefix"],
        json_schema_extra={"pattern": _STORAGE},
    )
    engine: Literal["local", "hatchet"] = Field(default="local", description="What decides where and when specs run.")
    run: RunSettings = Field(default_factory=RunSettings, description="How the specs are run.")
    artifacts: ArtifactSettings = Field(default_factory=ArtifactSettings, description="What becomes of input files.")
    resources: Resources = Field(default_factory=Resources, description="Which workers may take the leaves.")
    tree: TreeSettings = Field(default_factory=TreeSettings, description="The shape of the fan-out on Hatchet.")


@dataclass(frozen=True)
class Given:
    """One value and the place that gave it: "experiment.yml:12", "--set name=x", "SCYTHE_ENGINE=x"."""

    value: object
    origin: str


Layer = dict[yamlfile.Path, Given]
"""What one source gives, by the key's path."""


@dataclass(frozen=True)
class Loaded:
    """The settings and where they came from.

    Attributes:
        file: the settings; `storage` is an absolute path or an s3:// address.
        folder: what relative paths of the file start from, absolute.
        path: the file as it was named, or None when there was none.
        given: every value that was given, with its place.
    """

    file: ExperimentFile
    folder: Path
    path: Path | None
    given: Mapping[yamlfile.Path, Given]

    def place(self, key: str) -> str:
        """Where `run.timeout` (say) was given; the file, or "the defaults", when nowhere."""
        given = self.given.get(tuple(key.split(".")))
        return given.origin if given else str(self.path or "the defaults")

    def with_options(self, options: Mapping[str, Any]) -> Loaded:
        """The settings with `Register`'s options below everything that was given."""
        given = _options(options) | dict(self.given)
        return _loaded(given, self.folder, self.path)

    def with_name(self, default: str) -> Loaded:
        """The settings with a name, `default` unless one was given."""
        return self if self.file.name else replace(self, file=self.file.model_copy(update={"name": default}))

    def specs(self) -> str:
        """The address of the specs. Raises `ConfigError` when none was given."""
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
) -> Loaded:
    """Read an experiment file and what overrules it: flag > file > environment > `Register`'s options > default.

    Args:
        path: the file.
        sets: each `--set`, "run.timeout=20m". Relative paths in it start from the current folder.
        flags: flags of their own by their key, {"storage": "./runs"}; None means not given.
        environ: the environment, `os.environ` unless given.
        options: `Register`'s options, `execution_timeout`, `retries`, `desired_worker_labels`.

    Raises:
        ConfigError: something is wrong; the message has a line for each problem.
    """
    path = Path(path)
    written = _flatten(yamlfile.read(_text(path), str(path)), str(path))
    surroundings = _environment(os.environ if environ is None else environ)
    given = _options(options) | surroundings | written | _flags(sets, flags)
    return _loaded(given, path.parent, path)


def from_values(
    values: Mapping[str, object],
    *,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Loaded:
    """Settings without a file: `values` by dotted key as a program gives them; None means not given.

    Raises:
        ConfigError: something is wrong; the message has a line for each problem.
    """
    arguments = {
        tuple(key.split(".")): Given(value, f"{key}={value!r}") for key, value in values.items() if value is not None
    }
    surroundings = _environment(os.environ if environ is None else environ)
    given = _options(options) | surroundings | _from_here(arguments)
    return _loaded(given, folder, None)


def parse(text: str, *, place: str = DEFAULT_FILE, sets: Iterable[str] = ()) -> ExperimentFile:
    """Read a frozen file: what stands there, and flags. The inverse of `dump`."""
    return _build(_flatten(yamlfile.read(text, place), place) | _flags(sets, {}), place)


def dump(file: ExperimentFile) -> str:
    """The text that holds every setting, defaults too, and that `parse` reads as an equal object."""
    return yamlfile.write(file.model_dump(mode="json"))


def find_storage(
    flag: str | None = None, *, path: str | Path = DEFAULT_FILE, environ: Mapping[str, str] | None = None
) -> str:
    """The storage of a bare RUN: the flag, else the experiment file's if there is one, else the environment's."""
    if flag is None and Path(path).exists():
        return load(path, environ=environ).file.storage
    anything = {("experiment",): Given("any:one", "")}
    surroundings = _environment(os.environ if environ is None else environ)
    given = anything | surroundings | _flags([], {"storage": flag})
    return _loaded(given, Path.cwd(), None).file.storage


def settings() -> list[str]:
    """Every key as `--set` takes it."""
    return [".".join(path) for path in _paths(ExperimentFile)]


def _paths(model: type[BaseModel]) -> list[yamlfile.Path]:
    found: list[yamlfile.Path] = []
    for name, field in model.model_fields.items():
        section = _section(field.annotation)
        found += [(name, *below) for below in _paths(section)] if section else [(name,)]
    return found


def _section(annotation: object) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


_SETTINGS = frozenset(_paths(ExperimentFile))
_SECTIONS = {name: kind for name, field in ExperimentFile.model_fields.items() if (kind := _section(field.annotation))}
_TEXTS = {(name,) for name in ExperimentFile.model_fields if name not in _SECTIONS}
_ADDRESSES = {("storage",), ("specs",)}


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        near = [file.name for file in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        where = f"looked in {_absolute(path.parent)}"
        message = f"{path}  does not exist ({where}).{did_you_mean(path.name, near)}"
        raise ConfigError(message, hint="`scythe init` writes a starter") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}  is a folder; name the file, such as {path / DEFAULT_FILE}") from None
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}  is not UTF-8 text (byte {exc.start}); an experiment file is YAML") from None
    except OSError as exc:
        raise ConfigError(f"{path}  cannot be read: {exc.strerror}") from exc


def _flatten(document: yamlfile.Document, place: str) -> Layer:
    layer: Layer = {}
    for key, value in document.data.items():
        if key not in _SECTIONS or not isinstance(value, dict | None):
            layer[(key,)] = Given(value, f"{place}:{document.lines[(key,)]}")
            continue
        for below, inner in (value or {}).items():
            layer[(key, below)] = Given(inner, f"{place}:{document.lines[(key, below)]}")
    return layer


def _flags(sets: Iterable[str], flags: Mapping[str, str | None]) -> Layer:
    layer: Layer = {}
    for text in sets:
        key, equals, value = text.partition("=")
        path = tuple(key.strip().split("."))
        if not equals:
            raise ConfigError(f"--set {text}  must be key=value, such as --set run.timeout=20m")
        layer[path] = Given(_from_text(path, value.strip()), f"--set {text}")
    for key, flag in flags.items():
        if flag is not None:
            layer[(key,)] = Given(flag, f"--{key} {flag}")
    return _from_here(layer)


def _environment(environ: Mapping[str, str]) -> Layer:
    layer: Layer = {}
    bucket = environ.get("SCYTHE_STORAGE_BUCKET")
    if bucket:
        prefix = environ.get("SCYTHE_STORAGE_BUCKET_PREFIX", DEFAULT_PREFIX).strip("/")
        address = f"{S3}{bucket}/{prefix}".rstrip("/")
        layer[("storage",)] = Given(address, f"SCYTHE_STORAGE_BUCKET={bucket}")
    if environ.get("SCYTHE_STORAGE"):
        layer[("storage",)] = Given(environ["SCYTHE_STORAGE"], f"SCYTHE_STORAGE={environ['SCYTHE_STORAGE']}")
    if environ.get("SCYTHE_ENGINE"):
        layer[("engine",)] = Given(environ["SCYTHE_ENGINE"], f"SCYTHE_ENGINE={environ['SCYTHE_ENGINE']}")
    for variable, value in environ.items():
        if variable.startswith("SCYTHE_RUN_") and value:
            path = ("run", variable.removeprefix("SCYTHE_RUN_").lower())
            layer[path] = Given(_from_text(path, value), f"{variable}={value}")
    return _from_here(layer)


_FLAG_WORDS = {True: True, False: False, "true": True, "false": False}


def _options(options: Mapping[str, Any]) -> Layer:
    layer: Layer = {}
    for option, key in [("execution_timeout", "timeout"), ("retries", "retries")]:
        if options.get(option) is not None:
            layer[("run", key)] = Given(options[option], f"Register({option}={options[option]!r})")
    for label, wanted in (options.get("desired_worker_labels") or {}).items():
        if label in Resources.model_fields:
            value = wanted.get("value") if isinstance(wanted, dict) else wanted
            origin = f"Register(desired_worker_labels={{{label!r}: {wanted!r}}})"
            layer[("resources", label)] = Given(_FLAG_WORDS.get(value, value), origin)
    return layer


def _from_text(path: yamlfile.Path, text: str) -> object:
    value = yamlfile.scalar(text)
    return text if path in _TEXTS and value is not None and not isinstance(value, str) else value


def _from_here(layer: Layer) -> Layer:
    """Make relative addresses absolute: a person types them from the folder she is in."""
    found = dict(layer)
    for path in _ADDRESSES & set(layer):
        value = layer[path].value
        if isinstance(value, str | Path) and str(value) and not _is_address(str(value)):
            found[path] = replace(layer[path], value=str(_absolute(Path(value).expanduser())))
    return found


def _is_address(text: str) -> bool:
    return re.match(r"[A-Za-z0-9+.-]+:/", text) is not None


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - drops "..", keeps symbolic links: other hosts may see only the link


def _loaded(given: Mapping[yamlfile.Path, Given], folder: Path, path: Path | None) -> Loaded:
    file, folder = _build(given, str(path or "the arguments")), _absolute(folder)
    local = not file.storage.startswith(S3)
    storage = str(_absolute(folder / Path(file.storage).expanduser())) if local else file.storage.rstrip("/")
    return Loaded(file.model_copy(update={"storage": storage}), folder, path, MappingProxyType(dict(given)))


def _build(given: Mapping[yamlfile.Path, Given], place: str) -> ExperimentFile:
    nested: dict[str, Any] = {}
    problems: dict[yamlfile.Path, str] = {}
    for path, item in given.items():
        if path in _SETTINGS:
            section = nested.setdefault(path[0], {}) if len(path) == 2 else nested
            section[path[-1]] = item.value
        else:
            problems[path] = _not_a_setting(path)
    try:
        file = ExperimentFile.model_validate(nested)
    except ValidationError as exc:
        for error in exc.errors(include_url=False):
            path = tuple(map(str, error["loc"]))
            problems[path] = _wrong(path, error, given)
    if problems:
        order = [*given, *problems]
        lines = [
            f"{given[path].origin if path in given else place}  {problems[path]}"
            for path in sorted(problems, key=order.index)
        ]
        raise ConfigError("\n".join(lines))
    return file


def _not_a_setting(path: yamlfile.Path) -> str:
    key, section = ".".join(path), _SECTIONS.get(path[0])
    if section and len(path) == 1:
        return f"{key} is a section: give its keys below it ({', '.join(section.model_fields)})"
    beside = did_you_mean(path[-1], section.model_fields) if section else did_you_mean(key, ExperimentFile.model_fields)
    elsewhere = {known[-1]: ".".join(known) for known in _SETTINGS}
    near = get_close_matches(path[-1], elsewhere, n=1)
    return f"{key} is not a setting.{beside or (f' Did you mean {elsewhere[near[0]]!r}?' if near else '')}"


_RULES = {
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be text; put it in quotes",
    "string_too_short": "must not be empty",
    "greater_than_equal": "must be {ge} or more",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}


def _wrong(path: yamlfile.Path, error: ErrorDetails, given: Mapping[yamlfile.Path, Given]) -> str:
    key = ".".join(path)
    if path not in given:
        return f"{key} is missing. {ExperimentFile.model_fields[key].description}"
    value = given[path].value
    if value is None:
        return f"{key} is empty: give a value, or leave it out for the default"
    rule = _RULES.get(error["type"], error["msg"]).format(**error.get("ctx", {}))
    near = did_you_mean(str(value), ENGINES) if key == "engine" else ""
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return f"{key} is {shown}: {rule}{'.' if near else ''}{near}"

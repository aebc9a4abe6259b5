"""Where settings come from: the file, flags, the environment, `Register`'s options. Each value keeps its place.

Input: the four sources as they are. Output: one `Layer` for each: values by their key's path, not checked yet.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scythe_cli.core import yaml_document
from scythe_cli.core.environment import UnsetVariable, expand
from scythe_cli.errors import ConfigError, did_you_mean
from scythe_cli.experiment.settings import DEFAULT_FILE, SECTIONS, ExperimentFile, Resources
from scythe_cli.storage.address import Address, Scheme

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT_PREFIX = "scythe"
TIMEOUTS = "SCYTHE_TIMEOUT_"
EXECUTION_TIMEOUT = f"{TIMEOUTS}EXPERIMENT_EXECUTION"
_TEXTS = {(name,) for name in ExperimentFile.model_fields if name not in SECTIONS}
_STARTER = "`scythe init` writes a starter, `scythe init --from module:function` the file for a function of yours"
_PATHS = {("experiment",), ("storage",), ("specs",)}
_ADDRESSES = {("storage",), ("specs",)}


@dataclass(frozen=True)
class SettingValue:
    """One value and the place that gave it: "experiment.yml:12", "--set name=x", "SCYTHE_ENGINE=x"."""

    value: object
    origin: str
    below: Mapping[yaml_document.Path, str] = field(default_factory=dict)
    """The places of the keys inside the value, by their whole path."""


Layer = dict[yaml_document.Path, SettingValue]
"""What one source gives, by the key's path."""


_NOT_YAML = {
    **dict.fromkeys([".py", ".ipynb"], "the code is named in it, `experiment: {}:function`"),
    **dict.fromkeys(
        [".csv", ".parquet", ".pq", ".feather", ".arrow", ".ipc", ".ndjson", ".jsonl"],
        "the table is named in it, `specs: {}`",
    ),
}


def read_text(path: Path) -> str:
    """An experiment file's text. Raises `ConfigError` when it cannot be read."""
    if instead := _NOT_YAML.get(path.suffix.lower()):
        rule = f"FILE is the experiment file ({DEFAULT_FILE}); {instead.format(path.name)}"
        raise ConfigError(f"{path}  is not YAML. {rule}", hint=_STARTER)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        near = [file.name for file in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        where = f"looked in {absolute(path.parent)}"
        message = f"{path}  does not exist ({where}).{did_you_mean(path.name, near)}"
        raise ConfigError(message, hint=_STARTER) from None
    except IsADirectoryError:
        raise ConfigError(f"{path}  is a folder; name the file, such as {path / DEFAULT_FILE}") from None
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}  is not UTF-8 text (byte {exc.start}); an experiment file is YAML") from None
    except OSError as exc:
        raise ConfigError(f"{path}  cannot be read: {exc.strerror}") from exc


def from_document(document: yaml_document.Document, place: str) -> Layer:
    """What a file gives; each value's place is its line."""
    layer: Layer = {}
    for key, value in document.data.items():
        if key not in SECTIONS or not isinstance(value, dict | None):
            inside = {path: f"{place}:{line}" for path, line in document.lines.items() if path[0] == key}
            layer[(key,)] = SettingValue(value, inside.pop((key,)), inside)
            continue
        for below, inner in (value or {}).items():
            layer[(key, below)] = SettingValue(inner, f"{place}:{document.lines[(key, below)]}")
    return layer


def from_flags(sets: Iterable[str], flags: Mapping[str, str | None]) -> Layer:
    """What `--set key=value` and flags of their own give, None meaning not given."""
    layer: Layer = {}
    for text in sets:
        key, equals, value = text.partition("=")
        path = tuple(key.strip().split("."))
        if not equals:
            raise ConfigError(f"--set {text}  must be key=value, such as --set run.timeout=20m")
        layer[path] = SettingValue(_from_text(path, value.strip()), f"--set {text}")
    for key, flag in flags.items():
        if flag is not None:
            layer[(key,)] = SettingValue(flag, f"--{key} {flag}")
    return with_absolute_addresses(layer)


def from_environment(environ: Mapping[str, str]) -> Layer:
    """What `SCYTHE_STORAGE`, `SCYTHE_ENGINE` and `SCYTHE_RUN_*` give; empty ones give nothing."""
    layer: Layer = {}
    bucket = environ.get("SCYTHE_STORAGE_BUCKET")
    if bucket:
        prefix = environ.get("SCYTHE_STORAGE_BUCKET_PREFIX", DEFAULT_PREFIX).strip("/")
        address = str(Address(Scheme.S3, bucket, prefix))
        layer[("storage",)] = SettingValue(address, f"SCYTHE_STORAGE_BUCKET={bucket}")
    if environ.get("SCYTHE_STORAGE"):
        layer[("storage",)] = SettingValue(environ["SCYTHE_STORAGE"], f"SCYTHE_STORAGE={environ['SCYTHE_STORAGE']}")
    if environ.get("SCYTHE_ENGINE"):
        layer[("engine",)] = SettingValue(environ["SCYTHE_ENGINE"], f"SCYTHE_ENGINE={environ['SCYTHE_ENGINE']}")
    for variable, value in environ.items():
        if variable.startswith("SCYTHE_RUN_") and value:
            path = ("run", variable.removeprefix("SCYTHE_RUN_").lower())
            layer[path] = SettingValue(_from_text(path, value), f"{variable}={value}")
    return with_absolute_addresses(layer)


def from_timeouts(environ: Mapping[str, str]) -> Layer:
    """scythe-engine's variable for the timeout of a spec. `Register`'s options go before it, as they did there."""
    value = environ.get(EXECUTION_TIMEOUT)
    return {("run", "timeout"): SettingValue(value, f"{EXECUTION_TIMEOUT}={value}")} if value else {}


def ignored_variables(environ: Mapping[str, str]) -> list[str]:
    """For each of scythe-engine's variables without an effect, a sentence that says so."""
    return [
        f"{name} has no effect: a task waits until a worker takes it, and a run has no time limit"
        for name in sorted(environ)
        if name.startswith(TIMEOUTS) and name != EXECUTION_TIMEOUT and environ[name]
    ]


_LISTS = {("code", "include"), ("slurm", "options")}
_WORDS = {"true": True, "yes": True, "false": False, "no": False}


def from_options(options: Mapping[str, Any]) -> Layer:
    """What `Register` was given, of the options that are settings too."""
    layer: Layer = {}
    for option, key in [("execution_timeout", "timeout"), ("retries", "retries")]:
        if options.get(option) is not None:
            layer[("run", key)] = SettingValue(options[option], f"Register({option}={options[option]!r})")
    for label, wanted in (options.get("desired_worker_labels") or {}).items():
        if label in Resources.model_fields:
            value = wanted.get("value") if isinstance(wanted, dict) else getattr(wanted, "value", wanted)
            origin = f"Register(desired_worker_labels={{{label!r}: {wanted!r}}})"
            layer[("resources", label)] = SettingValue(_WORDS.get(str(value).lower(), value), origin)
    return layer


def _from_text(path: yaml_document.Path, text: str) -> object:
    if path in _LISTS:
        return [one.strip() for one in text.removeprefix("[").removesuffix("]").split(",") if one.strip()]
    value = yaml_document.scalar(text)
    return text if path in _TEXTS and value is not None and not isinstance(value, str) else value


def with_variables(layer: Layer, environ: Mapping[str, str]) -> Layer:
    """Put the values of variables into paths, `${SCRATCH}/runs`.

    Raises:
        ConfigError: a variable is not set.
    """
    found = dict(layer)
    for path in _PATHS & layer.keys():
        try:
            found[path] = replace(layer[path], value=_expanded(layer[path].value, environ))
        except UnsetVariable as exc:
            raise ConfigError(f"{layer[path].origin}  {'.'.join(path)} = {layer[path].value!r}: {exc}") from exc
    return found


def _expanded(value: object, environ: Mapping[str, str]) -> object:
    if isinstance(value, str):
        return expand(value, environ)
    if isinstance(value, dict):
        return {key: _expanded(inner, environ) for key, inner in value.items()}
    return [_expanded(inner, environ) for inner in value] if isinstance(value, list) else value


def with_absolute_addresses(layer: Layer) -> Layer:
    """Make relative addresses absolute: a person types them from the folder she is in."""
    found = dict(layer)
    for path in _ADDRESSES & set(layer):
        value = layer[path].value
        if isinstance(value, str | Path) and str(value) and not _is_address(str(value)) and "${" not in str(value):
            found[path] = replace(layer[path], value=str(absolute(Path(value).expanduser())))
    return found


def _is_address(text: str) -> bool:
    return re.match(r"[A-Za-z0-9+.-]+:/", text) is not None


def absolute(path: Path) -> Path:
    """From the current folder, without `..`, symbolic links kept."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - `resolve` would follow links, and another host may see only the link

"""What `scythe init` writes: the files of a template, or an experiment file and a table's header for a function.

Input: a folder. Output: the files in it, or nothing: an existing file is never overwritten.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from scythe_cli.cli import schemas
from scythe_cli.core import yaml_document
from scythe_cli.errors import InputError, StoreError
from scythe_cli.experiment import experiment
from scythe_cli.experiment.field_kinds import user_fields
from scythe_cli.experiment.settings import DEFAULT_FILE, DEFAULT_STORAGE
from scythe_cli.experiment.source_files import named_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

SPECS_FILE = "specs.csv"
_PREPARE = "prepare.py"
_NO_VALUE = object()
_MORE = """
# specs may also be an xlsx, parquet, feather or ndjson file

run:
  # timeout: 10m        # a spec that takes longer fails, and the others continue
  # retries: 1          # more attempts of a failed spec; default: 1 if its process crashed
  # max_failures: 5%    # stop the run when more specs have failed
  # memory: 4GiB        # for one spec
  # workers: 4          # processes that run specs; default: one per core
"""


@dataclass(frozen=True)
class Starter:
    """What was written.

    Attributes:
        files: in the order a reader opens them; then files and folders that the template's own script made.
        problem: why the template's data could not be prepared, or "".
        has_specs: whether the table has at least one row.
    """

    folder: Path
    files: tuple[Path, ...]
    problem: str = ""
    has_specs: bool = True

    @property
    def experiment_file(self) -> Path:
        """Where `scythe allocate` starts."""
        return self.folder / DEFAULT_FILE

    @property
    def specs_file(self) -> Path:
        """The table."""
        return self.folder / SPECS_FILE


def from_template(template: str, folder: Path) -> Starter:
    """Write a template, "minimal" or "energy", that runs as it is.

    Raises:
        InputError: a file is there already.
        StoreError: the folder cannot be written.
    """
    source = files("scythe_cli").joinpath("templates", template)
    texts = {
        item.name: item.read_text(encoding="utf-8")
        for item in sorted(source.iterdir(), key=lambda item: item.name)
        if item.is_file() and item.name.endswith((".py", ".yml", ".csv"))
    }
    written = _write(folder, texts)
    before = set(folder.iterdir())
    problem = _prepare(folder) if _PREPARE in texts else ""
    return Starter(folder, (*written, *sorted(set(folder.iterdir()) - before)), problem)


def from_function(target: str, folder: Path) -> Starter:
    """Write an experiment file for a function, and a table with a column for each of its input's fields.

    A table that is there already is the experiment's.

    Raises:
        EntryPointError: the function is not an experiment.
        InputError: a file is there already.
        StoreError: the folder cannot be written.
    """
    found = experiment.load(target, folder, place=f"--from {target}")
    row = example_row(found.input_model)
    table = io.StringIO()
    lines = csv.writer(table, lineterminator="\n")
    lines.writerow(user_fields(found.input_model))
    if row is not None:
        lines.writerow([_cell(value) for value in row.values()])
    settings: dict[str, Any] = {"experiment": target, "specs": SPECS_FILE, "name": found.name}
    settings["storage"] = DEFAULT_STORAGE
    if include := named_files(found.sources.values(), found.folder):
        settings["code"] = {"include": include}
    head = f"# yaml-language-server: $schema=./{schemas.file_name('experiment')}\n"
    texts = {DEFAULT_FILE: head + yaml_document.write(settings) + _MORE, SPECS_FILE: table.getvalue()}
    if has_table := (folder / SPECS_FILE).is_file():
        del texts[SPECS_FILE]
    return Starter(folder, _write(folder, texts), has_specs=has_table or row is not None)


def example_row(model: type[BaseModel]) -> dict[str, Any] | None:
    """A valid value for each of a model's fields, where its defaults, examples, choices and bounds give them all."""
    row = {name: _example(model.model_fields[name]) for name in user_fields(model)}
    if any(value is _NO_VALUE for value in row.values()):
        return None
    try:
        model.model_validate(row)
    except ValidationError:
        return None
    return row


def _example(field: FieldInfo) -> object:
    if not field.is_required():
        return field.get_default(call_default_factory=True, validated_data={})
    if field.examples:
        return field.examples[0]
    kind = field.annotation
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    if kind is bool:
        return False
    return _between(field) if kind in {int, float} else _NO_VALUE


def _between(field: FieldInfo) -> object:
    """The middle of a number's bounds, or just inside the one it has."""
    marks = [(name, getattr(item, name, None)) for item in field.metadata for name in ("ge", "gt", "le", "lt")]
    bounds = {name[0]: bound for name, bound in marks if bound is not None}
    if not bounds:
        return _NO_VALUE
    low = bounds.get("g", bounds.get("l", 0) - 2)
    high = bounds.get("l", low + 2)
    return int((low + high) / 2) if field.annotation is int else (low + high) / 2


def _cell(value: object) -> str:
    plain = to_jsonable_python(value)
    if plain is None or isinstance(plain, str):
        return plain or ""
    return json.dumps(plain)


def _write(folder: Path, texts: Mapping[str, str]) -> tuple[Path, ...]:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}  is not a folder", hint="give another folder: scythe init DIR")
    contents = {**texts, schemas.file_name("experiment"): schemas.text("experiment")}
    contents = {name: text for name, text in contents.items() if not _is_same_schema(folder / name, text)}
    taken = [name for name in contents if (folder / name).exists()]
    if taken:
        message = f"{folder}  already has {', '.join(taken)}; nothing was written"
        raise InputError(message, hint="give another folder: scythe init DIR")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            with (folder / name).open("x", encoding="utf-8", newline="") as file:
                file.write(text)
    except OSError as exc:
        raise StoreError(f"{folder}  cannot be written: {exc.strerror}") from exc
    return tuple(folder / name for name in contents)


def _is_same_schema(path: Path, text: str) -> bool:
    """Whether an editor's schema is there already, as it would be written."""
    if path.name != schemas.file_name("experiment") or not path.is_file():
        return False
    return path.read_bytes() == text.encode()


def _prepare(folder: Path) -> str:
    done = subprocess.run([sys.executable, _PREPARE], cwd=folder, capture_output=True, text=True, check=False)
    return (done.stderr.strip() or f"{_PREPARE} failed") if done.returncode else ""

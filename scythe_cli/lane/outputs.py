"""What the user's function returned: its files and frames are taken over, its scalars held against the model.

Input: output models, one by one. Output: files in the supervisor's outbox, frames and scalars in the pending outcomes.
"""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scythe_cli.columns import frames
from scythe_cli.core import layout
from scythe_cli.core.clock import Clock
from scythe_cli.experiment.field_kinds import DATAFRAMES, file_fields, index_columns
from scythe_cli.lane.output_model import InvalidOutput, OutputValues, invalid
from scythe_cli.run.outcomes import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from pydantic import BaseModel

    from scythe_cli.lane.output_model import OutputModel
    from scythe_cli.lane.pending import Pending

SUFFIX_BYTES = 100
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


class Outputs:
    """Accepts the outputs of one run.

    Args:
        outputs: the output model.
        input_model: the input model, for the index columns a frame may bring along.
        outbox: the supervisor's folder; files in it are the supervisor's.
        root: the run's address.
        nan_fails: an output that is NaN is a wrong output.
        at_once: judge each output wholly while the folder of its spec is there; else its bounds are looked at later.
        claim: how often the rows were claimed.

    Attributes:
        files: the names of the output's file fields.
        take: the scalars of an output that is accepted as it is, without any code of the user's; None where `accept`
            decides.
    """

    def __init__(
        self,
        outputs: OutputModel,
        input_model: type[BaseModel] | None,
        *,
        outbox: str,
        root: str,
        nan_fails: bool = False,
        at_once: bool = False,
        claim: int = 1,
    ) -> None:
        self._outputs = outputs
        self._outbox = Path(outbox)
        self._root = root
        self.files = file_fields(outputs.model)
        self._nan_fails = nan_fails
        self._at_once = at_once
        plain = not (self.files or nan_fails or at_once)
        self.take: Callable[[Any], tuple[Any, ...] | None] = outputs.take if plain else _take_none
        self._claim = claim
        self._index = index_columns(input_model) if input_model is not None else ()

    def accept(self, pending: Pending, row: int, spec: Any, output: Any, tempdir: Path) -> Any:
        """Take over an output's files and frames. Returns it normalized, or a `Failure` that says what is wrong."""
        if not isinstance(output, self._outputs.model):
            given = _named(output)
            return invalid(f"the function returned {given}, not {self._outputs.name}", f"return {given}")
        frames_of = output.__dict__.get(DATAFRAMES)
        if not self.files and not frames_of:
            return self._normalize(output)
        if failure := self._take_parts(pending, row, spec, output, tempdir):
            return failure
        normalized = self._normalize(output)
        if type(normalized) is Failure:
            pending.discard(row)
        return normalized

    def keep(self, pending: Pending, row: int, spec: Any, output: Any, tempdir: Path) -> Any:
        """As `accept`, and the values that an output has now: the next spec may change it and return it again."""
        normalized = self.accept(pending, row, spec, output, tempdir)
        return OutputValues({**output.__dict__}) if normalized is output else normalized

    def refusal(self, exc: BaseException) -> Failure:
        """What was raised about an output, as its failure."""
        return self._outputs.refusal(exc)

    def _normalize(self, output: Any) -> Any:
        normalized = self._outputs.normalize(output)
        if self._at_once and normalized is output and not self._outputs.is_surely_valid(output.__dict__):
            normalized = self._outputs.validate(output)
        if self._nan_fails and type(normalized) is not Failure:
            for name, value in normalized.__dict__.items():
                if isinstance(value, float) and math.isnan(value):
                    return invalid(f"{name} is NaN, and run.nan is fail", self._outputs.place(name))
        return normalized

    def _take_parts(self, pending: Pending, row: int, spec: Any, output: Any, tempdir: Path) -> Failure | None:
        try:
            tables = self._tables(spec, output.__dict__.get(DATAFRAMES))
            files = self._take_files(row, spec, output, tempdir)
        except InvalidOutput as exc:
            return invalid(str(exc), self._outputs.place(exc.part))
        except OSError as exc:
            return invalid(str(exc), self._outputs.name)
        for name, table in tables.items():
            pending.frames.setdefault(name, {})[row] = table
            pending.weight += table.nbytes
        for name, (local, key) in files.items():
            pending.files.setdefault(row, {})[name] = f"{self._root}/{key}" if local else key
            if local:
                pending.uploads.setdefault(row, []).append((local, key))
        return None

    def _tables(self, spec: Any, given: Any) -> dict[str, pa.Table]:
        if not given:
            return {}
        if not isinstance(given, dict):
            raise InvalidOutput(DATAFRAMES, f"{DATAFRAMES} is {_named(given)}, not a dict of tables by name")
        index = {name: getattr(spec, name) for name in self._index}
        index |= {name: value for name, value in (spec.model_extra or {}).items() if not isinstance(value, list | dict)}
        index |= spec.computed_features
        tables = {}
        part = DATAFRAMES  # a name that cannot be may be another one for each spec
        try:
            for name in map(frames.check_name, given):
                part = f"{DATAFRAMES}[{name!r}]"
                tables[name] = frames.to_arrow(name, given[name], index)
                part = DATAFRAMES
        except frames.BadFrame as exc:
            raise InvalidOutput(part, str(exc)) from exc
        return tables

    def _take_files(self, row: int, spec: Any, output: Any, tempdir: Path) -> dict[str, tuple[str, str]]:
        held = output.__dict__
        given = {name: _path_of(held[name]) for name in self.files if held.get(name) is not None}
        paths = {name: value for name, value in given.items() if isinstance(value, Path)}
        for name, path in paths.items():
            if not path.is_file():
                what = "is a folder" if path.is_dir() else "is no regular file" if path.exists() else "does not exist"
                raise InvalidOutput(
                    name, f"{name} = {str(path)!r} {what}; the function must write the file before it returns"
                )
        taken = {name: ("", _address(name, value)) for name, value in given.items() if name not in paths}
        again = [path.resolve() for path in paths.values()]
        for name, path in paths.items():
            again.pop(0)
            local = self._outbox / f"{row}-{name}-{Clock.monotonic_ns()}"
            own = not path.is_symlink() and path.resolve().is_relative_to(tempdir.resolve())
            try:
                self._outbox.mkdir(parents=True, exist_ok=True)  # who cleans /tmp may have taken an empty folder away
                if own and path.resolve() not in again:
                    path.rename(local)
                else:
                    shutil.copyfile(path, local)
            except OSError as exc:
                raise InvalidOutput(name, str(exc)) from exc
            key = layout.result(name, spec.workflow_run_id, _suffixes(path), claim=self._claim)
            taken[name] = (str(local), key)
        return taken


def _take_none(output: Any) -> None:
    """Of this model's outputs, `accept` has to look at each."""


def _path_of(value: Any) -> Any:
    """A local path that was put into the field as text, past the model's checks, as a path."""
    return Path(value) if type(value) is str and "://" not in value else value


def _address(name: str, value: object) -> str:
    """An address as a column holds it."""
    try:
        return str(value).encode().decode()
    except UnicodeEncodeError as exc:
        raise InvalidOutput(name, f"{name} = {value!r} is not an address: {exc}") from exc


def _suffixes(path: Path) -> str:
    """All of a name's suffixes, ".csv.gz", without what a key or another system's file name may not hold.

    The last alone where they are longer than any name should be.
    """
    cleaned = [_UNSAFE.sub("", suffix) for suffix in path.suffixes]
    kept = [suffix for suffix in cleaned if suffix != "."]
    suffixes = "".join(kept)
    return suffixes if len(suffixes) <= SUFFIX_BYTES else kept[-1][: SUFFIX_BYTES // 4]


def _named(value: object) -> str:
    return "None" if value is None else f"{type(value).__module__}.{type(value).__qualname__}"

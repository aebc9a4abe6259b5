"""What the user's function returned, as columns, files and frames.

Takes output models one by one, leaves Arrow batches. Outputs that were built or changed past their model's own checks
are found column-wise, and only those are put to the model again.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
from pydantic import ValidationError

from scythe_cli.columns import frames
from scythe_cli.columns.checks import check_bounds
from scythe_cli.columns.model_fields import read_fields
from scythe_cli.columns.schema import ColumnError, as_cell, exact_types, to_column
from scythe_cli.core import layout
from scythe_cli.core.clock import Clock
from scythe_cli.core.validation_errors import Problem, model_errors
from scythe_cli.experiment.field_kinds import file_fields, index_columns
from scythe_cli.experiment.signature import DATAFRAMES
from scythe_cli.run.outcomes import (
    INVALID_OUTPUT,
    MESSAGE_LIMIT,
    Failure,
    cut,
    describe_exception,
    outcome_schema,
    scalar_schema,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

SUFFIX_BYTES = 100
COLUMNS = ("rows", "sort_indexes", "outputs", "attempts", "starts", "durations", "logs")
"""Of `Pending`, in the order in which an outcome is added."""
SAMPLES = 20
"""Failures of a batch that its header describes."""
_NAME = re.compile(r"\w+")
_STRICT = frozenset({"int", "float", "str", "bool", "date", "datetime", "time", "timedelta", "bytes"})
"""Types whose values, once validated, are of Python's own classes."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass
class Pending:
    """Outcomes that were not handed over yet, column by column; `None` in `outputs` is a failure.

    What is added waits as it is and becomes columns at once, in `settle`: that is half of the cost of seven appends.
    """

    added: list[tuple[int, int, Any, int, float, float, str | None]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    sort_indexes: list[int] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)
    logs: list[str | None] = field(default_factory=list)
    failures: dict[int, Failure] = field(default_factory=dict)
    files: dict[int, dict[str, str]] = field(default_factory=dict)
    uploads: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    frames: dict[str, dict[int, pa.Table]] = field(default_factory=dict)
    retry: list[int] = field(default_factory=list)
    weight: int = 0

    def __bool__(self) -> bool:
        return bool(self.added or self.rows or self.retry)

    def add(
        self, row: int, sort_index: int, output: Any, attempt: int, start: float, duration: float, log: str | None
    ) -> None:
        """One more outcome; `start` on the wall clock, `duration` in seconds."""
        self.added.append((row, sort_index, output, attempt, start, duration, log))

    def fail(
        self, row: int, sort_index: int, failure: Failure, attempt: int, start: float, duration: float, log: str
    ) -> None:
        """One more outcome, which is a failure."""
        self.add(row, sort_index, None, attempt, start, duration, log)
        self.failures[row] = failure
        self.weight += len(log) + len(failure.traceback)

    def settle(self) -> None:
        """Make columns of what was added."""
        if self.added:
            for name, values in zip(COLUMNS, zip(*self.added, strict=True), strict=True):
                getattr(self, name).extend(values)
            self.added.clear()

    def split_off(self, rows: set[int]) -> Pending:
        """Move some rows to a batch of their own."""
        apart = Pending()
        keep = [at for at, row in enumerate(self.rows) if row not in rows]
        move = [at for at, row in enumerate(self.rows) if row in rows]
        for name in COLUMNS:
            column = getattr(self, name)
            setattr(apart, name, [column[at] for at in move])
            setattr(self, name, [column[at] for at in keep])
        for name in ("failures", "files", "uploads"):
            held = getattr(self, name)
            setattr(apart, name, {row: held.pop(row) for row in rows if row in held})
        for frame, tables in self.frames.items():
            moved = {row: tables.pop(row) for row in rows if row in tables}
            if moved:
                apart.frames[frame] = moved
        return apart

    def join(self, other: Pending) -> None:
        """Take in what was set aside."""
        self.settle()
        for name in COLUMNS:
            getattr(self, name).extend(getattr(other, name))
        for name in ("failures", "files", "uploads"):
            getattr(self, name).update(getattr(other, name))
        for frame, tables in other.frames.items():
            self.frames.setdefault(frame, {}).update(tables)

    def forget(self, row: int) -> None:
        """Let go of the files and frames of an output that was refused after they were taken over."""
        self.files.pop(row, None)
        self.uploads.pop(row, None)
        for tables in self.frames.values():
            tables.pop(row, None)


class Sound:
    """The scalars of an output as its columns take them: no code of the user's runs for them any more.

    Attributes:
        output: what they are of, while its model may still have to be asked about it.
    """

    __slots__ = ("__dict__", "output")

    def __init__(self, values: dict[str, Any], output: Any = None) -> None:
        self.__dict__ = values
        self.output = output


class Unfit(ValueError):
    """A part of an output that cannot be taken over.

    Attributes:
        part: a field, or `dataframes['name']`.
    """

    def __init__(self, part: str, message: str) -> None:
        super().__init__(message)
        self.part = part


class Outputs:
    """Accepts outputs of one model and turns them into batches.

    Args:
        model: the output model.
        input_model: the input model, for the index columns a frame may bring along.
        worker: who runs, for the outcome's column.
        outbox: the supervisor's folder; files that stand in it are the supervisor's.
        root: the run's address.
    """

    def __init__(
        self, model: type[BaseModel], input_model: type[BaseModel] | None, *, worker: str, outbox: str, root: str
    ) -> None:
        self._model = model
        self._worker = worker
        self._outbox = Path(outbox)
        self._root = root
        self._files = file_fields(model)
        self._index = index_columns(input_model) if input_model is not None else ()
        self._scalars = scalar_schema(model)
        self._schema = outcome_schema(model)
        self._exact = {f.name: exact_types(f) for f in self._scalars}

    def accept(self, pending: Pending, row: int, spec: Any, output: Any, tempdir: Path) -> Failure | None:
        """Take over an output's files and frames; say what is wrong with it, if anything."""
        if not isinstance(output, self._model):
            given = _named(output)
            return invalid(f"the function returned {given}, not {self._model.__name__}", f"return {given}")
        frames_of = output.__dict__.get(DATAFRAMES)
        if not self._files and not frames_of:
            return None
        try:
            tables = self._tables(spec, frames_of)
            files = self._take_files(row, spec, output, tempdir)
        except Unfit as exc:
            return invalid(str(exc), self._place(exc.part))
        except OSError as exc:
            return invalid(str(exc), self._model.__name__)
        for name, table in tables.items():
            pending.frames.setdefault(name, {})[row] = table
            pending.weight += table.nbytes
        for name, (local, key) in files.items():
            pending.files.setdefault(row, {})[name] = f"{self._root}/{key}" if local else key
            if local:
                pending.uploads.setdefault(row, []).append((local, key))
        return None

    def _place(self, part: str) -> str:
        """What tells the failures of one part of an output from those of another: "Out.heat"."""
        return f"{self._model.__name__}.{part}"

    def _tables(self, spec: Any, given: Any) -> dict[str, pa.Table]:
        if not given:
            return {}
        if not isinstance(given, dict):
            raise Unfit(DATAFRAMES, f"{DATAFRAMES} is {_named(given)}, not a dict of tables by name")
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
            raise Unfit(part, str(exc)) from exc
        return tables

    def _take_files(self, row: int, spec: Any, output: Any, tempdir: Path) -> dict[str, tuple[str, str]]:
        given = {name: output.__dict__[name] for name in self._files if output.__dict__.get(name) is not None}
        paths = {name: value for name, value in given.items() if isinstance(value, Path)}
        for name, path in paths.items():
            if not path.is_file():
                what = "is a folder" if path.is_dir() else "does not exist"
                raise Unfit(name, f"{name} = {str(path)!r} {what}; the function must write the file before it returns")
        taken = {name: ("", _address(name, value)) for name, value in given.items() if name not in paths}
        again = [path.resolve() for path in paths.values()]
        for name, path in paths.items():
            again.pop(0)
            local = self._outbox / f"{row}-{name}-{Clock.monotonic_ns()}"
            own = not path.is_symlink() and path.resolve().is_relative_to(tempdir.resolve())
            try:
                if own and path.resolve() not in again:
                    path.rename(local)
                else:
                    shutil.copyfile(path, local)
            except OSError as exc:
                raise Unfit(name, str(exc)) from exc
            taken[name] = (str(local), layout.result(name, spec.workflow_run_id, _suffixes(path)))
        return taken

    def settle(self, output: Any) -> Any:
        """The same output, its scalars as their columns take them where the model's types let values be anything."""
        values = output.__dict__
        if all(type(values.get(name)) in exact for name, exact in self._exact.items()):
            return output
        return Sound({f.name: as_cell(values.get(f.name), f) for f in self._scalars}, output)

    def judge(self, output: Any) -> Any:
        """The same output, when it has been asked all that it can be asked by code of the user's; or a `Failure`."""
        if not self._has_custom_validation and self._is_exact(output):
            return output
        alone = Pending(rows=[0], outputs=[output])
        self._checked(alone, _unwatched)
        if failure := alone.failures.get(0):
            return failure
        return Sound({f.name: alone.outputs[0].__dict__.get(f.name) for f in self._scalars})

    def _is_exact(self, output: Any) -> bool:
        if output is None or type(output) is Sound:
            return True
        return all(type(output.__dict__.get(name)) in exact for name, exact in self._exact.items())

    def set_aside(self, pending: Pending) -> Pending:
        """Take out what becomes part of a batch only by code of the user's."""
        pending.settle()
        outputs = zip(pending.rows, pending.outputs, strict=True)
        aside = pending.split_off({row for row, output in outputs if not self._is_exact(output)})
        if self._has_custom_validation or self.loose:
            try:
                at = self._doubtful(pending, self._columns(pending))
            except BaseException:  # noqa: BLE001 - whatever it is, the main thread finds the row that it is about
                at = [*range(len(pending.rows))]
            aside.join(pending.split_off({pending.rows[place] for place in at}))
        return aside

    @cached_property
    def _has_custom_validation(self) -> bool:
        return bool(self._exact) and read_fields(self._model).has_custom_validation

    @cached_property
    def loose(self) -> bool:
        """Whether the model's types let values be of any class."""
        if not self._exact:
            return False
        return any(
            part.core["type"] not in _STRICT for part in read_fields(self._model).fields if part.name in self._exact
        )

    def batches(
        self, pending: Pending, watch: Callable[[int], None] | None = None
    ) -> list[tuple[dict[str, Any], list[bytes]]]:
        """The hand-over messages: one, unless the frames of some specs have types that do not go with the others'.

        What goes wrong otherwise is laid at the door of the outcome that it goes wrong with alone: that one fails.

        Args:
            pending: the outcomes.
            watch: told of the row for whose output code of the user's is about to run; not given where none does.
        """
        pending.settle()
        try:
            return self._batches(pending, watch)
        except BaseException as exc:  # what the checks before it did not foresee must not end the lane
            if not pending.rows:
                raise
            if len(pending.rows) == 1:
                self._give_up(pending, exc)
                return [self._message(pending, self._columns(pending), {})]
        rest = pending.split_off({*pending.rows[len(pending.rows) // 2 :]})
        return self.batches(pending, watch) + self.batches(rest, watch)

    def _batches(
        self, pending: Pending, watch: Callable[[int], None] | None
    ) -> list[tuple[dict[str, Any], list[bytes]]]:
        columns = self._checked(pending, watch or _unwatched)
        united: dict[str, pa.Table] = {}
        for name, tables in pending.frames.items():
            if not tables:
                continue
            united[name], apart = _stack(tables)
            if apart:
                rest = pending.split_off(apart)
                return self.batches(pending, watch) + self.batches(rest, watch)
        return [self._message(pending, columns, united)]

    def _give_up(self, pending: Pending, exc: BaseException) -> None:
        """The one outcome that is pending cannot be handed over as it is: it is a failure, which says why."""
        pending.outputs, pending.logs = [None], [None]
        pending.failures[pending.rows[0]] = self._refusal(exc)
        pending.forget(pending.rows[0])

    def _message(
        self, pending: Pending, columns: list[pa.Array[Any]], united: dict[str, pa.Table]
    ) -> tuple[dict[str, Any], list[bytes]]:
        failures = [(row, f) for row in pending.rows if (f := pending.failures.get(row)) is not None]
        rows = pending.rows
        whole = bool(rows) and rows[-1] - rows[0] + 1 == len(rows) and rows == list(range(rows[0], rows[-1] + 1))
        header = {
            "rows": [rows[0], rows[-1]] if whole else None,
            "listed": None if whole else rows,
            "n": len(rows),
            "failed": len(failures),
            "samples": [[row, f.kind, f.error_type, f.place] for row, f in failures[:SAMPLES]],
            "uploads": [pair for pairs in pending.uploads.values() for pair in pairs],
            "frames": list(united),
            "seconds": sum(pending.durations),
            "retry": pending.retry,
        }
        columns += [
            pa.array([pending.files.get(row, {}).get(name) for row in pending.rows], type=pa.string())
            for name in self._files
        ]
        outcomes = pa.Table.from_arrays(self._arrays(pending, columns), schema=self._schema)
        return header, [_stream(outcomes), *(_stream(table) for table in united.values())]

    def _arrays(self, pending: Pending, columns: list[pa.Array[Any]]) -> list[pa.Array[Any]]:
        n = len(pending.rows)
        if pending.failures:
            held = [pending.failures.get(row) for row in pending.rows]
            errors = [
                pa.array([None if f is None else getattr(f, name) for f in held], type=pa.string())
                for name in ("error_type", "message", "traceback", "kind", "place")
            ]
        else:
            errors = [pa.nulls(n, pa.string())] * 5
        return [
            pa.array(pending.rows, type=pa.int64()),
            pa.array(pending.sort_indexes, type=pa.int64()),
            *columns,
            *errors,
            pa.array(pending.attempts, type=pa.int64()),
            pa.array([int(start * 1e6) for start in pending.starts], type=pa.timestamp("us", tz="UTC")),
            pa.array(pending.durations, type=pa.float64()),
            pa.repeat(pa.scalar(self._worker, pa.string()), n),
            pa.array(pending.logs, type=pa.string()),
        ]

    def _checked(self, pending: Pending, watch: Callable[[int], None]) -> list[pa.Array[Any]]:
        """The scalar columns, after outputs that their model would refuse have become failures."""
        settled = self.loose and all(map(self._is_exact, pending.outputs))
        try:
            columns = self._columns(pending, exact=not settled)
        except (ValueError, pa.ArrowException):
            for at in range(len(pending.outputs)):
                self._settle(pending, at, watch)
            columns = self._columns(pending)
        if doubtful := self._doubtful(pending, columns):
            for at in doubtful:
                watch(pending.rows[at])
                self._judge(pending, at)
            columns = self._columns(pending)
        return columns

    def _columns(self, pending: Pending, *, exact: bool = False) -> list[pa.Array[Any]]:
        """With `exact` a ValueError, or one of arrow's, is raised before any code of the user's runs."""
        none: dict[str, Any] = {}
        held = [none if output is None else output.__dict__ for output in pending.outputs]
        return [to_column([v.get(name) for v in held], f, exact=exact) for f in self._scalars for name in (f.name,)]

    def _doubtful(self, pending: Pending, columns: list[pa.Array[Any]]) -> list[int]:
        if not columns:
            return []
        table = pa.table(columns, names=[f.name for f in self._scalars])
        return [at for at in check_bounds(table, self._model) if _asked_of(pending.outputs[at]) is not None]

    def _settle(self, pending: Pending, at: int, watch: Callable[[int], None]) -> None:
        """Have an output's scalars as columns take them; where they do not, ask the model."""
        output = pending.outputs[at]
        if _asked_of(output) is None:
            return
        watch(pending.rows[at])
        try:
            pending.outputs[at] = self._sound(output, _asked_of(output))
        except BaseException:  # noqa: BLE001 - values may be of any class; the model says what is wrong with them
            self._judge(pending, at)

    def _sound(self, output: Any, asked_of: Any = None) -> Sound:
        cells = {}
        for f in self._scalars:
            cells[f.name] = as_cell(output.__dict__.get(f.name), f)
            to_column([cells[f.name]], f)
        return Sound(cells, asked_of)

    def _judge(self, pending: Pending, at: int) -> None:
        """Ask the model itself about an output, and make a failure of one it refuses."""
        output = _asked_of(pending.outputs[at])
        try:
            judged = self._model.model_validate({**output.__dict__, DATAFRAMES: {}})
            for f in self._scalars:
                self._refuse(f, judged.__dict__[f.name])
            pending.outputs[at] = self._sound(judged)
        except BaseException as exc:  # noqa: BLE001 - the model's validators are the user's code
            pending.outputs[at] = None
            pending.failures[pending.rows[at]] = self._refusal(exc)
            pending.forget(pending.rows[at])

    @staticmethod
    def _refuse(f: pa.Field[Any], value: Any) -> None:
        try:
            to_column([value], f)
        except ColumnError as exc:
            raise Unfit(f.name, str(Problem(f.name, value, str(exc)))) from exc

    def _refusal(self, exc: BaseException) -> Failure:
        if type(exc) is Unfit:
            return invalid(str(exc), self._place(exc.part))
        if issubclass(type(exc), ValidationError):
            with contextlib.suppress(Exception):  # pydantic shows the user's values, which may not want that
                problems = model_errors(cast("ValidationError", exc))
                name = _NAME.match(problems[0].field)
                known = name is not None and name[0] in self._model.model_fields
                place = self._place(name[0]) if name and known else self._model.__name__
                return invalid("; ".join(map(str, problems)), place)
        kind, message = describe_exception(exc)
        return invalid(f"{kind}: {message}", f"{self._model.__name__}, {kind}")


def _unwatched(_: int) -> None:
    """Nobody looks at the clock, or somebody does anyway."""


def _asked_of(output: Any) -> Any:
    """What the model can be asked about; None where it was, or there is nothing."""
    return output.output if type(output) is Sound else output


def _address(name: str, value: object) -> str:
    """An address as a column holds it."""
    try:
        return str(value).encode().decode()
    except UnicodeEncodeError as exc:
        raise Unfit(name, f"{name} = {value!r} is no address: {exc}") from exc


def _suffixes(path: Path) -> str:
    """All of a name's suffixes, ".csv.gz", without what a key or another system's file name may not hold.

    The last alone where they are longer than any name should be.
    """
    cleaned = [_UNSAFE.sub("", suffix) for suffix in path.suffixes]
    kept = [suffix for suffix in cleaned if suffix != "."]
    suffixes = "".join(kept)
    return suffixes if len(suffixes) <= SUFFIX_BYTES else kept[-1][: SUFFIX_BYTES // 4]


def invalid(message: str, place: str) -> Failure:
    """The failure of an output that is not what its model says; its place is the part of the output concerned."""
    return Failure(INVALID_OUTPUT, "InvalidOutput", cut(message, MESSAGE_LIMIT), "", cut(place, MESSAGE_LIMIT))


def _stack(tables: dict[int, pa.Table]) -> tuple[pa.Table, set[int]]:
    """The frames of several specs as one, with row and place within the spec; and the rows that do not fit."""
    rows = list(tables)
    held = list(tables.values())
    united, apart = frames.stack(held)
    misfits = {rows[at] for at in apart}
    numbers: list[int] = []
    places: list[int] = []
    for row, table in tables.items():
        if row not in misfits:
            numbers.extend(repeat(row, table.num_rows))
            places.extend(range(table.num_rows))
    ids = [pa.array(numbers, type=pa.int64()), pa.array(places, type=pa.int64())]
    return pa.table([*united.columns, *ids], names=[*united.column_names, frames.ROW, layout.SORT_SUBINDEX]), misfits


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _named(value: object) -> str:
    return "None" if value is None else f"{type(value).__module__}.{type(value).__qualname__}"

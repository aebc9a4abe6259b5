"""What became of one spec, as columns: the schema of an outcome part and the rows that make it.

Columns that are scythe's own start with an underscore, which no field of a model can; so a user's field may be called
`duration` or `message`. A row without a `_kind` succeeded.
"""

from __future__ import annotations

import re
import traceback
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from scythe_cli.columns.schema import arrow_schema
from scythe_cli.core import layout, package
from scythe_cli.experiment.field_kinds import file_fields

if TYPE_CHECKING:
    from types import TracebackType

    from pydantic import BaseModel

MESSAGE_LIMIT = 8 << 10
TRACEBACK_LIMIT = 32 << 10
LOG_LIMIT = 64 << 10
LOG_LIMIT_OF_SUCCESS = 4 << 10
TYPE_LIMIT = 255


class FailureKind(StrEnum):
    """Why a spec failed; stored as these words."""

    EXCEPTION = "exception"
    CRASH = "crash"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    INVALID_OUTPUT = "invalid_output"
    LOST = "lost"


RETRIED = frozenset({FailureKind.EXCEPTION, FailureKind.CRASH, FailureKind.TIMEOUT, FailureKind.MEMORY})
"""Kinds that another attempt may cure."""
DEFAULT_RETRIES = {FailureKind.CRASH: 1}
"""Further attempts where nothing is set. An exception, a timeout or memory is the same again; a crash may not be."""

ROW = "_row"
ERROR_TYPE = "_error_type"
MESSAGE = "_message"
TRACEBACK = "_traceback"
KIND = "_kind"
PLACE = "_place"
ATTEMPTS = "_attempts"
START = "_start"
DURATION = "_duration"
WORKER = "_worker"
LOG = "_log"
REUSED_FROM = "_reused_from"
"""The run that a row was taken over from: only in parts of reused rows, whose generation is 0."""
GENERATION = "_generation"
"""Not in parts, whose name has it: readers of several parts add it."""
STATE = "_state"
"""Not in parts, where it follows from the kind: succeeded or failed."""
IS_FINAL = "_is_final"
"""Not in parts either: whether the attempt is the result of its spec."""

OPTIONAL = b"scythe.optional"
"""In the metadata of a scalar's column: its model allows None."""
FRAMES_KEY = b"scythe.frames"
"""In the metadata of a part: the names of its specs' frames, joined by commas."""

_HEAD = (pa.field(ROW, pa.int64(), nullable=False), pa.field(layout.SORT_INDEX, pa.int64(), nullable=False))
_TAIL = (
    pa.field(ERROR_TYPE, pa.string()),
    pa.field(MESSAGE, pa.string()),
    pa.field(TRACEBACK, pa.string()),
    pa.field(KIND, pa.string()),
    pa.field(PLACE, pa.string()),
    pa.field(ATTEMPTS, pa.int64(), nullable=False),
    pa.field(START, pa.timestamp("us", tz="UTC")),
    pa.field(DURATION, pa.float64()),
    pa.field(WORKER, pa.string()),
    pa.field(LOG, pa.string()),
)


OWN_FIELDS = (*_HEAD, *_TAIL)
"""The columns that every part has, whatever the models are."""


def outcome_schema(output_model: type[BaseModel]) -> pa.Schema:
    """The columns of an outcome part: row, sort_index, the output's scalars, its file addresses, then scythe's own."""
    return pa.schema([*_HEAD, *scalar_schema(output_model), *file_schema(output_model), *_TAIL])


def scalar_schema(output_model: type[BaseModel]) -> list[pa.Field[Any]]:
    """The output's scalar fields; nullable, since a failed spec has none."""
    files = set(file_fields(output_model))
    return [_column(field) for field in arrow_schema(output_model) if field.name not in files]


def _column(field: pa.Field[Any]) -> pa.Field[Any]:
    """An output field as a column, which remembers whether the model allows None."""
    if not field.nullable:
        return field.with_nullable(True)
    return field.with_metadata({**(field.metadata or {}), OPTIONAL: b"1"})  # type: ignore[dict-item]  # bytes are fine


def file_schema(output_model: type[BaseModel]) -> list[pa.Field[Any]]:
    """The output's file fields, as addresses."""
    return [pa.field(name, pa.string()) for name in file_fields(output_model)]


@dataclass(frozen=True)
class Failure:
    """Why a spec failed, cut to the limits of `errors.pq`.

    Attributes:
        kind: exception, crash, timeout, memory, invalid_output or lost.
        error_type: the exception's class, at most 255 bytes, or the kind.
        message: at most 8 KiB.
        traceback: at most 32 KiB.
        place: where in the user's code, `function (file.py:line)`; of an invalid output the part concerned, `Out.heat`.
    """

    kind: FailureKind
    error_type: str
    message: str
    traceback: str
    place: str


@dataclass(frozen=True)
class Outcome:
    """One spec's outcome as the supervisor writes it when the lane could not."""

    row: int
    sort_index: int
    failure: Failure
    attempts: int
    start: float
    duration: float
    worker: str
    log: str


def failed_table(schema: pa.Schema, outcomes: list[Outcome]) -> pa.Table:
    """Outcome rows of specs whose lane could not report their failure."""
    rows = [
        {
            ROW: o.row,
            layout.SORT_INDEX: o.sort_index,
            ERROR_TYPE: o.failure.error_type,
            MESSAGE: o.failure.message,
            TRACEBACK: o.failure.traceback,
            KIND: o.failure.kind,
            PLACE: o.failure.place,
            ATTEMPTS: o.attempts,
            START: int(o.start * 1e6),
            DURATION: o.duration,
            WORKER: o.worker,
            LOG: o.log,
        }
        for o in outcomes
    ]
    return pa.table(
        [pa.array([row.get(field.name) for row in rows], type=field.type) for field in schema], schema=schema
    )


def from_exception(exc: BaseException, *, folder: str, kind: FailureKind = FailureKind.EXCEPTION) -> Failure:
    """Describe what the user's function raised, whatever its class does when it is looked at and however long it is."""
    name, message = describe_exception(exc)
    own = _traceback_of(exc)
    while own is not None and own.tb_next is not None and own.tb_frame.f_code.co_filename.startswith(package.ROOT):
        own = own.tb_next
    try:
        lines = traceback.format_exception(type(exc), exc, own)
        text = "".join(line if len(line) <= TRACEBACK_LIMIT else cut(line, TRACEBACK_LIMIT // 2) for line in lines)
    except BaseException:  # noqa: BLE001 - formatting calls the user's code
        text = "".join(traceback.format_tb(own)) + f"{name}\n"
    return Failure(kind, name, message, cut(text, TRACEBACK_LIMIT), _place(own, folder))


def describe_exception(exc: BaseException) -> tuple[str, str]:
    """The name of an exception's class and its text, whatever these do, cut to the limits."""
    try:
        message = cut(str(exc), MESSAGE_LIMIT)
    except BaseException as broken:  # noqa: BLE001 - the user's __str__ may raise anything
        message = f"<str() of the exception raised {_type_name(broken)}>"
    return _type_name(exc), message


def _type_name(exc: BaseException) -> str:
    """The name of its class, also where a metaclass changes it."""
    name: str = type.__dict__["__name__"].__get__(type(exc))
    data = str.encode(name, errors="replace")
    return data.decode() if len(data) <= TYPE_LIMIT else data[: TYPE_LIMIT - 3].decode(errors="ignore") + "..."


def _traceback_of(exc: BaseException) -> TracebackType | None:
    """Past a class that has an attribute of the name."""
    own: TracebackType | None = BaseException.__dict__["__traceback__"].__get__(exc)
    return own


def _place(tb: TracebackType | None, folder: str) -> str:
    frames = traceback.extract_tb(tb)
    own = [frame for frame in frames if frame.filename.startswith(folder) and "site-packages" not in frame.filename]
    if not frames:
        return ""
    frame = (own or frames)[-1]
    return cut(f"{frame.name} ({Path(frame.filename).name}:{frame.lineno})", MESSAGE_LIMIT)


CALLS_BEGIN_LAST = "most recent call first"
"""In the stack of a process that was ended, which has the order of a traceback turned round."""
_DUMPS = ("Fatal Python error: ", f"Stack ({CALLS_BEGIN_LAST})")
_DUMPED = re.compile(r'  File "(.+)", line (\d+) in (\S+)')


def split_dump(log: str, folder: str) -> tuple[str, str, str]:
    """Take apart the log of a process that was ended: what it printed, where it was then, and the user's place in that.

    Python's fault handler writes the second part: https://docs.python.org/3/library/faulthandler.html
    """
    at = max(log.rfind("\n" + start) + 1 or (0 if log.startswith(start) else -1) for start in _DUMPS)
    if at < 0:
        return log, "", ""
    head, _, threads = log[at:].partition("\n")
    current = threads[max(0, threads.find("Current thread 0x")) :].partition("\nExtension modules: ")[0]
    dump = f"{head}\n{current}".partition(f'  File "{package.ROOT}')[0]
    frames = _DUMPED.findall(dump)
    own = [frame for frame in frames if frame[0].startswith(folder) and "site-packages" not in frame[0]]
    place = f"{own[0][2]} ({Path(own[0][0]).name}:{own[0][1]})" if own else ""
    return log[:at], cut(dump, TRACEBACK_LIMIT), place


def cut(text: str, limit: int) -> str:
    """Keep the head and the tail of a text, at most `limit` bytes of UTF-8, and say how much was left out."""
    data = str.encode(text, "utf-8", errors="replace")  # its own encode may be the user's
    if len(data) <= limit:
        return data.decode()
    return cut_bytes(data[: limit // 2], data[-(limit // 2) :], len(data), limit)


def cut_bytes(head: bytes, tail: bytes, total: int, limit: int) -> str:
    """The text of `total` bytes of which head and tail are given, at most `limit` bytes long."""
    gap = f"\n... {total - limit:,} bytes left out ...\n"
    room = limit - len(gap)
    return head[: room // 2].decode(errors="ignore") + gap + tail[-(room // 2) :].decode(errors="ignore")

"""The numbered objects in control/, as they must look: anybody who can write to the storage may have written them.

Input: what YAML gave. Output: the same values, checked. Fields that are not read without a look are not named here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from scythe_cli.core.layout import Mark
from scythe_cli.core.printable import printable

_Count = Annotated[int, Field(ge=0)]
_Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


def _as_written(value: object) -> object:
    """Only text with a time zone, as `isoformat` writes it."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("must be a time with its zone")
    return value


_Moment = Annotated[datetime, BeforeValidator(_as_written)]


class _Content(BaseModel):
    model_config = ConfigDict(extra="allow")


class _Lease(_Content):
    host: str
    boot_id: str
    pid: Annotated[int, Field(gt=0, lt=1 << 31)]
    started: Annotated[float, Field(allow_inf_nan=False)] | None
    written: _Moment
    lasts: _Seconds
    namespace: str = ""


class _Generation(_Content):
    began: _Moment
    todo: _Count
    done: _Count = 0
    failed: _Count = 0
    rows: str = ""
    settings: dict[str, Any] | str = ""
    source_hash: str = ""
    engine: str = ""
    labels: dict[str, str] = Field(default_factory=dict)


class _Ended(_Content):
    ended: _Moment
    reason: str
    detail: str


class _Cancel(_Content):
    by: str
    at: str | datetime


class _Gathered(_Content):
    tables: list[str]
    rows: dict[str, _Count] = Field(default_factory=dict)
    succeeded: _Count = 0
    failed: _Count = 0


class _Plan(_Content):
    ranges: str
    segment: Annotated[int, Field(gt=0, le=10_000)]


class _Slurm(_Content):
    job: Annotated[str, Field(pattern=r"^[0-9]{1,12}$")]
    next: Annotated[str, Field(pattern=r"^[0-9]{0,12}$")]
    tasks: _Count


_TYPES: dict[Mark, type[_Content]] = {
    Mark.LEASE: _Lease,
    Mark.GENERATION: _Generation,
    Mark.ENDED: _Ended,
    Mark.CANCEL: _Cancel,
    Mark.REMOVED: _Cancel,
    Mark.GATHERED: _Gathered,
    Mark.PLAN: _Plan,
    Mark.SLURM: _Slurm,
}


_SAID = ("host", "by", "at", "reason", "detail", "why", "engine", "worker", "boot_id", "written", "began", "ended")
"""What messages repeat of a mark."""


def as_lines(content: dict[str, Any]) -> dict[str, Any]:
    """The same content; what messages repeat of it is one printable line each."""
    return content | {name: str(printable(content[name])) for name in _SAID if isinstance(content.get(name), str)}


def check(kind: Mark, content: dict[str, Any]) -> None:
    """Raise `ValueError` unless a numbered object has what is read of it, each of its type."""
    if kind in _TYPES:
        _TYPES[kind].model_validate(content)

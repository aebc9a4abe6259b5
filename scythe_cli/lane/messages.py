"""What a lane and its supervisor send each other: records here, JSON headers on the wire.

Input: records. Output: headers for `wire.pack`; and from headers that arrived, the records again.
"""

from __future__ import annotations

import struct
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from scythe_cli.core.row_ranges import as_range
from scythe_cli.lane.job import Job
from scythe_cli.lane.wire import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


# the memory that they share, to exchange state without a message: its layout
MARKER = struct.Struct("<qd")
"""First: the row at work and its start on the monotonic clock. The lane writes it. Or `IDLE`, and since when: 0 before
the first row."""
LATE = struct.Struct("d")
"""Second: the start of a row whose time is over; it may no longer end. The supervisor writes it."""
LATE_AT = MARKER.size
STOP_AT = LATE_AT + LATE.size
"""Third: a byte, nonzero to stop before the next row. The supervisor writes it."""
SENDING_AT = STOP_AT + 1
"""Fourth: a byte, nonzero while outcomes become a message in the background of the row at work. The lane writes it."""
TOGETHER = struct.Struct("<i")
"""Fifth: how many rows are at work in one call, the first of them in `MARKER`; 0 is one. The lane writes it first."""
TOGETHER_AT = STOP_AT + 4
MARKER_SIZE = STOP_AT + 8
IDLE = -1


@dataclass(frozen=True)
class LaneCommand:
    """Rows for a lane to run. The parquet of their block is the message's buffer where the lane lacks it.

    Attributes:
        block: their block.
        rows: row numbers, a range where they are one.
        attempts: the number of the attempt, for rows on their second or later.
        job: the run they belong to, where that is another than before.
        batch: most of the rows in one call of a function of many; None for as many as it is registered with.
    """

    block: int
    rows: Sequence[int]
    attempts: Mapping[int, int]
    job: Job | None = None
    batch: int | None = None

    def header(self) -> dict[str, Any]:
        """As it goes over the wire."""
        return {
            "job": None if self.job is None else asdict(self.job),
            "block": self.block,
            "attempts": dict(self.attempts),
            "batch": self.batch,
            **_spell_rows(self.rows),
        }

    @classmethod
    def parse(cls, header: dict[str, Any]) -> Self:
        """From what arrived."""
        job = None if header["job"] is None else Job(**header["job"])
        attempts = {int(row): n for row, n in header["attempts"].items()}
        return cls(header["block"], _read_rows(header), attempts, job, header["batch"])


@dataclass(frozen=True)
class FailureSample:
    """A failure as the header of its batch describes it."""

    row: int
    kind: str
    error_type: str
    place: str


@dataclass(frozen=True)
class BatchHeader:
    """What became of some rows. The buffers of the message are the outcomes and then one table for each frame.

    Attributes:
        rows: those that have an outcome here.
        failed: how many of them failed.
        samples: of the failures, the first.
        uploads: output files: local path and key in the run.
        frames: the names of the frames, in the order of the buffers.
        seconds: what the specs took in all.
        retry: rows that failed and are to be tried again; their failures are the last buffer.
        done: the lane is done with the rows it was given.
        left: rows that it got, has not run and returns; with `done`.
        calls: of a function of many, how many of those at a time go into the next calls, where a call was to be halved.
        needs_restart: why the lane wants a fresh process in its place.
    """

    rows: Sequence[int] = ()
    failed: int = 0
    samples: Sequence[FailureSample] = ()
    uploads: Sequence[tuple[str, str]] = ()
    frames: Sequence[str] = ()
    seconds: float = 0.0
    retry: Sequence[int] = ()
    done: bool = False
    left: Sequence[int] = ()
    needs_restart: str | None = None
    calls: Sequence[int] = ()

    def header(self) -> dict[str, Any]:
        """As it goes over the wire."""
        samples = [[sample.row, sample.kind, sample.error_type, sample.place] for sample in self.samples]
        held = {name: getattr(self, name) for name in ("failed", "seconds", "done", "needs_restart")}
        listed = {name: list(getattr(self, name)) for name in ("uploads", "frames", "retry", "left", "calls")}
        return {**_spell_rows(self.rows), "samples": samples, **held, **listed}

    @classmethod
    def parse(cls, header: dict[str, Any]) -> Self:
        """From what arrived. Raises `ProtocolError` where no lane sends such a header."""
        try:
            return cls(
                _read_rows(header),
                header["failed"],
                [FailureSample(*sample) for sample in header["samples"]],
                [(local, key) for local, key in header["uploads"]],
                header["frames"],
                header["seconds"],
                header["retry"],
                header["done"],
                header["left"],
                header["needs_restart"],
                [max(1, int(n)) for n in header["calls"]],
            )
        except (KeyError, TypeError, ValueError, IndexError) as exc:
            raise ProtocolError("no lane sends this") from exc


def _spell_rows(rows: Sequence[int]) -> dict[str, Any]:
    """Rows in a row are two numbers, others a list."""
    found = as_range(rows)
    if found and isinstance(found, range):
        return {"rows": [found[0], found[-1]], "listed": None}
    return {"rows": None, "listed": list(rows)}


def _read_rows(header: dict[str, Any]) -> Sequence[int]:
    span = header["rows"]
    return range(span[0], span[1] + 1) if span else [*header["listed"]]

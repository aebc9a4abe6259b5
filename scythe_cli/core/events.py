"""What the core emits while it works. Listeners draw, log or ignore; the core never prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class SpecsValidated:
    """The whole table was read and checked."""

    name: str
    version: str
    n_specs: int


@dataclass(frozen=True)
class UploadStarted:
    """Input files are about to move."""

    n_files: int
    n_bytes: int


@dataclass(frozen=True)
class UploadAdvanced:
    """Some bytes of the input files moved."""

    n_bytes: int


@dataclass(frozen=True)
class UploadFinished:
    """All input files are in the run."""

    n_files: int
    n_bytes: int


@dataclass(frozen=True)
class RunReady:
    """The run is real: its manifest is written."""

    run_id: str
    address: str
    engine: str
    lanes: int | None
    generation: int
    todo: int
    total: int
    link: str | None = None


@dataclass(frozen=True)
class Progress:
    """How far the run is. `done` counts failures too; of `total` specs, those finished before are in it.

    `stalled`: nobody can take its specs now, so nothing can be said of when it will end.
    """

    done: int
    failed: int
    total: int
    stalled: bool = False


@dataclass(frozen=True)
class Draining:
    """The run was asked to stop and waits for what is running."""

    running: int
    grace: float


@dataclass(frozen=True)
class TakeOverStarted:
    """Rows of an earlier run are about to be taken over."""

    n_specs: int


@dataclass(frozen=True)
class TakenOver:
    """Rows that were taken over so far."""

    n_specs: int


@dataclass(frozen=True)
class GatherStarted:
    """The final tables are being built from `n_specs` rows."""

    n_specs: int


@dataclass(frozen=True)
class Gathered:
    """Rows that went through the gather so far."""

    n_specs: int


@dataclass(frozen=True)
class DownloadStarted:
    """Files are about to arrive."""

    n_files: int
    n_bytes: int


@dataclass(frozen=True)
class DownloadAdvanced:
    """Some bytes arrived."""

    n_bytes: int


@dataclass(frozen=True)
class ExportStarted:
    """Tables of so many rows are about to be written in another format."""

    n_rows: int


@dataclass(frozen=True)
class Exported:
    """Some more rows were written."""

    n_rows: int


@dataclass(frozen=True)
class LeafFinished:
    """A worker finished a leaf."""

    run_id: str
    first: int
    last: int
    failed: int
    seconds: float
    left: int = 0
    """Specs of it without an outcome, which were given back."""


@dataclass(frozen=True)
class WorkerReady:
    """A worker is about to serve an engine."""

    name: str
    engine: str
    storage: str
    experiments: list[str]
    lanes: int
    roles: list[str]


@dataclass(frozen=True)
class Notice:
    """A sentence the user should see once: a warning, or why nothing happens."""

    message: str


Event = (
    SpecsValidated
    | UploadStarted
    | UploadAdvanced
    | UploadFinished
    | RunReady
    | Progress
    | Draining
    | TakeOverStarted
    | TakenOver
    | GatherStarted
    | Gathered
    | DownloadStarted
    | DownloadAdvanced
    | ExportStarted
    | Exported
    | LeafFinished
    | WorkerReady
    | Notice
)
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener that does nothing."""
    del event

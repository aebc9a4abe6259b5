"""What an engine is: it decides where and when the rows of a run are worked through, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from scythe_cli.core.events import Listener
    from scythe_cli.core.row_ranges import Range
    from scythe_cli.experiment.config import ExperimentFile
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.run.run import Run


@dataclass(frozen=True)
class Work:
    """What an engine is asked to have done.

    Attributes:
        run: the run, real: its manifest is written.
        experiment: the loaded experiment.
        file: the settings that rule: the frozen file's, with what a resume may change.
        ranges: the rows to run, sorted.
        generation: 1 for the first allocate, one more for each resume.
        done: specs that have their outcome already and keep it.
        failed: how many of those failed.
    """

    run: Run
    experiment: Experiment
    file: ExperimentFile
    ranges: list[Range]
    generation: int
    done: int = 0
    failed: int = 0

    @property
    def todo(self) -> int:
        """The number of rows to run."""
        return sum(map(len, self.ranges))


class EndReason(StrEnum):
    """Why a generation of a run ended."""

    DONE = "done"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    TAKEN_OVER = "taken over"
    MAX_FAILURES = "max_failures"
    CANARY = "canary"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Ended:
    """Why work ended before every row had its outcome.

    Attributes:
        reason: any but done.
        detail: the sentence for the user.
    """

    reason: EndReason
    detail: str


@dataclass(frozen=True)
class WorkerSeen:
    """A worker that an engine knows to be alive.

    Attributes:
        name: its name.
        lanes: specs it runs at the same time.
        busy: tasks it has, running or waiting for a worker process.
        labels: its labels.
        serves: whether it can take tasks of this run.
        sure: whether this look shows that it lives; of one on another machine that claims specs, only a watch does.
    """

    name: str
    lanes: int
    busy: int
    labels: dict[str, str]
    serves: bool
    sure: bool = True


@dataclass(frozen=True)
class Active:
    """What an engine queues and runs for a run.

    Attributes:
        queued: tasks that wait for a worker; None where the engine does not answer.
        running: tasks that a worker has; None likewise.
        workers: the live workers.
        why: why nothing runs, where something should; None otherwise.
        abandoned: whether the engine has no task of the run, so that nobody will continue it.
    """

    queued: int | None
    running: int | None
    workers: list[WorkerSeen]
    why: str | None
    abandoned: bool = False


class Ticket(Protocol):
    """Work that an engine has taken on."""

    @property
    def workflow_run_id(self) -> str | None:
        """The engine's own id of the work."""

    @property
    def link(self) -> str | None:
        """Where the engine shows the work to a person."""

    def wait(self, listener: Listener) -> Ended | None:
        """Block until the work is over; None when every row has its outcome."""

    def stop(self) -> None:
        """Ask for the end, as Ctrl-C does; the second time, at once. Safe in a signal handler."""

    def close(self) -> None:
        """Let the run go. Call it when the final tables are built: until then nobody else may work on it."""


class Engine(Protocol):
    """Where runs are worked through."""

    @property
    def lanes(self) -> int | None:
        """How many specs run at a time, where the engine knows."""

    def submit(self, work: Work) -> Ticket:
        """Take on work. Returns before it is done."""

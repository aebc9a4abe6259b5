"""What a lane knows of the run that its next rows belong to, and the fork server of its lanes: names and numbers."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from scythe_cli.core import layout
from scythe_cli.run.outcomes import DEFAULT_RETRIES, RETRIED, FailureKind


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        key: distinguishes jobs.
        experiment_id: name/version/time.
        root: the address of the run.
        generation: which generation of the run is at work.
        outbox: the supervisor's folder for output files.
        retries: further attempts of a spec whatever its failure; None: as many as `DEFAULT_RETRIES` has for its kind.
        worker: who runs it, for the outcome's column.
        memory: bytes one spec's processes may hold, or None.
        allow_private: follow redirects of public web servers to private addresses.
        seed: of the specs' random numbers.
        nan_fails: an output that is NaN is a wrong output.
        keep_failed: keep the temporary folder of a spec that fails.
        claimed: whether workers claim rows, so that two of them may run the same spec.
        claim: how often the rows were claimed; a worker that takes them over writes other files.
        since: when its supervisor began with it; what servers said of files before that does not count.
    """

    key: str
    experiment_id: str
    root: str
    outbox: str
    retries: int | None
    worker: str
    memory: int | None = None
    since: float = 0.0
    allow_private: bool = False
    nan_fails: bool = False
    seed: int = 0
    generation: int = 1
    claim: int = 1
    claimed: bool = False
    keep_failed: bool = False

    def max_attempts(self, kind: FailureKind) -> int:
        """Attempts that a spec has which fails like this."""
        if kind not in RETRIED:
            return 1
        return 1 + (DEFAULT_RETRIES.get(kind, 0) if self.retries is None else self.retries)

    def failed_folder(self, sort_index: int) -> str:
        """Where what a failed spec left is kept."""
        return layout.failed(sort_index, claim=self.claim if self.claimed else None)


RUN_TAG = "SCYTHE_LANE_OF"
"""Environment variable of the fork server and all below it: the scratch folder of the supervisor that started them."""


class ServerOrder(StrEnum):
    """What a fork server is asked to do."""

    LANE = "lane"  # start one, with the descriptors that come along
    KILL = "kill"
    WHERE = "where"  # have a lane write where in the user's code it is


class ServerEvent(StrEnum):
    """What a fork server reports."""

    READY = "ready"
    STARTED = "started"
    EXIT = "exit"


@dataclass(frozen=True)
class ForkServerConfig:
    """All that a fork server gets: names only.

    Attributes:
        target: the entry point, `module:function` or `file.py:function`.
        folder: where the target is resolved from, and the lanes' working directory.
        scratch: the supervisor's folder for temporary files.
        fresh: have each lane import the module by itself.
        environment: variables that lanes have besides those of the supervisor.
    """

    target: str
    folder: str
    scratch: str
    fresh: bool = False
    environment: dict[str, str] = field(default_factory=dict)


def command(fd: int, config: ForkServerConfig) -> list[str]:
    """The command line that starts a fork server which talks on `fd`."""
    code = (
        f"import gc, sys; gc.disable(); sys.path[:] = {sys.path!r}\n"  # until our own modules are imported
        f"from scythe_cli.lane.fork_server import main; main({fd}, {json.dumps(asdict(config))!r})"
    )
    return [sys.executable, "-c", code]


def lane_folder(scratch: str, lane: int) -> Path:
    """Where a lane keeps its temporary files; the process that sees it end removes it."""
    return Path(scratch, f"lane-{lane}")

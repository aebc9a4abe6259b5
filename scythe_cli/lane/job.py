"""What a lane knows of the run that its next rows belong to: names and numbers."""

from __future__ import annotations

from dataclasses import dataclass

from scythe_cli.run.outcomes import DEFAULT_RETRIES, RETRIED


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        key: distinguishes jobs.
        experiment_id: name/version/time.
        root: the address of the run.
        outbox: the supervisor's folder for output files.
        retries: further attempts of a spec whatever its failure; None: as many as `DEFAULT_RETRIES` has for its kind.
        worker: who runs it, for the outcome's column.
        memory: bytes one spec's processes may hold, or None.
        allow_private: follow redirects of public web servers to private addresses.
        seed: of the specs' random numbers.
        nan_fails: an output that is NaN is a wrong output.
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
    claim: int = 1

    def max_attempts(self, kind: str) -> int:
        """Attempts that a spec has which fails like this."""
        if kind not in RETRIED:
            return 1
        return 1 + (DEFAULT_RETRIES.get(kind, 0) if self.retries is None else self.retries)

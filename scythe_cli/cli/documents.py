"""The `--json` documents that are not simply what a verb returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scythe_cli.operations.status import RunStatus  # at run time: pydantic writes RunsDocument by its annotations

if TYPE_CHECKING:
    from scythe_cli.operations.allocate import Allocation


@dataclass(frozen=True)
class AllocateDocument:
    """What `scythe allocate --json` prints.

    Attributes:
        run: the run's id.
        address: its folder.
        state: as in `status`.
        total: specs.
        succeeded: specs with an output.
        failed: specs with a row in errors.pq.
        missing: specs without an outcome.
        reason: why it stopped early, or null.
        detail: the sentence about it.
        workflow_run_id: the engine's id of the run.
        tables: address of each final table by name; empty until gathered.
        rows: rows of each.
    """

    run: str
    address: str
    state: str
    total: int
    succeeded: int
    failed: int
    missing: int
    reason: str | None
    detail: str | None
    workflow_run_id: str | None
    tables: dict[str, str]
    rows: dict[str, int]

    @classmethod
    def of(cls, done: Allocation, now: RunStatus) -> AllocateDocument:
        """The document of one allocation."""
        return cls(
            run=now.run,
            address=now.address,
            state=now.state,
            total=now.total,
            succeeded=done.final.succeeded if done.final else now.succeeded,
            failed=done.final.failed if done.final else now.failed,
            missing=now.missing,
            reason=done.ended.reason if done.ended else None,
            detail=done.ended.detail if done.ended else None,
            workflow_run_id=done.run.manifest.workflow_run_id,
            tables=done.final.tables if done.final else {},
            rows=done.final.rows if done.final else {},
        )


@dataclass(frozen=True)
class RunsDocument:
    """What `scythe status --json` prints without a RUN.

    Attributes:
        storage: where the runs live.
        runs: the latest, latest first.
    """

    storage: str
    runs: list[RunStatus]


@dataclass(frozen=True)
class Error:
    """What went wrong.

    Attributes:
        message: place, value, rule, as on stderr.
        hint: what to do next, or null.
        exit_code: that of the command.
    """

    message: str
    hint: str | None
    exit_code: int


@dataclass(frozen=True)
class ErrorDocument:
    """What any command with `--json` prints that ends without a document of its own.

    Attributes:
        error: what went wrong.
    """

    error: Error

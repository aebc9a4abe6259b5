"""The `--json` documents that are not the result of one operation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scythe_cli.core.printable import mask_secrets
from scythe_cli.operations.status import RunStatus  # at run time: pydantic writes RunsDocument by its annotations
from scythe_cli.remove.removed import Removed  # the same

if TYPE_CHECKING:
    from scythe_cli.operations.allocate import Allocation


@dataclass(frozen=True)
class AllocateDocument:
    """What `scythe allocate --json` prints.

    Attributes:
        run: the run's id.
        address: its folder.
        state: as in `status`.
        total: number of specs.
        succeeded: specs with an output.
        failed: specs with a row in errors.pq.
        missing: specs without a result.
        reason: why it stopped before the end, or null.
        detail: the reason as a sentence, or null.
        workflow_run_id: the engine's id of the run.
        tables: address of each result table by name; empty until they are built.
        rows: number of rows of each table.
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
        storage: the address where the runs are.
        runs: the latest runs, newest first.
    """

    storage: str
    runs: list[RunStatus]


@dataclass(frozen=True)
class RemoveDocument:
    """What `scythe remove --json` prints.

    Attributes:
        removed: the runs that were deleted.
        n_bytes: their bytes in all.
    """

    removed: list[Removed]
    n_bytes: int


@dataclass(frozen=True)
class Error:
    """What went wrong.

    Attributes:
        message: what is wrong, as on stderr.
        hint: what to do next, or null.
        exit_code: the exit code of the command.
    """

    message: str
    hint: str | None
    exit_code: int


@dataclass(frozen=True)
class ErrorDocument:
    """What a command with `--json` prints when it ends with an error.

    Attributes:
        error: what went wrong.
    """

    error: Error

    @classmethod
    def of(cls, message: str, hint: str | None, code: int) -> ErrorDocument:
        """The document of an error, without the passwords that its text may have."""
        return cls(Error(mask_secrets(message), hint and mask_secrets(hint), code))

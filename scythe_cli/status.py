"""What became of a run so far, from its directory alone.

Takes a run; leaves a `RunStatus`. Costs a few listings; only with `errors` does it open the parts that hold failures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from scythe_cli import layout, lease
from scythe_cli.ledger import Ledger, read_ledger

if TYPE_CHECKING:
    from scythe_cli.run import Run

State = Literal["running", "complete", "gathered", "cancelled", "stopped", "incomplete", "pending"]
EXAMPLE_LOG = 2 << 10


@dataclass(frozen=True)
class FailureGroup:
    """Failures of one kind, type and place.

    Attributes:
        kind: exception, crash, timeout, memory, invalid_output or lost.
        error_type: the exception's class, or the kind.
        place: where in the user's code.
        count: how many specs.
        sort_index: one of them, the lowest.
        message: its message.
        attempts: its attempts.
        inputs: its input fields.
        log: the tail of what it printed.
    """

    kind: str
    error_type: str
    place: str
    count: int
    sort_index: int
    message: str
    attempts: int
    inputs: dict[str, Any]
    log: str


@dataclass(frozen=True)
class RunStatus:
    """One run's state.

    Attributes:
        run: its id.
        address: its folder.
        state: running: somebody holds it; gathered: done, with final tables; complete: done, without; cancelled or
            stopped: ended early; incomplete: nobody works on it; pending: nothing ran yet.
        total: specs.
        done: specs with an outcome.
        failed: how many of those failed.
        rate: specs a second of the latest generation, None before any.
        eta: seconds that the rest takes at this rate, None unless running.
        detail: who cancelled, or why it stopped.
        final: addresses of the final tables that exist.
    """

    run: str
    address: str
    version: str
    engine: str
    created: datetime
    state: State
    total: int
    done: int
    succeeded: int
    failed: int
    missing: int
    generation: int
    rate: float | None
    eta: float | None
    detail: str
    final: dict[str, str]
    failures: list[FailureGroup] = field(default_factory=list)


def status(run: Run, *, errors: bool = False, now: datetime | None = None) -> RunStatus:
    """Read a run's state.

    Args:
        run: the run.
        errors: group its failures too, by kind, type and place.
        now: the time, for rate and ETA.
    """
    ledger = read_ledger(run)
    began = ledger.mark("generation", ledger.generation) or {}
    ended = ledger.mark("ended", ledger.generation) or {}
    state, detail = _state(ledger, ended)
    rate = _rate(ledger, began, ended, now or datetime.now(UTC))
    left = ledger.total - ledger.done
    return RunStatus(
        run=run.id,
        address=run.store.locate(""),
        version=str(run.version),
        engine=run.manifest.engine,
        created=run.manifest.created,
        state=state,
        total=ledger.total,
        done=ledger.done,
        succeeded=ledger.done - ledger.failed,
        failed=ledger.failed,
        missing=left,
        generation=ledger.generation,
        rate=rate,
        eta=left / rate if rate and state == "running" else None,
        detail=detail,
        final={name: run.store.locate(layout.final(name)) for name in ledger.finals},
        failures=failure_groups(run, ledger) if errors and ledger.failed else [],
    )


def _state(ledger: Ledger, ended: dict[str, Any]) -> tuple[State, str]:
    if ledger.complete:
        return ("gathered" if ledger.generation in ledger.marks.get("gathered", []) else "complete"), ""
    if not ledger.generation:
        return "pending", ""
    if mark := ledger.mark("cancel", ledger.generation):
        return "cancelled", f"by {mark['by']} at {mark['at']}"
    if ended and ended["reason"] != "done":
        return ("incomplete" if ended["reason"] == "interrupted" else "stopped"), str(ended["detail"])
    newest = ledger.mark("lease", max(ledger.marks.get("lease", [0])))
    if newest is not None and lease.is_held(newest):
        return "running", f"by process {newest['pid']} on {newest['host']}"
    return "incomplete", ""


def _rate(ledger: Ledger, began: dict[str, Any], ended: dict[str, Any], now: datetime) -> float | None:
    if not began:
        return None
    until = datetime.fromisoformat(str(ended["ended"])) if ended else now
    seconds = (until - datetime.fromisoformat(str(began["began"]))).total_seconds()
    fresh = sum(part.rows for part in ledger.parts if part.generation == ledger.generation)
    return fresh / seconds if seconds > 0 and fresh else None


def failure_groups(run: Run, ledger: Ledger) -> list[FailureGroup]:
    """The run's failures by kind, type and place, most frequent first; opens the parts that hold any."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from scythe_cli import outcomes
    from scythe_cli.parts import read_part

    columns = [outcomes.ROW, layout.SORT_INDEX, outcomes.KIND, outcomes.ERROR_TYPE, outcomes.PLACE]
    columns += [outcomes.MESSAGE, outcomes.ATTEMPTS, outcomes.LOG]
    counts: dict[tuple[str, str, str], int] = {}
    examples: dict[tuple[str, str, str], dict[str, Any]] = {}
    for block in ledger.blocks.values():
        for part, rows in block.by_part.items():
            if not part.failed:
                continue
            table = read_part(run.store, part.key, columns)
            wanted = None if rows is None else set(rows)
            for row in table.filter(table.column(outcomes.KIND).is_valid()).to_pylist():
                if wanted is not None and row[outcomes.ROW] not in wanted:
                    continue
                key = (row[outcomes.KIND], row[outcomes.ERROR_TYPE], row[outcomes.PLACE] or "")
                counts[key] = counts.get(key, 0) + 1
                if key not in examples or row[outcomes.ROW] < examples[key][outcomes.ROW]:
                    examples[key] = row
    fields = [name for name in run.manifest.index if name not in layout.INDEX_HEAD]
    groups = []
    for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        row = examples[key]
        block = layout.block_of(row[outcomes.ROW])
        specs = pq.read_table(pa.BufferReader(run.store.read(layout.input_block(block))), columns=fields)
        inputs = specs.slice(row[outcomes.ROW] - block * layout.BLOCK, 1).to_pylist()
        groups.append(
            FailureGroup(
                *key,
                count=count,
                sort_index=row[layout.SORT_INDEX],
                message=row[outcomes.MESSAGE] or "",
                attempts=row[outcomes.ATTEMPTS],
                inputs=inputs[0] if inputs else {},
                log=(row[outcomes.LOG] or "")[-EXAMPLE_LOG:],
            )
        )
    return groups

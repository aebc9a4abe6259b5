"""What became of a run so far, from its directory alone.

Takes a run; leaves a `RunStatus`. Costs a few listings; only with `errors` does it open the parts that hold failures.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from scythe_cli.core import layout
from scythe_cli.run import lease
from scythe_cli.run.engine import Active
from scythe_cli.run.state import READERS, list_marks, read_mark, read_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scythe_cli.core.layout import PartName
    from scythe_cli.run.run import Run
    from scythe_cli.run.state import RunState
    from scythe_cli.storage.base import Store

_Alike: TypeAlias = tuple[str, str, str]
"""Kind, type and place of a failure."""

State = Literal["running", "complete", "gathered", "cancelled", "stopped", "incomplete", "pending"]
EXAMPLE_LOG = 2 << 10
"""Characters of an example's log and of its traceback."""


@dataclass(frozen=True)
class FailureGroup:
    """Failures of one kind, type and place.

    Attributes:
        kind: exception, crash, timeout, memory, invalid_output or lost.
        error_type: the exception's class, or the kind.
        place: where in the user's code; of an invalid output, the part of it that is wrong.
        count: how many specs.
        sort_index: one of them, the lowest.
        message: its message.
        attempts: its attempts.
        inputs: its input fields.
        log: the tail of what it printed.
        traceback: the tail of its traceback, without the message; of a process that died, the head of its stack.
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
    traceback: str


@dataclass(frozen=True)
class RunStatus:
    """One run's state.

    Attributes:
        run: its id.
        address: its folder.
        version: the second part of the id.
        engine: local or hatchet.
        created: when it was claimed, UTC.
        state: running: somebody holds it; gathered: done, with final tables; complete: done, without; cancelled or
            stopped: ended early; incomplete: nobody works on it; pending: nothing ran yet.
        total: specs.
        done: specs with an outcome.
        succeeded: how many of those have an output.
        failed: how many of those failed.
        missing: specs without an outcome.
        generation: 1 for the first allocate, one more for each resume; 0 before anything ran.
        rate: specs a second of the latest generation, None before any.
        eta: seconds that the rest takes at this rate, None unless running.
        detail: who cancelled, or why it stopped.
        final: addresses of the final tables that exist.
        failures: by kind, type and place, most frequent first; empty unless asked for.
        active: what the engine has under way, where it was asked.
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
    active: Active | None = None


@dataclass(frozen=True)
class _Seen:
    """What a status is made of.

    Attributes:
        marks: the numbered objects in control/, by kind.
        fresh: specs with an outcome of the latest generation.
        finals: the names of the final tables.
    """

    marks: Mapping[str, list[int]]
    done: int
    failed: int
    fresh: int
    finals: Iterable[str]

    @property
    def generation(self) -> int:
        return max(self.marks.get("generation", [0]))

    def read(self, run: Run, kind: str) -> dict[str, Any]:
        """The latest generation's object of a kind; empty where there is none."""
        if self.generation not in self.marks.get(kind, []):
            return {}
        return read_mark(run.store, kind, self.generation) or {}


def status(run: Run, *, errors: bool = False, now: datetime | None = None) -> RunStatus:
    """Read a run's state.

    Args:
        run: the run.
        errors: group its failures too, by kind, type and place.
        now: the time, for rate and ETA.
    """
    state = read_state(run)
    fresh = sum(part.rows for part in state.parts if part.generation == state.generation)
    seen = _Seen(state.marks, state.done, state.failed, fresh, state.finals)
    failures = failure_groups(run, state) if errors and state.failed else []
    return _status(run, seen, failures, now or datetime.now(UTC))


def quick_status(run: Run) -> RunStatus:
    """As `status`, but of a gathered run only the short listing of its marks is read, however large it is."""
    marks = list_marks(run.store)
    generation = max(marks.get("generation", [0]))
    told = read_mark(run.store, "gathered", generation) if generation in marks.get("gathered", []) else None
    if told is None or "failed" not in told:
        return status(run)
    began = read_mark(run.store, "generation", generation) or {}
    seen = _Seen(marks, run.total, told["failed"], began.get("todo", 0), told["tables"])
    return _status(run, seen, [], datetime.now(UTC))


def _status(run: Run, seen: _Seen, failures: list[FailureGroup], now: datetime) -> RunStatus:
    ended = seen.read(run, "ended")
    state, detail = _state(run, seen, ended)
    rate = _rate(seen, seen.read(run, "generation"), ended, now if state == "running" else None)
    left = run.total - seen.done
    return RunStatus(
        run=run.id,
        address=run.store.locate(""),
        version=str(run.version),
        engine=run.manifest.engine,
        created=run.manifest.created,
        state=state,
        total=run.total,
        done=seen.done,
        succeeded=seen.done - seen.failed,
        failed=seen.failed,
        missing=left,
        generation=seen.generation,
        rate=rate,
        eta=left / rate if rate and state == "running" else None,
        detail=detail,
        final={name: run.store.locate(layout.final(name)) for name in seen.finals},
        failures=failures,
    )


def _state(run: Run, seen: _Seen, ended: dict[str, Any]) -> tuple[State, str]:
    if seen.done == run.total:
        return ("gathered" if seen.generation in seen.marks.get("gathered", []) else "complete"), ""
    if not seen.generation:
        return "pending", ""
    if mark := seen.read(run, "cancel"):
        return "cancelled", f"by {mark['by']} at {mark['at']}"
    if ended and ended["reason"] != "done":
        return ("incomplete" if ended["reason"] == "interrupted" else "stopped"), str(ended["detail"])
    newest = max(seen.marks.get("lease", [0]))
    note = read_mark(run.store, "lease", newest) if newest else None
    if note is not None and lease.is_held(note):
        return "running", f"by process {note['pid']} on {note['host']}"
    elsewhere = (seen.read(run, "generation") or {}).get("engine") == "hatchet" and not ended
    return ("running", "no worker follows it now") if elsewhere else ("incomplete", "")


def _rate(seen: _Seen, began: dict[str, Any], ended: dict[str, Any], now: datetime | None) -> float | None:
    until = datetime.fromisoformat(str(ended["ended"])) if ended else now
    if not began or until is None:
        return None
    seconds = (until - datetime.fromisoformat(str(began["began"]))).total_seconds()
    return seen.fresh / seconds if seconds > 0 and seen.fresh else None


@dataclass(frozen=True)
class _Group:
    """Failures that are alike, and the lowest row of them."""

    count: int
    row: int
    part: PartName

    def __add__(self, other: _Group) -> _Group:
        first = min(self, other, key=lambda one: one.row)
        return _Group(self.count + other.count, first.row, first.part)


def failure_groups(run: Run, state: RunState) -> list[FailureGroup]:
    """The run's failures by kind, type and place, most frequent first; opens the parts that hold any."""
    failed = [(part, rows) for block in state.blocks.values() for part, rows in block.by_part.items() if part.failed]
    groups: dict[_Alike, _Group] = {}
    with ThreadPoolExecutor(READERS) as pool:
        for found in pool.map(lambda one: _grouped(run.store, *one), failed):
            for alike, group in found.items():
                groups[alike] = groups[alike] + group if alike in groups else group
    order = sorted(groups.items(), key=lambda item: (-item[1].count, item[0]))
    return [_example(run, alike, group) for alike, group in order]


def _grouped(store: Store, part: PartName, rows: list[int] | None) -> dict[_Alike, _Group]:
    """The failures of one part; of `rows` alone unless that is None."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from scythe_cli.run.outcomes import ERROR_TYPE, KIND, PLACE, ROW
    from scythe_cli.run.parts import CorruptPart, read_part

    try:
        table = read_part(store, part.key, [ROW, KIND, ERROR_TYPE, PLACE])
    except CorruptPart:
        return {}  # its specs count as missing as soon as somebody gathers or resumes
    table = table.filter(pc.is_valid(table.column(KIND)))
    if rows is not None:
        table = table.filter(pc.is_in(table.column(ROW), value_set=pa.array(rows, pa.int64())))
    counted = table.group_by([KIND, ERROR_TYPE, PLACE], use_threads=False).aggregate([(ROW, "count"), (ROW, "min")])
    return {
        (one[KIND], one[ERROR_TYPE], one[PLACE] or ""): _Group(one[f"{ROW}_count"], one[f"{ROW}_min"], part)
        for one in counted.to_pylist()
    }


def _example(run: Run, alike: _Alike, group: _Group) -> FailureGroup:
    import pyarrow as pa
    import pyarrow.compute as pc

    from scythe_cli.run.outcomes import ATTEMPTS, LOG, MESSAGE, ROW, TRACEBACK
    from scythe_cli.run.parts import read_block, read_part

    table = read_part(run.store, group.part.key, [ROW, layout.SORT_INDEX, MESSAGE, TRACEBACK, ATTEMPTS, LOG])
    row = table.filter(pc.equal(table.column(ROW), pa.scalar(group.row))).to_pylist()[0]
    block = layout.block_of(group.row)
    fields = [name for name in run.manifest.index if name not in layout.INDEX_HEAD]
    specs = read_block(run.store, block, fields)
    inputs = specs.slice(group.row - block * layout.BLOCK, 1).to_pylist()
    kind, error_type, place = alike
    return FailureGroup(
        kind=kind,
        error_type=error_type,
        place=place,
        count=group.count,
        sort_index=row[layout.SORT_INDEX],
        message=row[MESSAGE] or "",
        attempts=row[ATTEMPTS],
        inputs=inputs[0] if inputs else {},
        log=(row[LOG] or "")[-EXAMPLE_LOG:],
        traceback=_telling(row[TRACEBACK] or "", f"{error_type}: {row[MESSAGE]}"),
    )


def _telling(traceback: str, message: str) -> str:
    """The part of a traceback where the last call stands: its end without the message, or the head of a dump."""
    from scythe_cli.run.outcomes import CALLS_BEGIN_LAST

    if CALLS_BEGIN_LAST in traceback:
        return traceback[:EXAMPLE_LOG]
    return traceback.rstrip().removesuffix(message.rstrip())[-EXAMPLE_LOG:].rstrip()

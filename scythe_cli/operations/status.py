"""What became of a run so far, from its directory alone.

Input: a run. Output: a `RunStatus`. Costs a few listings; only with `errors` does it open the parts that hold failures.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.operations.failure_groups import FailureGroup, failure_groups
from scythe_cli.operations.output_counts import OutputCounts, from_note
from scythe_cli.operations.scan import final_tables
from scythe_cli.run import lease
from scythe_cli.run.engine import Active, EndReason
from scythe_cli.run.run import DownloadedRun, OriginalRun
from scythe_cli.run.state import list_marks, read_mark, read_state
from scythe_cli.timing import spec_times
from scythe_cli.timing.live import Live, read_counts
from scythe_cli.timing.period import read_period
from scythe_cli.timing.spec_times import Durations

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scythe_cli.run.run import Run
    from scythe_cli.run.state import RunState

MADE_BY_ORIGINAL = "made by scythe-engine"
IS_DOWNLOAD = "a download"
IS_PARTIAL_DOWNLOAD = "a download, whose tables are partial"
State = Literal["running", "complete", "gathered", "cancelled", "stopped", "incomplete", "pending", "removing"]


@dataclass(frozen=True)
class RunStatus:
    """The state of a run.

    Attributes:
        run: its id.
        address: its folder.
        version: the second part of the id.
        engine: local, hatchet, shared or slurm.
        created: when it was claimed, UTC.
        state: pending: not started; running; cancelled or stopped: ended before all specs were finished; incomplete:
            no process works on it; complete: all specs finished, tables not built; gathered: finished, tables built;
            removing: a `remove` has begun and has not ended.
        total: specs.
        done: finished specs, succeeded or failed.
        succeeded: how many of those succeeded.
        failed: how many of those failed.
        missing: specs that are not finished.
        generation: 1 for the first allocate, one more for each resume; 0 before the first spec ran.
        rate: specs per second in the latest generation, or null.
        eta: seconds until the end at this rate, null unless running.
        detail: who cancelled it, or why it stopped.
        final: addresses of the final tables that exist.
        failures: grouped by kind, type and place, most frequent first; empty without `--errors`.
        earlier_failures: the same of attempts that a retry or a resume replaced; empty without `--all-attempts`.
        outputs: what the last gather found conspicuous about each output; empty before.
        active: what the engine queues and runs, or null.
        began: when its first generation began, UTC, or null.
        ended: when its latest generation ended, or null.
        elapsed: seconds at work, without the time between generations; or null.
        user: who began its latest generation, or null.
        as_of: when the newest result that these numbers count was written, UTC, or null.
        durations: how long specs took; null where they were not read, and before the first result.
        live: counts of the process at work, where it is on this machine; null where they are not known.
        size: bytes in its folder; null where they were not added up.
        size_is_part: whether the folder has more objects than were added up.
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
    outputs: dict[str, OutputCounts] = field(default_factory=dict)
    began: datetime | None = None
    ended: datetime | None = None
    elapsed: float | None = None
    user: str | None = None
    as_of: datetime | None = None
    durations: Durations | None = None
    live: Live | None = None
    size: int | None = None
    size_is_part: bool = False
    earlier_failures: list[FailureGroup] = field(default_factory=list)


@dataclass(frozen=True)
class _StatusParts:
    """What a status is made of.

    Attributes:
        marks: the numbered objects in control/, by kind.
        fresh: specs with an outcome of the latest generation.
        finals: the names of the final tables.
        written: when the newest part was written, in seconds since 1970; 0 where that is not known.
    """

    marks: Mapping[str, list[int]]
    done: int
    failed: int
    fresh: int
    finals: Iterable[str]
    written: float = 0.0

    @property
    def generation(self) -> int:
        return max(self.marks.get(Mark.GENERATION, [0]))

    def read(self, run: Run, kind: Mark) -> dict[str, Any]:
        """The latest generation's object of a kind; empty where there is none."""
        if self.generation not in self.marks.get(kind, []):
            return {}
        return read_mark(run.store, kind, self.generation) or {}


def status(
    run: Run, *, errors: bool = False, name_specs: bool = False, durations: bool = False, now: datetime | None = None
) -> RunStatus:
    """Read a run's state.

    Args:
        run: the run.
        errors: group its failures too, by kind, type and place.
        name_specs: with `errors`, give each group the numbers of all of its specs.
        durations: read how long specs took also where no gather has counted it.
        now: the time, for rate and ETA.
    """
    if isinstance(run, OriginalRun | DownloadedRun):
        return _status_of_tables(run)
    state = read_state(run)
    if state.done > run.total:
        from scythe_cli.run.compatibility import refuse_wrong_total  # reads tables, which a status does not

        refuse_wrong_total(run)
    fresh = sum(p.rows for p in state.parts if p.generation == state.generation and not p.of_gather)
    written = max(state.written.values(), default=0.0)
    seen = _StatusParts(state.marks, state.done, state.failed, fresh, state.finals, written)
    failures = failure_groups(run, state, name_specs=name_specs) if errors and state.failed else []
    found = _status(run, seen, failures, now or datetime.now(UTC))
    if durations and state.done and found.durations is None:
        return replace(found, durations=_durations(run, state))
    return found


def _durations(run: Run, state: RunState) -> Durations | None:
    from scythe_cli.timing.durations import read_durations  # reads tables, which a status without it does not

    return read_durations(run, state)


def quick_status(run: Run) -> RunStatus:
    """As `status`, but of a gathered run only the short listing of its marks is read, however large it is."""
    if isinstance(run, OriginalRun | DownloadedRun):
        return _status_of_tables(run)
    marks = list_marks(run.store)
    generation = max(marks.get(Mark.GENERATION, [0]))
    mark = read_mark(run.store, Mark.GATHERED, generation) if generation in marks.get(Mark.GATHERED, []) else None
    if mark is None or "failed" not in mark:
        return status(run)
    began = read_mark(run.store, Mark.GENERATION, generation) or {}
    seen = _StatusParts(marks, run.total, mark["failed"], began.get("todo", 0), mark["tables"])
    return _status(run, seen, [], datetime.now(UTC))


def _status(run: Run, seen: _StatusParts, failures: list[FailureGroup], now: datetime) -> RunStatus:
    ended = seen.read(run, Mark.ENDED)
    state, detail = _removing(run, seen) or _state(run, seen, ended)
    rate = _rate(seen, seen.read(run, Mark.GENERATION), ended, now if state == "running" else None)
    left = run.total - seen.done
    gathered = seen.read(run, Mark.GATHERED)
    as_of = datetime.fromtimestamp(seen.written, UTC) if seen.written and state != "gathered" else None
    period = read_period(run, seen.marks, now if state == "running" else as_of)
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
        outputs=from_note(gathered, run.manifest.scalars),
        began=period.began,
        ended=period.ended,
        elapsed=period.elapsed,
        user=period.user,
        as_of=as_of or period.ended,
        durations=spec_times.from_note(gathered),
        live=read_counts(run) if state == "running" else None,
    )


def _status_of_tables(run: Run) -> RunStatus:
    """The tables of a download, or of a run of scythe-engine, are all that is known.

    Specs that failed are missing from those of scythe-engine.
    """
    finals = final_tables(run.store)
    total, succeeded, failed = run.total, run.count(layout.final(layout.SCALARS)), 0
    if isinstance(run, DownloadedRun):
        failed = run.count(layout.final(layout.ERRORS))
        done = succeeded + failed
    else:
        done = succeeded or (total if finals else 0)
    partial = isinstance(run, DownloadedRun) and done < total
    of_download = IS_PARTIAL_DOWNLOAD if partial and finals else IS_DOWNLOAD
    return RunStatus(
        run=run.id,
        address=run.store.locate(""),
        version=str(run.version),
        engine=run.manifest.engine,
        created=run.manifest.created,
        state="gathered" if finals and not partial else "incomplete",
        total=total,
        done=done,
        succeeded=done - failed,
        failed=failed,
        missing=total - done,
        generation=0,
        rate=None,
        eta=None,
        detail=MADE_BY_ORIGINAL if isinstance(run, OriginalRun) else of_download,
        final={name: run.store.locate(layout.final(name)) for name in finals},
    )


def _removing(run: Run, seen: _StatusParts) -> tuple[State, str] | None:
    if not seen.marks.get(Mark.REMOVED):
        return None
    return "removing", f"by {(read_mark(run.store, Mark.REMOVED, 1) or {}).get('by', 'somebody')}"


_WITHOUT_LEASE: dict[str, tuple[State, str]] = {
    "local": ("incomplete", ""),
    "hatchet": ("running", "no worker follows it now"),
}
"""What a generation is that nobody holds, by its engine."""


def _state(run: Run, seen: _StatusParts, ended: dict[str, Any]) -> tuple[State, str]:
    if seen.done == run.total:
        return ("gathered" if seen.generation in seen.marks.get(Mark.GATHERED, []) else "complete"), ""
    if not seen.generation:
        return "pending", ""
    if mark := seen.read(run, Mark.CANCEL):
        return "cancelled", f"by {mark['by']} at {mark['at']}"
    if ended and ended["reason"] != EndReason.DONE:
        return ("incomplete" if ended["reason"] == EndReason.INTERRUPTED else "stopped"), str(ended["detail"])
    if (note := lease.seen_holder(run.store, seen.marks)) is not None:
        return "running", _holder(run, note)
    engine = "local" if ended else seen.read(run, Mark.GENERATION).get("engine", "local")
    return _WITHOUT_LEASE.get(engine, ("running", ""))


def _holder(run: Run, note: dict[str, Any]) -> str:
    """Who has the run, in words. Of a holder on another machine, one look does not show that it lives."""
    who = f"by process {note['pid']} on {note['host']}"
    if lease.is_seen_to_live(run.store):
        return who
    return f"{who}, whose last sign of life is of {str(note['written'])[:19]} UTC by its own clock"


def _rate(seen: _StatusParts, began: dict[str, Any], ended: dict[str, Any], now: datetime | None) -> float | None:
    until = datetime.fromisoformat(str(ended["ended"])) if ended else now
    if not began or until is None:
        return None
    seconds = (until - datetime.fromisoformat(str(began["began"]))).total_seconds()
    return seen.fresh / seconds if seconds > 0 and seen.fresh else None

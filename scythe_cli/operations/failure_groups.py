"""A run's failures in groups: those of one kind, type and place are one line, with an example.

Input: a run and its state. Output: a list of `FailureGroup`, most frequent first. Opens only parts that hold failures.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from scythe_cli.core import layout
from scythe_cli.core.printable import text_for_bytes
from scythe_cli.run.state import READERS

if TYPE_CHECKING:
    from scythe_cli.core.layout import PartName
    from scythe_cli.run.run import Run
    from scythe_cli.run.state import RunState
    from scythe_cli.storage.base import Store

Alike: TypeAlias = tuple[str, str, str]
"""Kind, type and place of a failure."""

EXAMPLE_LOG = 2 << 10
"""Characters of an example's log and of its traceback."""


@dataclass(frozen=True)
class Common:
    """What the specs of a group have in common in one input: a value, or a range.

    Attributes:
        field: the input.
        value: the value that they have, or null where it is a range.
        share: how many of them have it, from 0 to 1.
        low: the lowest number of the range.
        high: the highest.
    """

    field: str
    value: Any = None
    share: float = 1.0
    low: float | int | None = None
    high: float | int | None = None


@dataclass(frozen=True)
class FailureGroup:
    """Failures of one kind, type and place.

    Attributes:
        kind: exception, crash, timeout, memory, invalid_output or lost.
        error_type: the exception's class, or the kind.
        place: the line in the user's code; for an invalid output, the part of it that is wrong.
        count: how many specs.
        sort_index: the lowest number of a spec among them.
        message: the message of that failure.
        attempts: how often that spec was tried.
        inputs: the inputs of that spec.
        log: the end of what it printed.
        traceback: the end of its traceback, without the message; of a process that died, the start of its stack.
        specs: the numbers of all specs in the group; `--json` has them with `--list`.
        common: inputs that they have in common and most other specs have not, the least likely by chance first.
        such: how many specs of the run have all that is in `common`; 0 where it is empty.
        failed_such: how many of those are in the group.
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
    specs: list[int] = field(default_factory=list)
    common: list[Common] = field(default_factory=list)
    such: int = 0
    failed_such: int = 0


@dataclass(frozen=True)
class _Group:
    """Failures that are alike, and the lowest row of them; crashes are alike only where they ended the same way."""

    count: int
    row: int
    part: PartName
    specs: list[int]

    def __add__(self, other: _Group) -> _Group:
        first = min(self, other, key=lambda one: one.row)
        return _Group(self.count + other.count, first.row, first.part, self.specs + other.specs)


def failure_groups(run: Run, state: RunState, *, name_specs: bool = False) -> list[FailureGroup]:
    """The run's failures by kind, type and place, most frequent first; opens the parts that hold any.

    Args:
        run: the run.
        state: which outcomes count.
        name_specs: give each group the numbers of all of its specs.
    """
    failed = [(part, rows) for block in state.blocks.values() for part, rows in block.by_part.items() if part.failed]
    groups: dict[tuple[Alike, str], _Group] = {}
    with ThreadPoolExecutor(READERS) as pool:
        for found in pool.map(lambda one: _grouped(run.store, *one), failed):
            for alike, group in found.items():
                groups[alike] = groups[alike] + group if alike in groups else group
    order = sorted(groups.items(), key=lambda item: (-item[1].count, item[0]))
    described = [_example(run, alike, group) for (alike, _), group in order]
    if not name_specs:
        return described
    return [replace(one, specs=sorted(group.specs)) for one, (_, group) in zip(described, order, strict=True)]


def _grouped(store: Store, part: PartName, rows: list[int] | None) -> dict[tuple[Alike, str], _Group]:
    """The failures of one part, of `rows` alone unless that is None; of crashes with how the process ended."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from scythe_cli.run.outcomes import ERROR_TYPE, KIND, MESSAGE, PLACE, ROW, FailureKind
    from scythe_cli.run.parts import CorruptPart, read_part

    try:
        table = read_part(store, part.key, [ROW, layout.SORT_INDEX, KIND, ERROR_TYPE, PLACE, MESSAGE])
    except CorruptPart:
        return {}  # its specs count as missing as soon as somebody gathers or resumes
    table = table.filter(pc.is_valid(table.column(KIND)))
    if rows is not None:
        table = table.filter(pc.is_in(table.column(ROW), value_set=pa.array(rows, pa.int64())))
    crashed = pc.equal(table.column(KIND), pa.scalar(FailureKind.CRASH.value))
    ends: Any = pc.if_else(crashed, table.column(MESSAGE), pa.scalar(""))
    table = table.drop_columns([MESSAGE]).append_column(MESSAGE, ends)
    counted = table.group_by([KIND, ERROR_TYPE, PLACE, MESSAGE], use_threads=False).aggregate(
        [(ROW, "count"), (ROW, "min"), (layout.SORT_INDEX, "list")]
    )
    return {
        ((one[KIND], one[ERROR_TYPE], one[PLACE] or ""), one[MESSAGE] or ""): _Group(
            one[f"{ROW}_count"], one[f"{ROW}_min"], part, one[f"{layout.SORT_INDEX}_list"]
        )
        for one in counted.to_pylist()
    }


def _example(run: Run, alike: Alike, group: _Group) -> FailureGroup:
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
    return describe_group(alike, group.count, row, inputs[0] if inputs else {})


def describe_group(alike: Alike, count: int, row: dict[str, Any], inputs: dict[str, Any]) -> FailureGroup:
    """Failures that are alike, with the outcome columns and the inputs of one of them."""
    from scythe_cli.run.outcomes import ATTEMPTS, LOG, MESSAGE, TRACEBACK

    kind, error_type, place = alike
    return FailureGroup(
        kind=kind,
        error_type=error_type,
        place=place,
        count=count,
        sort_index=row[layout.SORT_INDEX],
        message=row[MESSAGE] or "",
        attempts=row[ATTEMPTS],
        inputs=text_for_bytes(inputs),
        log=(row[LOG] or "")[-EXAMPLE_LOG:],
        traceback=_essential_part(row[TRACEBACK] or "", f"{error_type}: {row[MESSAGE]}"),
    )


def _essential_part(traceback: str, message: str) -> str:
    """The part of a traceback that has the last call: its end without the message, or the head of a dump."""
    from scythe_cli.run.outcomes import CALLS_BEGIN_LAST

    if CALLS_BEGIN_LAST in traceback:
        return traceback[:EXAMPLE_LOG]
    return traceback.rstrip().removesuffix(message.rstrip())[-EXAMPLE_LOG:].rstrip()

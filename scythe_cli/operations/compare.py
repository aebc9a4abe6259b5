"""What differs between two runs: settings, code, packages, input rows, outputs, failures.

Input: two runs. Output: a `Comparison`. Rows are matched by their inputs, files by name and content, as `--reuse` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from scythe_cli.core import layout, yaml_document
from scythe_cli.errors import InputError, NotFoundError
from scythe_cli.operations.scan import final_tables, load_table, missing_in_tables
from scythe_cli.reuse.keys import keys_of_run, piece_rows
from scythe_cli.reuse.match import match
from scythe_cli.run.code import read_code
from scythe_cli.run.generation import code_of_rows, latest_code
from scythe_cli.run.parts import read_block
from scythe_cli.run.run import OriginalRun, refuse_download
from scythe_cli.storage.base import MANIFEST_LIMIT

if TYPE_CHECKING:
    from scythe_cli.run.generation import LatestCode
    from scythe_cli.run.run import Run

_FIRST, _SECOND = "_first", "_second"
"""Columns of pairs of rows, and what the outputs of a run are called next to the other's; no field begins so."""


@dataclass(frozen=True)
class Difference:
    """One value of both runs; None where a run has none."""

    name: str
    first: str | None
    second: str | None


@dataclass(frozen=True)
class CodeDifference:
    """The code of both runs.

    Attributes:
        first: the hash of the first run's source files.
        second: of the second's.
        changed: files that differ or that one of them lacks; empty where a run kept no copy of its code.
    """

    first: str
    second: str
    changed: list[str]


@dataclass(frozen=True)
class RowDifference:
    """The input rows of both runs.

    Attributes:
        same: rows with equal inputs.
        changed: rows of one sort_index whose inputs differ.
        added: rows of the second run alone.
        removed: rows of the first run alone.
    """

    same: int
    changed: int
    added: int
    removed: int


@dataclass(frozen=True)
class OutputDifference:
    """One output over the rows that are in both runs and succeeded in both.

    Attributes:
        name: of the output.
        count: rows that are compared.
        first_mean: None where it is not a number.
        second_mean: likewise.
        largest_change: the largest absolute difference of one row; None where it is not a number.
        rows_changed: rows whose value differs.
    """

    name: str
    count: int
    first_mean: float | None
    second_mean: float | None
    largest_change: float | None
    rows_changed: int


@dataclass(frozen=True)
class FailureDifference:
    """Failures of the rows that are in both runs and have run in both.

    Attributes:
        both: failed in both.
        new: failed in the second run alone.
        gone: failed in the first run alone.
    """

    both: int
    new: int
    gone: int


@dataclass(frozen=True)
class Comparison:
    """What differs between two runs."""

    first: str
    second: str
    settings: list[Difference]
    code: CodeDifference
    packages: list[Difference]
    rows: RowDifference
    outputs: list[OutputDifference]
    failures: FailureDifference
    notes: list[str]


def compare(first: Run, second: Run) -> Comparison:
    """Compare two runs, of one experiment or of two.

    Raises:
        InputError: the runs have different input fields.
        StoreError: a storage does not answer.
    """
    for run in (first, second):
        refuse_download(run)
        if isinstance(run, OriginalRun):
            raise InputError(f"{run.id} was made by scythe-engine: it cannot be compared")
    pairs, rows = _rows(first, second)
    codes = latest_code(first), latest_code(second)
    notes = [
        f"{run.id} has no tables yet: its outputs are not compared" for run in (first, second) if not _is_built(run)
    ]
    both = not notes
    for run in (first, second):
        if both and (unfinished := _unfinished(run)) is not None:
            notes.append(unfinished)
        if (made_by := code_of_rows(run)) is not None:
            notes.append(f"different code made the rows of {run.id}: {made_by}")
    return Comparison(
        first=first.id,
        second=second.id,
        settings=_differences(_settings(first, codes[0]), _settings(second, codes[1])),
        code=_code(first, second, codes),
        packages=_differences(codes[0].packages, codes[1].packages),
        rows=rows,
        outputs=_outputs(first, second, pairs) if both else [],
        failures=_failures(first, second, pairs) if both else FailureDifference(0, 0, 0),
        notes=notes,
    )


def _is_built(run: Run) -> bool:
    return layout.SCALARS in final_tables(run.store)


def _settings(run: Run, latest: LatestCode) -> dict[str, str]:
    text = run.store.read(layout.EXPERIMENT_FILE, limit=MANIFEST_LIMIT).decode(errors="replace")
    settings = latest.settings or yaml_document.read(text, layout.EXPERIMENT_FILE).data
    found: dict[str, str] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                walk(inner, f"{path}.{key}" if path else str(key))
        else:
            found[path] = "null" if value is None else str(value)

    walk(settings, "")
    return found


def _differences(first: dict[str, str], second: dict[str, str]) -> list[Difference]:
    names = sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
    return [Difference(name, first.get(name), second.get(name)) for name in names]


def _code(first: Run, second: Run, codes: tuple[LatestCode, LatestCode]) -> CodeDifference:
    hashes = codes[0].source_hash, codes[1].source_hash
    if hashes[0] == hashes[1]:
        return CodeDifference(*hashes, [])
    try:
        was, now = (read_code(run.store, one) for run, one in zip((first, second), hashes, strict=True))
    except NotFoundError:
        return CodeDifference(*hashes, [])
    return CodeDifference(*hashes, sorted(name for name in {*was, *now} if was.get(name) != now.get(name)))


def _rows(first: Run, second: Run) -> tuple[pl.DataFrame, RowDifference]:
    """Pairs of the sort_index of equal rows, and the counts."""
    rows = piece_rows(first)
    old, new = (
        keys_of_run(run, _file_fields(run), features=(), by_sort_index=False, rows=rows) for run in (first, second)
    )
    matched = match(new, old)
    before, after = _sort_index(first), _sort_index(second)
    pairs = pl.DataFrame({_FIRST: before[matched.source_rows], _SECOND: after[matched.rows]})
    left = before.filter(~before.is_in(pairs[_FIRST].implode()))
    right = after.filter(~after.is_in(pairs[_SECOND].implode()))
    changed = int(left.is_in(right.implode()).sum())
    return pairs, RowDifference(pairs.height, changed, len(right) - changed, len(left) - changed)


def _file_fields(run: Run) -> list[str]:
    text = run.store.read(layout.INPUT_ARTIFACTS).decode()
    return list(yaml_document.read(text, layout.INPUT_ARTIFACTS).data["files"])


def _sort_index(run: Run) -> pl.Series:
    blocks = range(-(-run.total // run.manifest.block_size))
    columns = [read_block(run.store, number, [layout.SORT_INDEX]) for number in blocks]
    return pl.concat([pl.Series(block.column(0)) for block in columns])


def _outputs(first: Run, second: Run, pairs: pl.DataFrame) -> list[OutputDifference]:
    others = set(second.manifest.scalars)
    names = [name for name in first.manifest.scalars if name in others]
    both = pairs
    for run, key in ((first, _FIRST), (second, _SECOND)):
        values = load_table(run, layout.SCALARS).select(
            pl.col(layout.SORT_INDEX).alias(key), *(pl.col(name).alias(f"{key}{name}") for name in names)
        )
        both = both.join(values, on=key)
    return [_output(name, both[f"{_FIRST}{name}"], both[f"{_SECOND}{name}"]) for name in names]


def _output(name: str, was: pl.Series, now: pl.Series) -> OutputDifference:
    same = was.eq_missing(now) if was.dtype == now.dtype else was.cast(pl.String).eq_missing(now.cast(pl.String))
    changed = int((~same).sum())
    if not (was.dtype.is_numeric() and now.dtype.is_numeric()):
        return OutputDifference(name, len(was), None, None, None, changed)
    step = (now.cast(pl.Float64) - was.cast(pl.Float64)).abs().max()
    means = [None if (mean := one.cast(pl.Float64).mean()) is None else float(str(mean)) for one in (was, now)]
    return OutputDifference(name, len(was), means[0], means[1], None if step is None else float(str(step)), changed)


def _failures(first: Run, second: Run, pairs: pl.DataFrame) -> FailureDifference:
    """Of the specs that have run in both: one that has not run yet has not failed, and its failure is not gone."""
    was, now = (load_table(run, layout.ERRORS)[layout.SORT_INDEX].implode() for run in (first, second))
    ran = pairs.filter(pl.col(_FIRST).is_in(_ran(first).implode()), pl.col(_SECOND).is_in(_ran(second).implode()))
    failed = ran[_FIRST].is_in(was), ran[_SECOND].is_in(now)
    both = int((failed[0] & failed[1]).sum())
    return FailureDifference(both=both, new=int(failed[1].sum()) - both, gone=int(failed[0].sum()) - both)


def _ran(run: Run) -> pl.Series:
    """The specs that the final tables have, succeeded or failed."""
    return pl.concat([load_table(run, name)[layout.SORT_INDEX] for name in (layout.SCALARS, layout.ERRORS)])


def _unfinished(run: Run) -> str | None:
    """A sentence where the final tables lack specs."""
    if not (missing := missing_in_tables(run)):
        return None
    return f"{run.id} is not finished: {missing:,} of {run.total:,} {'spec' if run.total == 1 else 'specs'} not run yet"

"""Which specs of a run to show: failed ones, the slowest, those for which a condition in SQL is true.

Input: a run and a `SpecChoice`. Output: the places of the chosen specs in the table, and how many the choice fits.
Reads only the columns that the choice names.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout
from scythe_cli.errors import ConfigError, InputError, NotFoundError, StoreError, did_you_mean
from scythe_cli.run.run import DownloadedRun
from scythe_cli.show.columns import QueryColumns, open_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

    from scythe_cli.run.run import Run

_ROW = "_scythe_row"


@dataclass(frozen=True)
class SpecChoice:
    """Which specs to show.

    Attributes:
        sort_index: this one.
        slowest: so many of those that took longest, the slowest first.
        failed: only failed ones.
        where: a condition in SQL over inputs, outputs and how the specs ran.
        limit: at most so many.
    """

    sort_index: int | None = None
    slowest: int | None = None
    failed: bool = False
    where: str | None = None
    limit: int | None = None

    @property
    def filters(self) -> bool:
        """Whether it leaves out specs by what they are."""
        return self.failed or self.where is not None or self.slowest is not None


@dataclass(frozen=True)
class Chosen:
    """The chosen specs.

    Attributes:
        rows: their places in specs.pq, in the order to show them.
        matching: how many specs the choice fits; `limit` does not count.
    """

    rows: list[int]
    matching: int


def choose(run: Run, choice: SpecChoice) -> Chosen:
    """The places of the chosen specs.

    Raises:
        NotFoundError: no spec has this sort_index.
        ConfigError: the condition is not SQL, or names a column that the run does not have.
    """
    if choice.sort_index is not None:
        return Chosen([row_of(run, choice.sort_index)], 1)
    if not choice.filters:
        end = run.total if choice.limit is None else min(run.total, choice.limit)
        return Chosen(list(range(end)), run.total)
    return _matching(run, choice)


def row_of(run: Run, sort_index: int) -> int:
    """The place of a spec in specs.pq: nearly always its number. Raises `NotFoundError` when no spec has it."""
    from scythe_cli.run.parts import read_block

    if 0 <= sort_index < run.total and not isinstance(run, DownloadedRun):
        held: Any = read_block(run.store, layout.block_of(sort_index), [layout.SORT_INDEX])
        at = sort_index % layout.BLOCK
        if at < held.num_rows and held.column(0)[at].as_py() == sort_index:
            return sort_index
    import polars as pl  # only here: most specs need no search

    numbers = run.store.scan([layout.SPECS]).with_row_index(_ROW).filter(pl.col(layout.SORT_INDEX) == sort_index)
    with as_error_of(run, None):
        found = numbers.select(_ROW).collect()
    if found.height:
        return int(found.item(0, 0))
    held_specs = f"{run.total:,} specs" if run.total != 1 else "1 spec"
    raise NotFoundError(f"{run.id} has no spec {sort_index}: it has {held_specs}{_numbered(run)}")


def _numbered(run: Run) -> str:
    import polars as pl

    if not run.total:
        return ""
    number = pl.col(layout.SORT_INDEX)
    low, high = run.store.scan([layout.SPECS]).select(number.min(), high=number.max()).collect().row(0)
    return f", numbered from {low} to {high}"


def _matching(run: Run, choice: SpecChoice) -> Chosen:
    import polars as pl

    columns = QueryColumns.of(run)
    where = _condition(choice.where, columns) if choice.where is not None else None
    duration, state = columns.own["duration"], columns.own["state"]
    needed = [*(where.meta.root_names() if where is not None else []), duration, *([state] * choice.failed)]
    with as_error_of(run, choice.where):
        frame = open_columns(run, columns, needed).with_row_index(_ROW)
        if choice.failed:
            frame = frame.filter(pl.col(state) == "failed")
        if where is not None:
            frame = frame.filter(where)
        found = frame.select(_ROW, duration).collect()
    if choice.slowest is not None:
        found = found.drop_nulls(duration).sort(duration, descending=True, maintain_order=True).head(choice.slowest)
    matching = found.height
    return Chosen(found.head(matching if choice.limit is None else choice.limit)[_ROW].to_list(), matching)


def _condition(text: str, columns: QueryColumns) -> pl.Expr:
    """The condition as polars has it, over columns that the run has."""
    import polars as pl

    try:
        found = pl.sql_expr(text)
        names: Sequence[str] = found.meta.root_names()
    except (pl.exceptions.PolarsError, TypeError, ValueError, AttributeError) as exc:
        raise _wrong(text, exc) from exc
    known = columns.names()
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            hint = f"columns: {', '.join(known[:40])}{', ...' if len(known) > 40 else ''}"
            if not near and f"'{name}'" not in text:
                hint = f"text is in single quotes, '{name}'; {hint}"
            raise ConfigError(f"--where {text!r}: the run has no column {name!r}.{near}", hint=hint)
    return found


@contextmanager
def as_error_of(run: Run, where: str | None) -> Iterator[None]:
    """What polars raises becomes ours: about the condition where there is one, else about the tables."""
    import polars as pl

    try:
        yield
    except OSError as exc:
        raise _unreadable(run, exc) from exc
    except pl.exceptions.PolarsError as exc:
        raise (_unreadable(run, exc) if where is None else _wrong(where, exc)) from exc


def _unreadable(run: Run, exc: Exception) -> StoreError:
    """The tables are not those that a gather writes, or the store does not answer."""
    said = str(exc).partition("\n")[0].strip()
    return StoreError(f"the tables of {run.id} cannot be read: {said}", hint=f"scythe gather {run.store.address}")


def _wrong(text: str, exc: Exception) -> InputError:
    said = str(exc).partition("\n")[0].strip()
    return ConfigError(
        f"--where {text!r} is not a condition: {said}",
        hint="a condition in SQL such as \"system = 'heatpump' AND u_value > 2\"",
    )

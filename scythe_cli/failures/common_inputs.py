"""What the failed specs of a group have in common, and which they are.

Input: a run and its groups of failures. Output: the same groups, each with the values and ranges of inputs that its
specs share and that most other specs do not have. Reads the columns of specs.pq one by one.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout
from scythe_cli.operations.failure_groups import Common

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from scythe_cli.operations.failure_groups import FailureGroup
    from scythe_cli.run.run import Run

MOST_COLUMNS = 200
MOST_GROUPS = 20
MOST_COMMON = 3
"""Inputs that a group is described by, the least likely by chance first."""
MOSTLY = 0.8
"""A value that so many specs of a group have is reported, if it is rare elsewhere."""
BY_CHANCE = 0.01
BY_CHANCE_IF_ALL_HAVE_IT = 0.3
"""A value that all specs of a group have is a fact, and only left out where nearly all other specs have it, too."""
FEWEST_OF_A_RANGE = 3
WIDEST_RANGE = 0.8
"""Of many failures even a range of nearly all specs is no chance; but it helps nobody."""


def with_common_inputs(run: Run, groups: Sequence[FailureGroup]) -> list[FailureGroup]:
    """The groups with what their inputs have in common; a group of one spec has nothing.

    The groups as they are where specs.pq cannot be read: they are right without it.
    """
    import polars as pl

    try:
        return _with_common_inputs(run, groups)
    except (pl.exceptions.PolarsError, OSError):
        return list(groups)


def _with_common_inputs(run: Run, groups: Sequence[FailureGroup]) -> list[FailureGroup]:
    import polars as pl

    chosen = [at for at, group in enumerate(groups[:MOST_GROUPS]) if len(group.specs) > 1]
    if not chosen:
        return list(groups)
    specs = run.store.scan([layout.SPECS])
    numbers = specs.select(layout.SORT_INDEX).collect()[layout.SORT_INDEX]
    masks = {at: numbers.is_in(pl.Series(groups[at].specs, dtype=numbers.dtype).implode()) for at in chosen}
    found: dict[int, list[tuple[float, Common, pl.Series]]] = {at: [] for at in chosen}
    schema = specs.collect_schema()
    names = [name for name in run.manifest.index if name not in layout.INDEX_HEAD and name in schema]
    for name in names[:MOST_COLUMNS]:
        if not _has_plain_values(schema[name]):
            continue
        column = specs.select(name).collect()[name]
        for at in chosen:
            one = _in_common(column, masks[at])
            if one is not None:
                found[at].append(one)
    return [_described(group, found.get(at, []), masks.get(at)) for at, group in enumerate(groups)]


def _has_plain_values(dtype: pl.DataType) -> bool:
    import polars as pl

    return dtype.is_numeric() or dtype.is_temporal() or dtype in (pl.String, pl.Boolean) or dtype == pl.Categorical


def _in_common(column: pl.Series, mask: pl.Series) -> tuple[float, Common, pl.Series] | None:
    """What a group has in common in one column: how likely that is by chance, what it is, and which specs have it."""
    return _value(column, mask) or _range(column, mask)


def _value(column: pl.Series, mask: pl.Series) -> tuple[float, Common, pl.Series] | None:
    """One value that all, or nearly all, specs of the group have."""
    inside = column.filter(mask)
    value = inside.drop_nulls().mode()
    if value.is_empty():
        return None
    first = value.sort()[0]
    such = (column == first).fill_null(False)
    share, everywhere = float((such & mask).sum()) / len(inside), float(such.sum()) / len(column)
    if share < MOSTLY or everywhere >= 1 or (value.len() > 1 and share < 1):
        return None
    chance = _chance(share, everywhere, len(inside))
    if chance > (BY_CHANCE_IF_ALL_HAVE_IT if share == 1 else BY_CHANCE):
        return None
    return chance, Common(column.name, value=_plain(first), share=share), such


def _chance(share: float, everywhere: float, count: int) -> float:
    """An upper bound of the chance that so large a share of `count` specs has a value (Chernoff, 1952)."""
    if share <= everywhere:
        return 1.0
    rest = (1 - share) * math.log((1 - share) / (1 - everywhere)) if share < 1 else 0.0
    return math.exp(-count * (share * math.log(share / everywhere) + rest))


def _range(column: pl.Series, mask: pl.Series) -> tuple[float, Common, pl.Series] | None:
    """A range of numbers that has the group and few other specs."""
    if not column.dtype.is_numeric():
        return None
    inside = column.filter(mask).drop_nulls()
    if column.dtype.is_float():
        inside = inside.drop_nans()
    count = inside.len()
    low, high = inside.min(), inside.max()
    if count < FEWEST_OF_A_RANGE or count < mask.sum() or low is None or high is None:
        return None
    such = column.is_between(low, high).fill_null(False)
    covered = float(such.sum()) / len(column)
    chance = count * covered ** (count - 1) - (count - 1) * covered**count
    if covered > WIDEST_RANGE or chance > BY_CHANCE * 5:
        return None
    return chance, Common(column.name, low=_plain(low), high=_plain(high), share=1.0), such


def _described(
    group: FailureGroup, found: list[tuple[float, Common, pl.Series]], mask: pl.Series | None
) -> FailureGroup:
    """The group with its most significant inputs, and how many specs of the run are like it in these."""
    if not found or mask is None:
        return group
    found = sorted(found, key=lambda one: one[0])
    if found[0][0] < BY_CHANCE / 10:  # next to such a finding, weak ones are noise
        found = [one for one in found if one[0] < BY_CHANCE]
    found = found[:MOST_COMMON]
    such = found[0][2]
    for _, _, other in found[1:]:
        such = such & other
    common = [one for _, one, _ in found]
    return replace(group, common=common, failed_such=int((such & mask).sum()), such=int(such.sum()))


def _plain(value: Any) -> Any:
    return float(f"{value:.12g}") if isinstance(value, float) else value

"""A table of specs that a design makes.

Input: the input model and the settings of a design. Output: the table, what the manifest keeps of the design, and notes
for the user.
"""

from __future__ import annotations

import glob
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from scythe_cli.columns.model_fields import read_fields
from scythe_cli.designs import points
from scythe_cli.designs.space import check_value, read_space
from scythe_cli.errors import ConfigError
from scythe_cli.experiment.field_kinds import file_fields
from scythe_cli.experiment.settings import DesignSettings
from scythe_cli.storage.address import is_remote

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from pydantic import BaseModel

    from scythe_cli.designs.dimension import Dimension
    from scythe_cli.designs.space import Where
    from scythe_cli.experiment.settings import Method

MOST_SPECS = 100_000_000
DEFAULT_POINTS = 64


def sample(
    model: type[BaseModel],
    design: Method = "sobol",
    n: int | None = None,
    *,
    seed: int = 0,
    space: Mapping[str, Any] | None = None,
    fixed: Mapping[str, Any] | None = None,
    cross: Mapping[str, Any] | None = None,
    base: str | Path = ".",
) -> pl.DataFrame:
    """The table of specs that a design makes of an input model.

    Args:
        model: the input model. What `space` does not name takes the model's own bounds and choices.
        design: sobol, halton, lhs, random, grid, one_at_a_time, morris or saltelli.
        n: points before `cross`, 64 unless given; of morris the trajectories, of saltelli the base samples. A grid and
            one_at_a_time take none.
        seed: the same seed makes the same points.
        space: field -> (low, high), {"levels": [...]}, or a distribution such as {"normal": {"mean": 8, "std": 2}}.
        fixed: field -> one value for all specs.
        cross: field -> values, or a pattern of files: every point with each of them.
        base: the folder that patterns of files start from.

    Returns:
        One row for each spec, one column for each field that is not left to the model's default.

    Raises:
        ConfigError: the design does not fit the model, or the extra `design` is not installed.
    """
    given: dict[str, Any] = {"design": design, "seed": seed, "fixed": dict(fixed or {}), "cross": dict(cross or {})}
    given["n"] = DEFAULT_POINTS if n is None and design not in points.LISTED else n
    given["space"] = {name: list(value) if isinstance(value, tuple) else value for name, value in (space or {}).items()}
    try:
        settings = DesignSettings.model_validate(given)
    except ValidationError as exc:
        error = exc.errors(include_url=False)[0]
        raise ConfigError(f"{'.'.join(map(str, error['loc']))} is {error['input']!r}: {error['msg']}") from None
    return make_design(model, settings, Path(base), where=str).table


def _specs_key(key: str) -> str:
    return f"specs.{key}"


@dataclass(frozen=True)
class Design:
    """A design's table.

    Attributes:
        table: one row for each spec, one column for each field that is not left to the model's default.
        record: what makes the table again: method, n, seed, space, versions of the libraries.
        notes: sentences for the user.
    """

    table: pl.DataFrame
    record: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def make_design(model: type[BaseModel], settings: DesignSettings, base: Path, *, where: Where = _specs_key) -> Design:
    """The table of a design.

    Args:
        model: the input model.
        settings: the design.
        base: the folder that patterns of files start from.
        where: the place of a key below `specs`, for messages.

    Raises:
        ConfigError: the design does not fit the model, or a library of the extra `design` is not installed.
    """
    import polars as pl

    fixed, cross = dict(settings.fixed), dict(settings.cross)
    space = read_space(model, settings.space, others={"fixed": fixed, "cross": cross}, where=where)
    _check_fixed(model, fixed, where)
    crossed = _crossed(model, cross, base, where)
    columns, notes = _columns(space, settings, where)
    rows = len(next(iter(columns.values()))) if columns else 1
    combinations = list(itertools.product(*crossed.values()))
    _check_size(rows * len(combinations), where)
    table = pl.DataFrame(columns, strict=False) if columns else pl.DataFrame({"_": [0]})
    others = {name: [value[at] for value in combinations] for at, name in enumerate(crossed)}
    if others:
        table = table.join(pl.DataFrame(others, strict=False), how="cross", maintain_order="left_right")
    table = table.with_columns(
        pl.lit(value).alias(name) for name, value in fixed.items() if not isinstance(value, list)
    )
    for name, value in fixed.items():
        if isinstance(value, list):
            table = table.with_columns(pl.Series(name, [value] * table.height))
    columns_made = set(table.columns)
    order = [name for name in model.model_fields if name in columns_made]
    record = {
        "method": settings.design,
        "n": settings.n,
        "seed": settings.seed,
        "points": rows,
        "space": {dimension.name: dimension.described for dimension in space},
        "fixed": fixed,
        "cross": cross,
        "versions": points.versions(settings.design),
    }
    return Design(table.select(order), record, notes)


def _columns(space: list[Dimension], settings: DesignSettings, where: Where) -> tuple[dict[str, Any], list[str]]:
    """The values of the fields that vary, point by point."""
    method, n = settings.design, settings.n
    if not space and not settings.cross:
        raise ConfigError(f"{where('space')}: no field varies: name one here, or give the specs as a file")
    if method in points.LISTED:
        if n is not None:
            raise ConfigError(f"{where('n')}: the levels decide how many points a {method} design has; leave n out")
        return (_grid if method == "grid" else _one_at_a_time)(space, where), []
    if not space:
        only = "name one here, or take the design grid, which has each combination of cross once"
        raise ConfigError(f"{where('space')}: no field varies for the {method} design: {only}")
    if n is None:
        raise ConfigError(f"{where('n')} is missing: how many points the {method} design has, as in n: 64")
    cube = points.sampled_points(method, len(space), n, settings.seed)
    found = {dimension.name: dimension.values(cube[:, at]) for at, dimension in enumerate(space)}
    return found, _notes(method, n, cube)


def _check_size(specs: int, where: Where) -> None:
    if specs > MOST_SPECS:
        raise ConfigError(f"{where('design')}: the design has {specs:,} specs; at most {MOST_SPECS:,} are made")


def _notes(method: str, n: int, cube: points.Points) -> list[str]:
    if method in {"sobol", "saltelli"} and n & (n - 1):
        low = 1 << (n.bit_length() - 1)
        return [f"n = {n} is not a power of two: a {method} design is balanced at {low} or {2 * low} points"]
    if method == "lhs":
        return ["a larger lhs design has other points; to add points later, use sobol, halton or random"]
    if method in points.SENSITIVITY:
        return [f"{method} makes {len(cube):,} points of n = {n}"]
    return []


def _grid(space: list[Dimension], where: Where) -> dict[str, list[Any]]:
    """Every combination of the levels; the last field changes first."""
    count = 1
    for dimension in space:
        if dimension.levels is None:
            name = dimension.name
            raise ConfigError(f"{where(f'space.{name}')}: a grid needs levels: write {name}: {{levels: [1.0, 2.0]}}")
        count *= len(dimension.levels)
    _check_size(count, where)
    rows = list(itertools.product(*(dimension.levels or () for dimension in space)))
    return {dimension.name: [row[at] for row in rows] for at, dimension in enumerate(space)}


def _one_at_a_time(space: list[Dimension], where: Where) -> dict[str, list[Any]]:
    """The middle of the space, then each field alone at each of its other levels, or at both ends of its range."""
    _check_size(1 + sum(2 if one.levels is None else len(one.levels) - 1 for one in space), where)
    middles = [one.values(np.array([0.5]))[0] for one in space]
    others: list[list[Any]] = []
    for one, middle in zip(space, middles, strict=True):
        levels = one.levels if one.levels is not None else one.values(np.array([0.0, 1.0]))
        others.append([value for value in levels if value != middle])
    rows, begin = 1 + sum(map(len, others)), 1
    found: dict[str, list[Any]] = {}
    for one, middle, values in zip(space, middles, others, strict=True):
        found[one.name] = [middle] * begin + values + [middle] * (rows - begin - len(values))
        begin += len(values)
    return found


def _check_fixed(model: type[BaseModel], fixed: Mapping[str, Any], where: Where) -> None:
    files = set(file_fields(model))
    for known in read_fields(model).fields:
        if known.name in fixed and known.name not in files:
            check_value(known, fixed[known.name], where(f"fixed.{known.name}"))


def _crossed(model: type[BaseModel], cross: Mapping[str, Any], base: Path, where: Where) -> dict[str, list[Any]]:
    """Each field of `cross` with all its values; patterns of files become the files, in order of their names."""
    files = set(file_fields(model))
    found: dict[str, list[Any]] = {}
    for known in read_fields(model).fields:
        if known.name not in cross:
            continue
        place, given = where(f"cross.{known.name}"), cross[known.name]
        if known.name in files:
            patterns = given if isinstance(given, list) else [given]
            found[known.name] = [file for pattern in patterns for file in _files(str(pattern), base, place)]
        elif isinstance(given, list) and given:
            for value in given:
                check_value(known, value, place)
            found[known.name] = given
        else:
            raise ConfigError(f"{place} must be a list of values")
        if not found[known.name]:
            raise ConfigError(f"{place} names no file")
    return found


def _files(pattern: str, base: Path, place: str) -> list[str]:
    if is_remote(pattern):
        return [pattern]
    matches = sorted(glob.glob(str(Path(pattern).expanduser()), root_dir=base, recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns
    files = [match for match in matches if (base / match).is_file()]
    if not files:
        raise ConfigError(f"{place}: no file matches {pattern!r} in {base}")
    return files

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

from scythe_cli.columns.model_fields import read_fields
from scythe_cli.designs import points
from scythe_cli.designs.space import check_value, read_space
from scythe_cli.errors import ConfigError
from scythe_cli.experiment.field_kinds import file_fields
from scythe_cli.storage.address import is_remote

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from pydantic import BaseModel

    from scythe_cli.designs.dimension import Dimension
    from scythe_cli.experiment.settings import DesignSettings

MOST_SPECS = 100_000_000


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


def make_design(model: type[BaseModel], settings: DesignSettings, base: Path, *, place: str = "specs") -> Design:
    """The table of a design.

    Args:
        model: the input model.
        settings: the design.
        base: the folder that patterns of files start from.
        place: how messages begin, "experiment.yml:3  specs".

    Raises:
        ConfigError: the design does not fit the model, or a library of the extra `design` is not installed.
    """
    import polars as pl

    fixed, cross = dict(settings.fixed), dict(settings.cross)
    space = read_space(model, settings.space, others={"fixed": fixed, "cross": cross}, place=place)
    _check_fixed(model, fixed, place)
    crossed = _crossed(model, cross, base, place)
    columns, notes = _columns(space, settings, place)
    rows = len(next(iter(columns.values()))) if columns else 1
    combinations = list(itertools.product(*crossed.values()))
    _check_size(rows * len(combinations), place)
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
    order = [name for name in model.model_fields if name in table.columns]
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


def _columns(space: list[Dimension], settings: DesignSettings, place: str) -> tuple[dict[str, Any], list[str]]:
    """The values of the fields that vary, point by point."""
    method, n = settings.design, settings.n
    if not space:
        raise ConfigError(f"{place}: no field varies: name one under space, or give the specs as a file")
    if method in points.LISTED:
        if n is not None:
            raise ConfigError(f"{place}.n: the levels decide how many points a {method} design has; leave n out")
        return (_grid(space, place) if method == "grid" else _one_at_a_time(space)), []
    if n is None:
        raise ConfigError(f"{place}.n is missing: how many points the {method} design has, as in n: 64")
    cube = points.sampled_points(method, len(space), n, settings.seed)
    found = {dimension.name: dimension.values(cube[:, at]) for at, dimension in enumerate(space)}
    return found, _notes(method, n, cube)


def _check_size(specs: int, place: str) -> None:
    if specs > MOST_SPECS:
        raise ConfigError(f"{place}: the design has {specs:,} specs; at most {MOST_SPECS:,} are made")


def _notes(method: str, n: int, cube: points.Points) -> list[str]:
    if method in {"sobol", "saltelli"} and n & (n - 1):
        low = 1 << (n.bit_length() - 1)
        return [f"n = {n} is not a power of two: a {method} design is balanced at {low} or {2 * low} points"]
    if method == "lhs":
        return ["a larger lhs design has other points; to add points later, use sobol, halton or random"]
    if method in points.SENSITIVITY:
        return [f"{method} makes {len(cube):,} points of n = {n}"]
    return []


def _grid(space: list[Dimension], place: str) -> dict[str, list[Any]]:
    """Every combination of the levels; the last field changes first."""
    count = 1
    for dimension in space:
        if dimension.levels is None:
            name = dimension.name
            raise ConfigError(f"{place}.space.{name}: a grid needs its values: write {name}: {{levels: [1.0, 2.0]}}")
        count *= len(dimension.levels)
    _check_size(count, place)
    rows = list(itertools.product(*(dimension.levels or () for dimension in space)))
    return {dimension.name: [row[at] for row in rows] for at, dimension in enumerate(space)}


def _one_at_a_time(space: list[Dimension]) -> dict[str, list[Any]]:
    """The middle of the space, then each field alone at each of its other levels, or at both ends of its range."""
    middle = {one.name: one.values(np.array([0.5]))[0] for one in space}
    rows = [middle]
    for one in space:
        others = one.levels if one.levels is not None else list(one.values(np.array([0.0, 1.0])))
        rows += [middle | {one.name: value} for value in others if value != middle[one.name]]
    return {one.name: [row[one.name] for row in rows] for one in space}


def _check_fixed(model: type[BaseModel], fixed: Mapping[str, Any], place: str) -> None:
    files = set(file_fields(model))
    for known in read_fields(model).fields:
        if known.name in fixed and known.name not in files:
            check_value(known, fixed[known.name], f"{place}.fixed.{known.name}")


def _crossed(model: type[BaseModel], cross: Mapping[str, Any], base: Path, place: str) -> dict[str, list[Any]]:
    """Each field of `cross` with all its values; patterns of files become the files, in order of their names."""
    files = set(file_fields(model))
    found: dict[str, list[Any]] = {}
    for known in read_fields(model).fields:
        if known.name not in cross:
            continue
        where, given = f"{place}.cross.{known.name}", cross[known.name]
        if known.name in files:
            patterns = given if isinstance(given, list) else [given]
            found[known.name] = [file for pattern in patterns for file in _files(str(pattern), base, where)]
        elif isinstance(given, list) and given:
            for value in given:
                check_value(known, value, where)
            found[known.name] = given
        else:
            raise ConfigError(f"{where} must be a list of values")
        if not found[known.name]:
            raise ConfigError(f"{where} names no file")
    return found


def _files(pattern: str, base: Path, where: str) -> list[str]:
    if is_remote(pattern):
        return [pattern]
    matches = sorted(glob.glob(str(Path(pattern).expanduser()), root_dir=base, recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns
    files = [match for match in matches if (base / match).is_file()]
    if not files:
        raise ConfigError(f"{where}: no file matches {pattern!r} in {base}")
    return files

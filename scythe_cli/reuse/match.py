"""Which specs of a new run an earlier one has too.

Input: the specs of both, in pieces. Output: pairs of rows. While both tables are the same from the start, as where one
has grown, their pieces are compared as they are; what follows is looked for by hash.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from scythe_cli.errors import InputError
from scythe_cli.reuse.key_index import KeyIndex, equal

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from scythe_cli.reuse.keys import KeyedPiece, Keys

    Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Matches:
    """Specs of a new run that an earlier one has too.

    Attributes:
        rows: of the new run, sorted.
        source_rows: of the earlier one, each once.
        unknown: addresses of the new run's files that nobody can compare.
    """

    rows: Rows
    source_rows: Rows
    unknown: list[str]


def match(new: Keys, old: Keys, reusable: NDArray[np.bool_] | None = None) -> Matches:
    """Match the specs of a new run with those of an earlier one: the k-th of equal specs with the k-th.

    Args:
        new: the specs of the new run, in order, at least one piece; closed at the end.
        old: those of the earlier run, likewise.
        reusable: by row of the earlier run, whether it may be matched; all unless given.

    Raises:
        InputError: the two have different fields.
        StoreError: the temporary folder's disk is full.
    """
    rows: list[Rows] = []
    source_rows: list[Rows] = []
    unknown: set[str] = set()
    with closing(new), closing(old):
        for piece, found, sources in _pairs(new, old):
            kept = slice(None) if reusable is None else reusable[sources]
            rows.append(found[kept])
            source_rows.append(sources[kept])
            unknown |= piece.unknown
    return Matches(np.concatenate(rows), np.concatenate(source_rows), sorted(unknown))


def _pairs(new: Iterator[KeyedPiece], old: Iterator[KeyedPiece]) -> Iterator[tuple[KeyedPiece, Rows, Rows]]:
    """Each piece of the new run with its rows that the earlier one has, and which those are."""
    mine, theirs = next(new, None), next(old, None)
    if mine is not None and theirs is not None:
        _refuse_other_fields(mine.columns.schema, theirs.columns.schema)
    first = 0
    while mine is not None and theirs is not None and _same(mine, theirs):
        rows = first + np.flatnonzero(mine.known & theirs.known)
        yield mine, rows, rows
        first += len(mine)
        mine, theirs = next(new, None), next(old, None)
    if mine is None:
        return
    rest = chain([mine], new)
    none = np.empty(0, np.int64)
    found = ((piece, none, none) for piece in rest) if theirs is None else KeyIndex(chain([theirs], old)).find(rest)
    at = first
    for piece, rows, source_rows in found:
        yield piece, at + rows, first + source_rows
        at += len(piece)


def _same(mine: KeyedPiece, theirs: KeyedPiece) -> bool:
    """Whether two pieces are the same, row by row."""
    return len(mine) == len(theirs) and bool(equal(mine.columns, theirs.columns).all())


def _refuse_other_fields(ours: pa.Schema, theirs: pa.Schema) -> None:
    import polars as pl

    new, old = (pl.DataFrame(schema.empty_table()).schema for schema in (ours, theirs))
    problems = [f"{name} is new" for name in new if name not in old]
    problems += [f"{name} is not there any more" for name in old if name not in new]
    problems += [f"{name} was {old[name]} and is {new[name]}" for name in new if old.get(name, new[name]) != new[name]]
    if problems:
        raise InputError(f"the input fields differ from those of the earlier run: {'; '.join(problems)}")

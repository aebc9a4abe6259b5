"""How long each spec may take, estimated from specs with the same values that were measured.

Input: columns of the specs' inputs, and the seconds of some of them. Output: for each spec the logarithm of the seconds
it may take: its own where it was measured, else what its values add up to. Good enough to begin with the long ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

if TYPE_CHECKING:
    from collections.abc import Sequence

pc: Any = pyarrow.compute
LEVELS = 32
"""Distinct numbers of a field up to which each counts for itself."""
BINS = 8
"""Ranges that more of them are put into, with as many specs in each."""
ROUNDS = 3
LEAST_SECONDS = 1e-6


def expected(
    columns: Sequence[pa.ChunkedArray[Any]], rows: int, measured: np.ndarray, seconds: np.ndarray
) -> np.ndarray:
    """The logarithm of the seconds that each spec may take.

    Each value of each field has an effect, the mean of what the other fields leave over where it was measured.

    Args:
        columns: one for each field, a value for each spec.
        rows: how many specs there are.
        measured: the places of specs that were measured, at least one, each once.
        seconds: what these took.
    """
    logs = np.log(np.maximum(seconds, LEAST_SECONDS))
    base = float(logs.mean())
    codes = [code for column in columns if (code := _codes(column)) is not None]
    effects = [np.zeros(int(code.max()) + 1) for code in codes]
    left = logs - base
    for _ in range(ROUNDS):
        for code, effect in zip(codes, effects, strict=True):
            known = code[measured]
            left = left + effect[known]
            counts = np.bincount(known, minlength=len(effect))
            effect[:] = np.bincount(known, weights=left, minlength=len(effect)) / (counts + 1)
            left = left - effect[known]
    found = np.full(rows, base)
    for code, effect in zip(codes, effects, strict=True):
        found += effect[code]
    found[measured] = logs
    return found


def _codes(column: pa.ChunkedArray[Any]) -> Any:
    """A number for each value of a field, alike for those that count as one; None where each spec has its own."""
    if pa.types.is_nested(column.type) or not len(column):
        return None
    whole: Any = column.combine_chunks()
    if (pa.types.is_integer(whole.type) or pa.types.is_floating(whole.type)) and pc.count_distinct(
        whole
    ).as_py() > LEVELS:
        numbers = np.nan_to_num(whole.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False))
        bounds = np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1])
        return np.searchsorted(bounds, numbers, side="right")
    coded = whole.dictionary_encode()
    if len(coded.dictionary) > max(LEVELS, len(whole) // 2):
        return None
    return coded.indices.fill_null(len(coded.dictionary)).to_numpy(zero_copy_only=False)

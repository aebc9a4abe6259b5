"""Whether a column has few different values, so that a file keeps them once, in a dictionary.

Input: a column. Output: yes or no, from its first rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE = 1 << 16
FEW = SAMPLE // 4


def has_few_values(column: pa.ChunkedArray[Any]) -> bool:
    """Whether the first rows have at most a quarter as many values."""
    return pc.count_distinct(column.slice(0, SAMPLE)).as_py() <= min(FEW, len(column) // 2)

"""Frames as a gather reads them from a block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scythe_cli.columns.frame_header import ROW
from scythe_cli.final_tables.frame_order import FrameRows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


def rows_of(table: pa.Table) -> Iterator[FrameRows]:
    """The rows of a table, which are sorted by their spec."""
    specs, lengths = np.unique(table.column(ROW).to_numpy(), return_counts=True)
    yield FrameRows(table, specs, lengths)

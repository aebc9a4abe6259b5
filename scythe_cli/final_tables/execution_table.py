"""execution.pq: how each spec ran, one row a spec, whether it succeeded or failed.

Input: the outcomes of blocks, with the columns that say where they come from, and their index. Output: rows of a final
table: sort_index and workflow_run_id, then how the spec ran, then the rest of the index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.core import layout
from scythe_cli.final_tables.final_table import execution_columns
from scythe_cli.run import outcomes

if TYPE_CHECKING:
    from collections.abc import Callable

    from scythe_cli.final_tables.final_table import FinalTable

SUCCEEDED = "succeeded"
FAILED = "failed"
_HEAD = (layout.SORT_INDEX, layout.WORKFLOW_RUN_ID)
_ADDED: dict[str, pa.DataType] = {
    outcomes.STATE: pa.string(),
    outcomes.GENERATION: pa.int64(),
    outcomes.REUSED_FROM: pa.string(),
}
"""Columns that parts of outcomes do not have, or not all."""


class ExecutionTable:
    """The table while it is written.

    Args:
        open_table: starts the final table with these columns.
        schema: the columns of outcome parts.
        index: the index columns of all final tables.
    """

    def __init__(self, open_table: Callable[[pa.Schema], FinalTable], schema: pa.Schema, index: pa.Schema) -> None:
        names = execution_columns(index.names)
        own = [pa.field(new, _ADDED[old] if old in _ADDED else schema.field(old).type) for old, new in names.items()]
        self._parts = list(names)
        self._rest = [name for name in index.names if name not in _HEAD]
        self.table = open_table(
            pa.schema([*(index.field(name) for name in _HEAD), *own, *(index.field(name) for name in self._rest)])
        )

    def add(self, rows: pa.Table, index: pa.Table) -> None:
        """Append the rows of some outcomes; `index` has the index columns of the same rows."""
        kinds = rows.column(outcomes.KIND)
        state: Any = pa.repeat(SUCCEEDED, len(kinds))
        if kinds.null_count < len(kinds):
            state = pc.if_else(pc.is_valid(kinds), FAILED, SUCCEEDED)
        known = rows.append_column(outcomes.STATE, state).select(self._parts)
        self.table.add([*index.select(_HEAD).columns, *known.columns, *index.select(self._rest).columns])

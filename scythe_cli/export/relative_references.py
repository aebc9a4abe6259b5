"""Addresses of a run's output files, as they are in a download of the run.

Input: a downloaded `result_file_refs.pq`. Output: the same table, in which files of the run are paths below the folder
of the download. Addresses that the function gave itself stay.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout
from scythe_cli.errors import StoreError
from scythe_cli.storage.atomic_files import replacing

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa


def make_relative(path: Path, run_id: str) -> None:
    """Rewrite a downloaded table in place, whole or not at all. Raises `StoreError` where it is not a table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
        for at, name in enumerate(table.column_names):
            if pa.types.is_string(table.schema.field(name).type) or pa.types.is_large_string(
                table.schema.field(name).type
            ):
                table = table.set_column(at, table.schema.field(name), _relative(table.column(name), run_id))
        with replacing(path) as aside:
            pq.write_table(table, aside)
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise StoreError(f"{path} cannot be read as a table: {exc}") from exc


def _relative(column: pa.ChunkedArray[Any], run_id: str) -> pa.ChunkedArray[Any]:
    import pyarrow.compute as pc

    inside = rf"^(?:.*/)?{re.escape(run_id)}/({layout.RESULTS}/.+)$"
    return pc.replace_substring_regex(column, inside, r"\1")

"""specs.pq and its blocks: the validated table as the run keeps it, with the ids every spec carries.

Takes a validated table; leaves specs.pq (for people and tools) and one small object a block (for leaves).
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scythe_cli import layout
from scythe_cli.errors import TableError
from scythe_cli.parts import encode
from scythe_cli.rows import make_specs
from scythe_cli.specs import ExperimentInputSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scythe_cli.stores.base import Store
    from scythe_cli.table import SpecTable

WRITERS = 8
"""Blocks that are on their way to the store at a time."""


def write_specs(
    store: Store,
    table: SpecTable,
    *,
    experiment_id: str,
    root_workflow_run_id: str,
    spec_id_prefix: str,
    addresses: Mapping[str, Mapping[str, str]],
) -> list[str]:
    """Write specs.pq and the blocks.

    Args:
        store: rooted at the run.
        table: the validated specs.
        experiment_id: the run's id.
        root_workflow_run_id: the run's UUID.
        spec_id_prefix: the first 23 characters of each spec's UUID.
        addresses: by file field, what an address of the table is in the run.

    Returns:
        The names of the computed features, in order.
    """
    specs = _with_addresses(table.table, addresses)
    features = _features(specs, table)
    if features is not None:
        for name in features.column_names:
            specs = specs.append_column(name, features.column(name))
    with tempfile.TemporaryDirectory(prefix="scythe-specs-") as folder:
        path = Path(folder) / layout.SPECS
        writer: pq.ParquetWriter | None = None
        with ThreadPoolExecutor(WRITERS) as pool:
            pending = []
            for first in range(0, specs.num_rows, layout.BLOCK):
                block = _with_ids(specs.slice(first, layout.BLOCK), experiment_id, root_workflow_run_id, spec_id_prefix)
                pending.append(pool.submit(_write_block, store, first // layout.BLOCK, block))
                writer = writer or _writer(path, block.schema)
                writer.write_table(block)
                if len(pending) > 4 * WRITERS:
                    pending.pop(0).result()
            for future in pending:
                future.result()
        assert writer is not None  # noqa: S101 - a table has at least one row
        writer.close()
        store.upload(layout.SPECS, path, consume=True)
    return [] if features is None else features.column_names


def _write_block(store: Store, number: int, block: pa.Table) -> None:
    store.write(layout.input_block(number), encode(block))


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    strings = [f.name for f in schema if pa.types.is_string(f.type) and f.name != layout.WORKFLOW_RUN_ID]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=strings,
        column_encoding={layout.WORKFLOW_RUN_ID: "DELTA_BYTE_ARRAY"},
    )


def _with_ids(block: pa.Table, experiment_id: str, root: str, prefix: str) -> pa.Table:
    """The four ids in front of the fields."""
    n = block.num_rows
    sort_index = block.column(layout.SORT_INDEX)
    ids = pa.array([f"{prefix}-{value:012x}" for value in sort_index.to_pylist()], type=pa.string())
    head = [pa.repeat(pa.scalar(experiment_id), n), sort_index, ids, pa.repeat(pa.scalar(root), n)]
    rest = block.drop_columns([layout.SORT_INDEX])
    return pa.table([*head, *rest.columns], names=[*layout.INDEX_HEAD, *rest.column_names])


def _with_addresses(specs: pa.Table, addresses: Mapping[str, Mapping[str, str]]) -> pa.Table:
    for field, known in addresses.items():
        at = specs.column_names.index(field)
        column = specs.column(field).combine_chunks().dictionary_encode()
        renamed = pa.array([known.get(address, address) for address in column.dictionary.to_pylist()], pa.string())
        specs = specs.set_column(at, specs.schema.field(field), renamed.take(column.indices))
    return specs


def _features(specs: pa.Table, table: SpecTable) -> pa.Table | None:
    """The columns that `computed_features` gives; None where the model computes none."""
    model = table.model
    if model.computed_features is ExperimentInputSpec.computed_features:
        return None
    rows: list[dict[str, Any]] = []
    for first in range(0, specs.num_rows, layout.BLOCK):
        rows += [spec.computed_features for spec in make_specs(specs.slice(first, layout.BLOCK), model, {})]
    names = list(dict.fromkeys(name for row in rows for name in row))
    taken = set(specs.column_names) | set(layout.INDEX_HEAD)
    if clash := [name for name in names if name in taken]:
        raise TableError(f"computed_features gives {clash[0]!r}, which is a field already; choose another name")
    return pa.table({name: pa.array([_plain(row.get(name)) for row in rows]) for name in names})


def _plain(value: Any) -> Any:
    return value.value if hasattr(value, "value") and not isinstance(value, pc.Expression) else value

"""specs.pq and its blocks: the validated table as the run keeps it, with the ids every spec carries.

Input: a validated table. Output: specs.pq (for people and tools) and one small object a block (for leaves).
"""

from __future__ import annotations

import tempfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scythe_cli.columns.checks import Column
from scythe_cli.core import layout
from scythe_cli.run.parts import encode
from scythe_cli.run.table_file import TableFile
from scythe_cli.spec_table.repeats import repeats, with_repeats

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Executor, Future

    from scythe_cli.spec_table.table import SpecTable
    from scythe_cli.storage.base import Store

DROP_PAGES_EVERY = 64
WRITERS = 16
"""Blocks that are on their way to the store at a time."""
GROUP_BLOCKS = 4
GROUP_BYTES = 32 << 20
"""A row group of specs.pq ends at either."""


def write_specs(
    store: Store,
    table: SpecTable,
    *,
    experiment_id: str,
    root_workflow_run_id: str,
    spec_id_prefix: str,
    addresses: Mapping[str, Mapping[str, str]],
    features: pa.Table | None = None,
) -> None:
    """Write specs.pq and the blocks.

    Args:
        store: rooted at the run.
        table: the validated specs.
        experiment_id: the run's id.
        root_workflow_run_id: the run's UUID.
        spec_id_prefix: the first 23 characters of each spec's UUID.
        addresses: by file field, what an address of the table is in the run.
        features: the computed features, row by row.
    """
    counts = repeats(table.table)
    table.drop_pages()
    specs = _with_addresses(table.table, addresses)
    if features is not None:
        for name in features.column_names:
            specs = specs.append_column(name, features.column(name))
    with (
        tempfile.TemporaryDirectory(prefix="scythe-specs-") as folder,
        ThreadPoolExecutor(1) as encoder,  # always the same thread: each keeps the memory that it has used
        ThreadPoolExecutor(WRITERS) as pool,
    ):
        file: TableFile | None = None
        pending: deque[Future[None]] = deque()
        for first in range(0, specs.num_rows, layout.BLOCK):
            block = _with_ids(specs.slice(first, layout.BLOCK), experiment_id, root_workflow_run_id, spec_id_prefix)
            held = with_repeats(block, counts)
            pending.append(pool.submit(_write_block, store, first // layout.BLOCK, held))
            file = file or _open(Path(folder) / layout.SPECS, block.schema, encoder)
            file.add(block)
            if len(pending) > WRITERS + 4:
                pending.popleft().result()
            if first // layout.BLOCK % DROP_PAGES_EVERY == 0:
                table.drop_pages()
        for future in pending:
            future.result()
        assert file is not None  # noqa: S101 - a table has at least one row
        store.upload(layout.SPECS, file.finish(), consume=True)


def _open(path: Path, schema: pa.Schema, encoder: Executor) -> TableFile:
    return TableFile(
        path,
        schema,
        group_rows=GROUP_BLOCKS * layout.BLOCK,
        group_bytes=GROUP_BYTES,
        encoder=encoder,
        compression="zstd",
        level=1,
    )


def _write_block(store: Store, number: int, block: pa.Table) -> None:
    store.write(layout.input_block(number), encode(block))


def _with_ids(block: pa.Table, experiment_id: str, root: str, prefix: str) -> pa.Table:
    """The four ids in front of the fields."""
    n = block.num_rows
    sort_index = block.column(layout.SORT_INDEX)
    ids = _spec_ids(sort_index, prefix)
    head: list[Column] = [pa.repeat(pa.scalar(experiment_id), n), sort_index, ids, pa.repeat(pa.scalar(root), n)]
    rest = block.drop_columns([layout.SORT_INDEX])
    return pa.table([*head, *rest.columns], names=[*layout.INDEX_HEAD, *rest.column_names])


def _spec_ids(sort_index: Column, prefix: str) -> Column:
    """Each spec's UUID: the prefix, and the sort_index in hex. Where they count up, the head of many is the same."""
    values: Any = sort_index.to_numpy(zero_copy_only=False)
    pieces: list[Column] = []
    for first in range(0, len(values), layout.BLOCK):
        some = values[first : first + layout.BLOCK]
        high, low = divmod(int(some[0]), layout.BLOCK)
        if low + len(some) <= layout.BLOCK and (np.diff(some) == 1).all():
            tails = _hex_tails()[low : low + len(some)]
            pieces.append(pc.binary_join_element_wise(f"{prefix}-{high:09x}", tails, ""))
        else:
            pieces.append(pa.array([f"{prefix}-{value:012x}" for value in some.tolist()], type=pa.string()))
    return pa.concat_arrays(pieces)


@cache
def _hex_tails() -> Column:
    return pa.array([f"{value:03x}" for value in range(layout.BLOCK)], type=pa.string())


def _with_addresses(specs: pa.Table, addresses: Mapping[str, Mapping[str, str]]) -> pa.Table:
    for field, known in addresses.items():
        at = specs.column_names.index(field)
        column: Column = specs.column(field).combine_chunks().dictionary_encode()
        renamed = pa.array([known.get(address, address) for address in column.dictionary.to_pylist()], pa.string())
        specs = specs.set_column(at, specs.schema.field(field), renamed.take(column.indices))
    return specs

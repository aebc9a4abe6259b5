"""A frame's part, opened for the gather."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from scythe_cli.columns import frames
from scythe_cli.final_tables.frame_part import FramePart
from scythe_cli.run.parts import encode
from scythe_cli.storage.open_store import open_store


def test_what_is_read_has_the_schema_of_its_part_and_of_others_like_it(tmp_path: Path) -> None:
    """The checksum of a part is in its metadata: a table that is compared must not have it."""
    store = open_store(tmp_path)
    parts = []
    for row in range(2):
        table = frames.to_arrow("t", pd.DataFrame(np.random.default_rng(row).random((20, 40))), {})
        table = table.append_column(frames.ROW, pa.array([row] * 20, pa.int64()))
        store.write(f"{row}.pq", encode(table, group_bytes=1000))
        parts.append(FramePart(store, f"{row}.pq"))
    assert parts[0].groups > 1
    schemas = [parts[0].schema, parts[1].schema, *(part.read(at).schema for part in parts for at in range(2))]
    assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)

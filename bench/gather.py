"""Gather of 1,000,000 rows by 30 float columns against polars scanning and sinking that content; status of that run."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa

from bench.harness import SCYTHE, Row, Usage, in_turn, median, ratio, report, run
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec
from scythe_cli.core import layout
from scythe_cli.core.layout import BLOCK, Mark, PartName
from scythe_cli.run.claim import claim
from scythe_cli.run.outcomes import outcome_schema
from scythe_cli.run.parts import encode
from scythe_cli.run.run import Manifest, spec_id_prefix, write_manifest
from scythe_cli.run.state import write_mark
from scythe_cli.run.version import SemVer
from scythe_cli.storage.local import LocalStore

N = 1_000_000
COLUMNS = 30


class Case(ExperimentInputSpec):
    """One input field."""

    width: float


Output: type[ExperimentOutputSpec] = type(  # thirty fields by name
    "Output",
    (ExperimentOutputSpec,),
    {"__annotations__": {f"y{at}": float for at in range(COLUMNS)}, "__module__": __name__},
)


def write_run(folder: Path, n: int) -> str:
    """A run's directory as a finished run leaves it before its gather: blocks of specs, one part a block."""
    ours = claim(LocalStore(folder), "bench", SemVer())
    store = ours.store
    schema = outcome_schema(Output)
    prefix = spec_id_prefix(ours.id)
    rng = random.Random(0)
    for first in range(0, n, BLOCK):
        rows = list(range(first, min(first + BLOCK, n)))
        k = len(rows)
        specs = {
            layout.EXPERIMENT_ID: pa.array([ours.id] * k),
            layout.SORT_INDEX: pa.array(rows, pa.int64()),
            layout.WORKFLOW_RUN_ID: pa.array([f"{prefix}-{row:012x}" for row in rows]),
            layout.ROOT_WORKFLOW_RUN_ID: pa.array([ours.root_workflow_run_id] * k),
            "width": pa.array([float(row) for row in rows]),
        }
        store.write(layout.input_block(first // BLOCK), encode(pa.table(specs)))
        known = {"_row": rows, layout.SORT_INDEX: rows, "_attempts": [1] * k, "_duration": [1e-5] * k}
        columns = [
            pa.array(known[f.name], f.type)
            if f.name in known
            else pa.array([rng.random() for _ in rows], f.type)
            if f.name.startswith("y")
            else pa.nulls(k, f.type)
            for f in schema
        ]
        name = PartName(first // BLOCK, 1, rows[0], rows[-1], k, 0, 0)
        store.write(name.key, encode(pa.table(columns, schema=schema)))
    store.write(layout.OUTCOME_SCHEMA, encode(schema.empty_table()))
    store.write(layout.EXPERIMENT_FILE, b"experiment: a:b\n")
    write_mark(store, Mark.GENERATION, 1, {"began": datetime.now(UTC).isoformat(), "todo": n, "done": 0})
    manifest = Manifest(
        experiment_id=ours.id,
        experiment_name="bench",
        input_artifacts="",
        io_spec="",
        specs_uri="",
        workflow_run_id=None,
        root_workflow_run_id=ours.root_workflow_run_id,
        created=ours.created,
        n_specs=n,
        block_size=BLOCK,
        entry_point="a:b",
        source_hash="",
        git_commit=None,
        packages={},
        python="",
        host="",
        engine="local",
        index=[*layout.INDEX_HEAD, "width"],
        scalars=[f"y{at}" for at in range(COLUMNS)],
        files=[],
        place="",
    )
    write_manifest(store, manifest)
    return ours.id


SINK = "import sys, polars as pl; pl.scan_parquet(sys.argv[1]).sink_parquet(sys.argv[2])"


def status_seconds(command: list[str]) -> Usage:
    """Wall time of one status, with a short sampling pause."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return Usage(time.perf_counter() - began, 0)


def main(times: int = 3) -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        run_id = write_run(folder, N)
        ours_command = [*SCYTHE, "gather", run_id, "--storage", text]
        run(ours_command)
        final = folder / run_id / "final" / "scalars.pq"
        assert pl.scan_parquet(final).select(pl.len()).collect().item() == N
        one = folder / "one.parquet"
        pl.scan_parquet(final).sink_parquet(one)
        sink = [sys.executable, "-c", SINK, str(one), str(folder / "out.parquet")]
        ours, theirs = in_turn(times, lambda: run(ours_command), lambda: run(sink))
        status = [status_seconds([*SCYTHE, "status", run_id, "--storage", text]) for _ in range(times)]
        rows = [
            Row(
                f"gather of {N:,} rows x {COLUMNS} floats / polars scan and sink",
                ratio(ours, theirs),
                2.0,
                detail=f"scythe {median(ours):.2f} s, polars {median(theirs):.2f} s, both as commands",
            ),
            Row("peak memory of that gather", max(u.memory for u in ours) / 1e9, 1.0, "GB"),
            Row("status of that run, folder", statistics.median(u.seconds for u in status), 1.0, "s"),
        ]
    report("gather", rows)


if __name__ == "__main__":
    main()

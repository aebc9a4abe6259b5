"""Models with thousands of fields: what a field costs does not grow with their number."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from pydantic import create_model

from bench import wide
from bench.harness import SCYTHE, run
from scythe_cli.columns.rows import make_specs
from scythe_cli.core.yaml_document import read, write
from scythe_cli.experiment.models import ExperimentInputSpec, ExperimentOutputSpec
from scythe_cli.experiment.signature import read_signature
from scythe_cli.final_tables.final_table import FinalTable
from scythe_cli.lane.encode import Encoder
from scythe_cli.lane.output_model import OutputModel
from scythe_cli.lane.outputs import Outputs
from scythe_cli.lane.pending import Pending
from scythe_cli.spec_table.read import read_specs

pytestmark = pytest.mark.slow
FEW, MANY = 400, 3_200
LINEAR = MANY / FEW


def model(base: Any, name: str, n: int) -> Any:
    fields: dict[str, Any] = {f"{name}{at}": (float, ...) for at in range(n)}
    return create_model("Model", __base__=base, **fields)


def check(n: int) -> Callable[[], object]:
    takes, gives = model(ExperimentInputSpec, "x", n), model(ExperimentOutputSpec, "y", n)

    def work(spec: Any) -> Any: ...

    work.__annotations__ = {"spec": takes, "return": gives}
    return lambda: read_signature(work, "work", Path(__file__))


def read_table(n: int) -> Callable[[], object]:
    takes = model(ExperimentInputSpec, "x", n)
    rows = [{f"x{at}": float(at) for at in range(n)} for _ in range(5)]
    return lambda: make_specs(read_specs(rows, takes).table, takes, {})


def encode(n: int) -> Callable[[], object]:
    gives = model(ExperimentOutputSpec, "y", n)
    outputs = [gives(**{f"y{at}": float(at) for at in range(n)}) for _ in range(5)]

    def hand_over() -> object:
        known, pending = OutputModel(gives), Pending()
        accepting = Outputs(known, ExperimentInputSpec, outbox="", root="")
        for row, output in enumerate(outputs):
            normalized = accepting.accept(pending, row, ExperimentInputSpec(), output, Path())
            pending.add(row, row, output=normalized, attempt=1, start=0.0, duration=0.0, log=None)
        return Encoder(known, worker="").messages(pending)

    return hand_over


def open_table(n: int) -> Callable[[], object]:
    names = [f"x{at}" for at in range(n)]
    schema = pa.schema([pa.field(name, pa.float64()) for name in names])

    def open_and_close() -> None:
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as writers:
            FinalTable(Path(folder, "1.pq"), schema, index=names, about={}, writers=writers).close()

    return open_and_close


def seconds(work: Callable[[], object]) -> float:
    """CPU time, the least of three."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


@pytest.mark.parametrize("step", [check, read_table, encode, open_table])
def test_the_cost_of_a_field_is_the_same_in_a_wide_model(step: Callable[[int], Callable[[], object]]) -> None:
    step(10)()  # what is imported at the first call
    few, many = seconds(step(FEW)), seconds(step(MANY))
    assert many < 2.5 * LINEAR * max(few, 0.002)


def cpu_of(command: list[str], folder: Path) -> float:
    """CPU seconds of a command and its children, which other tests do not stretch as they stretch wall time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(command, cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime


def test_twenty_specs_with_three_thousand_outputs_cost_little_more_than_their_models(tmp_path: Path) -> None:
    wide.write(tmp_path, 10, 3_000)
    imported = min(cpu_of([sys.executable, "-c", "import wide"], tmp_path) for _ in range(3))
    whole = cpu_of([*SCYTHE, "allocate"], tmp_path)
    [scalars] = (tmp_path / "scythe-runs").glob("work/v1.0.0/*/final/scalars.pq")
    assert pl.read_parquet(scalars)["y2999"].to_list() == [row + 2999.0 for row in range(20)]
    assert whole < 20 * imported  # 10 where it was written; a fast and a slow machine agree


def test_three_thousand_inputs_are_read_and_shown(tmp_path: Path) -> None:
    wide.write(tmp_path, 3_000, 1)
    imported = min(cpu_of([sys.executable, "-c", "import wide"], tmp_path) for _ in range(3))
    assert cpu_of([*SCYTHE, "allocate"], tmp_path) < 20 * imported
    assert cpu_of([*SCYTHE, "show", "work", "3"], tmp_path) < 6 * imported


def test_a_large_document_is_read_back_as_it_was_written() -> None:
    data = {"a": {f"k{at}": [at, None, True, "on", "ü: #\n"] for at in range(1_000)}}
    assert read(write(data), "x").data == data

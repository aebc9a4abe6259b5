"""Functions of many specs: each form, every fault of a spec in them, and the same results in any batches."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

pytestmark = pytest.mark.slow

N = 48
SAME_FILE = {3.0, 4.0}
RAISES, CRASHES, HANGS, HOARDS, BELOW, MISSING = 7, 21, 33, 43, 9, 14
GUILTY = {
    RAISES: "exception",
    CRASHES: "crash",
    HANGS: "timeout",
    HOARDS: "memory",
    BELOW: "invalid_output",
    MISSING: "invalid_output",
}
MODULE = """
from __future__ import annotations
import ctypes
import os
import time
from pathlib import Path
from typing import Annotated

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference

class Case(ExperimentInputSpec):
    width: float
    use: str = "office"

class Size(ExperimentOutputSpec):
    area: float = Field(ge=0)
    note: str | None = None

class Report(ExperimentOutputSpec):
    area: float
    text: Path

def note(n):
    with open("calls.txt", "a") as calls:
        calls.write(f"{n}\\n")

@ExperimentRegistry.Register(batch=8)
def faulty(specs: list[Case]) -> list[Size]:
    note(len(specs))
    for spec in specs:
        if spec.width == RAISES:
            raise ValueError("seven")
        if spec.width == CRASHES:
            ctypes.string_at(8)
        if spec.width == HANGS:
            time.sleep(60)
        if spec.width == HOARDS:
            held = b"x" * (600 << 20)
            time.sleep(60)
    print("a call of", len(specs))
    areas = [-1.0 if spec.width == BELOW else spec.width**2 for spec in specs]
    return [Size.model_construct(area=a) for s, a in zip(specs, areas, strict=True) if s.width != MISSING]

@ExperimentRegistry.Register(batch=1000)
def polars_table(table: Annotated[pl.DataFrame, Case]) -> Annotated[pl.DataFrame, Size]:
    return table.with_columns(area=pl.when(pl.col("width") == BELOW).then(-1.0).otherwise(pl.col("width") ** 2))

@ExperimentRegistry.Register(batch=1000)
def pyarrow_table(table: Annotated[pa.Table, Case]) -> Annotated[pa.Table, Size]:
    return pa.table({"area": pc.multiply(table["width"], table["width"]), "note": table["use"]})

@ExperimentRegistry.Register(batch=7)
def pandas_table(table: Annotated[pd.DataFrame, Case], tempdir: Path) -> Annotated[pd.DataFrame, Size]:
    assert tempdir.is_dir()
    return pd.DataFrame({"area": table["width"] ** 2, "note": table["use"]})

@ExperimentRegistry.Register(batch=9)
def with_files(specs: list[Case], tempdir: Path) -> list[Report]:
    made = []
    for at, spec in enumerate(specs):
        path = tempdir / ("same.txt" if spec.width in SAME_FILE else f"{at}.txt")
        path.write_text(f"{spec.width:g} {spec.rng().random():.6f}")
        frame = pl.DataFrame({"x": [spec.width, -spec.width]})
        made.append(Report(area=spec.width**2, text=path, dataframes={"pairs": frame}))
    return made
"""


def write_project(folder: Path, function: str, order: list[int], engine: str = "local") -> None:
    """An experiment with the rows in this order."""
    named = ("RAISES", "CRASHES", "HANGS", "HOARDS", "BELOW", "MISSING", "SAME_FILE")
    names = "\n".join(f"{name} = {globals()[name]}" for name in named)
    (folder / "many.py").write_text(MODULE.replace("class Case", f"{names}\n\nclass Case", 1))
    settings = "{workers: 2, timeout: 1s, memory: 400MiB, retries: 0}"
    text = f"experiment: many:{function}\nspecs: specs.csv\nname: {function}\nengine: {engine}\nrun: {settings}\n"
    (folder / "experiment.yml").write_text(text)
    pl.DataFrame({"width": [float(at) for at in order]}).write_csv(folder / "specs.csv")


def scythe(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "scythe_cli.cli.app", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr


def allocate(folder: Path, function: str, order: list[int]) -> Path:
    """One run of the rows in this order; its `final`."""
    write_project(folder, function, order)
    scythe(folder, "allocate")
    (final,) = folder.glob(f"scythe-runs/{function}/*/*/final")
    return final


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return allocate(tmp_path_factory.mktemp("faulty"), "faulty", [*range(N)])


@pytest.fixture(scope="module")
def errors(faulty: Path) -> pl.DataFrame:
    return pl.read_parquet(faulty / "errors.pq")


def test_each_fault_is_found_in_its_batch(errors: pl.DataFrame) -> None:
    assert dict(zip(errors["sort_index"], errors["kind"], strict=True)) == GUILTY


def test_what_was_wrong_is_said_of_the_one_spec(errors: pl.DataFrame) -> None:
    messages = dict(zip(errors["sort_index"], errors["message"], strict=True))
    assert messages[RAISES] == "seven"
    assert messages[MISSING] == "the function returned 0 outputs for 1 spec"
    assert messages[HANGS] == "timeout after 1 s"


def test_all_other_specs_have_their_outputs(faulty: Path) -> None:
    done = pl.read_parquet(faulty / "scalars.pq")
    assert done.height == N - len(GUILTY)
    assert done["area"].to_list() == [width**2 for width in done["width"]]


def test_the_calls_are_bounded(faulty: Path) -> None:
    calls = (faulty.parents[4] / "calls.txt").read_text().split()
    assert max(map(int, calls)) == 8
    assert len(calls) < 2 * N


def test_a_call_is_shared_out_among_its_specs(faulty: Path) -> None:
    rows = pl.read_parquet(faulty / "execution.pq").filter(pl.col("state") == "succeeded")
    together = rows.group_by("start", "worker").agg(pl.col("duration").n_unique(), pl.len())
    assert together.filter(pl.col("len") > 1).height
    assert set(together["duration"]) == {1}


@pytest.fixture(scope="module", params=["polars_table", "pyarrow_table", "pandas_table", "with_files"])
def twice(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Each spec twice in one run: once in order, and once among others."""
    shuffled = [*range(30)]
    random.Random(1).shuffle(shuffled)
    name: str = request.param
    return name, allocate(tmp_path_factory.mktemp("twice"), name, [*range(30), *shuffled])


def test_results_do_not_depend_on_what_else_is_in_the_batch(twice: tuple[str, Path]) -> None:
    name, final = twice
    faults: dict[str, set[float]] = {"polars_table": {float(BELOW)}, "with_files": SAME_FILE}
    failed = faults.get(name, set())
    done = pl.read_parquet(final / "scalars.pq").filter(~pl.col("width").is_in([*failed]))
    assert set(done.group_by("width").len()["len"]) == {2}
    assert done["area"].to_list() == [width**2 for width in done["width"]]
    assert set(done["width"]) == {*map(float, range(30))} - failed
    assert set(pl.read_parquet(final / "errors.pq")["width"]) == failed


def test_files_and_frames_belong_to_their_specs(twice: tuple[str, Path]) -> None:
    name, final = twice
    if name != "with_files":
        return
    files = pl.read_parquet(final / "result_file_refs.pq")
    texts = [Path(path.removeprefix("file://")).read_text().split() for path in files["text"]]
    assert [float(width) for width, _ in texts] == files["width"].to_list()
    assert len({draw for _, draw in texts}) == len(texts)  # equal specs draw their own random numbers
    frames = pl.read_parquet(final / "pairs.pq")
    assert set(frames["x"].abs() == frames["width"]) == {True}


def test_a_batch_of_one_runs_inline(twice: tuple[str, Path]) -> None:
    name, final = twice
    if name not in {"polars_table", "with_files"}:
        return
    command = [sys.executable, "-m", "scythe_cli.cli.app", "allocate", "--only", "5", "--inline"]
    done = subprocess.run(command, cwd=final.parents[4], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["area"] == 25.0


def test_the_shared_engine_has_the_same_calls(tmp_path: Path) -> None:
    write_project(tmp_path, "pyarrow_table", [*range(40)], engine="shared")
    scythe(tmp_path, "allocate")
    scythe(tmp_path, "worker", "--run", "pyarrow_table", "--workers", "2")
    (final,) = tmp_path.glob("scythe-runs/*/*/*/final")
    assert pl.read_parquet(final / "scalars.pq")["area"].to_list() == [at**2 for at in range(40)]
    assert pl.read_parquet(final / "execution.pq")["start"].n_unique() <= 4

"""A frame that a function returned is what pandas, polars and duckdb read of its final table, cell by cell."""

from __future__ import annotations

import itertools
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from scythe_cli import BaseExperiment
from scythe_cli.experiment import experiment

MODULE = """
import numpy as np
import pandas as pd
import polars as pl
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

N_FEATURES = 20

class In(ExperimentInputSpec):
    area: float
    use: str = "office"

    @property
    def computed_features(self):
        return {"double": 2 * self.area}

class Out(ExperimentOutputSpec):
    total: float

def numbers(seed, rows, columns):
    values = np.random.default_rng(seed).random((rows, len(columns)))
    values[0, 0] = np.nan
    return pd.DataFrame(values, columns=columns)

def energy(spec):
    meters, months = [f"Meter {at}" for at in range(37)], range(1, 13)
    columns = pd.MultiIndex.from_product([["Energy"], ["Raw"], meters, months], names=LEVELS)
    features = {f"feature.weight.{at}": spec.area * at for at in range(N_FEATURES)}
    index = spec.make_multiindex(additional_index_data=features, n_rows=1, include_sort_subindex=False)
    return numbers(spec.sort_index, 1, columns).set_index(index)

LEVELS = ["Measurement", "Aggregation", "Meter", "Month"]

def hourly(spec):
    hours = pd.date_range("2026-01-01", periods=400, freq="h")
    columns = pd.MultiIndex.from_product([["Temp", "Load"], hours], names=["Meter", "Timestep"])
    index = spec.make_multiindex(5, include_sort_subindex=False)
    frame = numbers(spec.sort_index, 5, columns).set_index(index)
    return frame.set_index(pd.Index([*"abcde"], name="Group"), append=True)

def hours(spec):
    frame = pd.DataFrame({"t": np.arange(4.0) * spec.area})
    frame.columns.name = "EDH Type"
    return frame.set_index(pd.date_range("2026-06-01", periods=4, freq="h", tz="Europe/Berlin", name="Timestep"))

def levels(spec):
    frame = pd.DataFrame({"v [hr]": [1.0, 2.0]}, index=spec.make_multiindex(2, include_sort_subindex=False))
    return frame.set_index(pd.Index(["core", "north"]), append=True)

def typed(spec):
    return pd.DataFrame({
        "whole": pd.array([1, None], dtype="Int64"),
        "kind": pd.Categorical(["b", "a"], categories=["c", "b", "a"], ordered=True),
        "zone": pd.date_range("2026-01-01", periods=2, tz="Europe/Berlin"),
        "text": ["x", None],
        "truth": [True, False],
    })

MAKERS = {
    "energy": energy,
    "Hourly Data.zone": hourly,
    "hours": hours,
    "levels": levels,
    "typed": typed,
    "single": lambda spec: pd.DataFrame([[spec.area, 1.0]], columns=[1, 2]),
    "slashes": lambda spec: pd.DataFrame([[1.0, 2.0]], columns=pd.MultiIndex.from_tuples([("a/b", "c"), ("a", "b")])),
}

@ExperimentRegistry.Register()
def make(spec: In) -> Out:
    made = {name: maker(spec) for name, maker in MAKERS.items()}
    made["mixed"] = (
        pl.DataFrame({"E/1": [spec.area], "note": ["polars"]}) if spec.sort_index % 2
        else pd.DataFrame([[spec.area]], columns=pd.MultiIndex.from_tuples([("E", 1)], names=["m", "month"]))
    )
    return Out(total=1.0, dataframes=made)
"""
SPECS = 7


@pytest.fixture(scope="module", params=["a file each", "a file for few specs"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    """A run over all frames, and the module that made them."""
    folder = tmp_path_factory.mktemp("frames-again")
    (folder / "makers.py").write_text(MODULE)
    path = list(sys.path)
    function = experiment.load("makers:make", folder).function
    module: Any = sys.modules["makers"]
    specs = [module.In(area=1.5 + at) for at in range(SPECS)]
    more: dict[str, Any] = {} if request.param == "a file each" else {"frames.max_file": "30kB"}
    made, ref = BaseExperiment(experiment=function, storage=folder / "runs").allocate(specs, workers=2, **more)
    final = Path(ref.result()["scalars"]).parent
    assert made.errors().is_empty(), made.errors()["message"].to_list()
    yield module, final
    sys.path[:] = path
    del sys.modules["makers"]


def frames_of(module: Any, name: str) -> list[pd.DataFrame]:
    return [module.MAKERS[name](module.In(area=1.5 + at, sort_index=at)) for at in range(SPECS)]


def together(module: Any, name: str) -> pd.DataFrame:
    """The frames of all specs, without their index."""
    return pd.concat(frames_of(module, name), ignore_index=True)


FRAMES = ["energy", "Hourly Data.zone", "hours", "levels", "typed", "single", "slashes"]


def own_levels(index: pd.Index) -> list[tuple[Any, list[Any]]]:
    """The levels that are the frame's author's own: their names and values."""
    if isinstance(index, pd.RangeIndex):
        return []
    known = {"experiment_id", "sort_index", "workflow_run_id", "root_workflow_run_id", "area", "use", "double"}
    return [
        (name, index.get_level_values(at).to_list())
        for at, name in enumerate(index.names)
        if name not in {*known, "sort_subindex"}
    ]


@pytest.mark.parametrize("name", FRAMES)
def test_pandas_reads_what_was_returned(run: tuple[Any, Path], name: str) -> None:
    module, final = run
    wanted = together(module, name)
    found = pd.read_parquet(final / f"{name}.pq")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas asks whether the frequency of times counts
        pd.testing.assert_index_equal(found.columns, wanted.columns)
        pd.testing.assert_frame_equal(found.reset_index(drop=True), wanted, check_freq=False)
    levels = [own_levels(frame.index) for frame in frames_of(module, name)]
    wanted_levels = [(of[0][0], [value for _, values in of for value in values]) for of in zip(*levels, strict=True)]
    assert own_levels(found.index) == wanted_levels


@pytest.mark.parametrize("name", FRAMES)
def test_each_row_has_its_spec(run: tuple[Any, Path], name: str) -> None:
    module, final = run
    each = [len(frame) for frame in frames_of(module, name)]
    found = pd.read_parquet(final / f"{name}.pq").index.to_frame(index=False)
    assert found["sort_index"].to_list() == [at for at, rows in enumerate(each) for _ in range(rows)]
    assert found["area"].to_list() == [1.5 + at for at in found["sort_index"]]
    assert found["double"].to_list() == [3.0 + 2 * at for at in found["sort_index"]]
    assert (found["use"] == "office").all()
    assert found["workflow_run_id"].nunique() == SPECS


@pytest.mark.parametrize(("name", "several"), [("energy", False), ("single", False), ("hours", True), ("typed", True)])
def test_the_place_in_the_spec_is_there_where_specs_have_several_rows(
    run: tuple[Any, Path], name: str, several: bool
) -> None:
    found = pd.read_parquet(run[1] / f"{name}.pq")
    assert ("sort_subindex" in found.index.names) == several
    assert "sort_subindex" not in found.columns


def files(final: Path, name: str) -> list[Path]:
    path = final / f"{name}.pq"
    return sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]


def cells(frame: pd.DataFrame) -> list[list[Any]]:
    """The values by column, as plain Python values."""
    return [
        [None if pd.isna(value) else value for value in frame.iloc[:, at].to_list()] for at in range(frame.shape[1])
    ]


@pytest.mark.parametrize("name", FRAMES)
def test_polars_reads_the_same_cells_under_text_names(run: tuple[Any, Path], name: str) -> None:
    module, final = run
    wanted = together(module, name)
    names = [
        "/".join(str(part).replace("/", "\\/") for part in label) if isinstance(label, tuple) else str(label)
        for label in wanted.columns
    ]
    found = pl.read_parquet(final / f"{name}.pq")
    assert found.columns[: len(names)] == names
    assert [found[column].to_list() for column in names] == cells(wanted)


@pytest.mark.parametrize("name", FRAMES)
def test_duckdb_reads_the_same_cells(run: tuple[Any, Path], name: str) -> None:
    module, final = run
    wanted = together(module, name)
    paths = [str(path) for path in files(final, name)]
    with duckdb.connect() as connection:
        rows = connection.read_parquet(paths).fetchall()
    numbers = [at for at, kind in enumerate(wanted.dtypes) if kind == np.float64]
    found = [[row[at] for row in rows] for at in numbers]
    values = cells(wanted)
    assert found == [values[at] for at in numbers]


def test_labels_of_pandas_go_for_polars_too(run: tuple[Any, Path]) -> None:
    found = pd.read_parquet(run[1] / "mixed.pq")
    assert found.columns.names == ["m", "month"]
    assert found[("E", 1)].to_list() == [1.5 + at for at in range(SPECS)]


def test_a_table_that_is_too_large_is_a_folder(run: tuple[Any, Path], request: pytest.FixtureRequest) -> None:
    large = files(run[1], "Hourly Data.zone")
    assert (len(large) > 1) == ("few specs" in request.node.name)
    assert [path.name for path in large] in (
        ["Hourly Data.zone.pq"],
        [f"part-{at:05d}.parquet" for at in range(len(large))],
    )
    specs: list[list[Any]] = [pq.read_table(path)["sort_index"].to_pylist() for path in large]
    assert all(max(one) < min(other) for one, other in itertools.pairwise(specs)), "cut between specs, in order"
    schemas = [pq.read_schema(path) for path in large]
    assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)

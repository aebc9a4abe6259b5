"""What the final tables hold after the command: sizes, order, types, for pandas and for polars; and runs at once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from command import MODULE, installed, project, runs, scythe, together

N = 10_000
MINIMAL = Path(__file__).parents[2] / "scythe_cli" / "templates" / "minimal"
SPOILT = """
from epidemic import EpidemicInput, EpidemicOutput, simulate_epidemic as follow

def simulate_epidemic(input_spec: EpidemicInput) -> EpidemicOutput:
    if input_spec.sort_index % 1000 == 999:
        raise ValueError("spoilt")
    return follow(input_spec)
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of 10,000 specs of the minimal example, ten of which fail, in reverse order of their sort_index."""
    folder = tmp_path_factory.mktemp("many")
    for name in ("epidemic.py", "experiment.yml"):
        shutil.copy(MINIMAL / name, folder)
    (folder / "spoilt.py").write_text(SPOILT)
    rows = [f"{at},{(1 + at) / N},{1 + at % 7},0.9" for at in reversed(range(N))]
    (folder / "specs.csv").write_text("\n".join(["sort_index,r0,infectious_period,vaccinated", *rows]))
    flags = ["--set", "experiment=spoilt:simulate_epidemic", "--set", "run.retries=0", "--set", "run.leaf_size=500"]
    done = installed("allocate", *flags, cwd=folder)
    assert (done.code, done.out[:27]) == (1, "9,990 succeeded, 10 failed ")
    (run,) = runs(folder, "epidemic")
    return run


def test_ten_thousand_specs_end_as_ten_thousand_rows(many: Path) -> None:
    scalars = pl.read_parquet(many / "final" / "scalars.pq")
    errors = pl.read_parquet(many / "final" / "errors.pq")
    assert (scalars.height, errors.height) == (N - 10, 10)
    for table in (scalars, errors):
        assert table["sort_index"].is_sorted()
    assert sorted([*scalars["sort_index"], *errors["sort_index"]]) == list(range(N))
    outputs = ["attack_rate", "peak_prevalence", "peak_day", "duration"]
    index = ["experiment_id", "sort_index", "workflow_run_id", "root_workflow_run_id"]
    inputs = ["r0", "infectious_period", "vaccinated"]
    assert scalars.columns == [*outputs, *index, *inputs]
    assert scalars.schema["sort_index"] == pl.Int64
    assert {scalars.schema[name] for name in [*outputs, *inputs]} == {pl.Float64}
    assert scalars["workflow_run_id"].n_unique() == N - 10
    assert scalars["root_workflow_run_id"].n_unique() == 1
    assert scalars["workflow_run_id"].str.slice(24).to_list() == [f"{at:012x}" for at in scalars["sort_index"]]


def test_pandas_sees_the_index(many: Path) -> None:
    for name in ("scalars", "errors"):
        table = pd.read_parquet(many / "final" / f"{name}.pq")
        assert list(table.index.names)[:2] == ["experiment_id", "sort_index"]
        assert list(table.index.names)[4:] == ["r0", "infectious_period", "vaccinated"]
        assert table.index.is_unique
    scalars = pd.read_parquet(many / "final" / "scalars.pq")
    assert list(scalars.columns) == ["attack_rate", "peak_prevalence", "peak_day", "duration"]
    assert scalars.xs(17, level="sort_index").shape == (1, 4)


def test_the_columns_of_errors(many: Path) -> None:
    schema = pq.read_schema(many / "final" / "errors.pq")
    text = ["error_type", "message", "traceback", "kind", "worker", "log"]
    own = ["error_type", "message", "traceback", "kind", "attempts", "duration", "worker", "log"]
    assert schema.names[:8] == own
    assert {str(schema.field(name).type) for name in text} == {"string"}
    assert (str(schema.field("attempts").type), str(schema.field("duration").type)) == ("int64", "double")
    (first, *_) = pl.read_parquet(many / "final" / "errors.pq").to_dicts()
    assert (first["error_type"], first["kind"], first["attempts"], first["sort_index"]) == (
        "ValueError",
        "exception",
        1,
        999,
    )
    assert first["message"] == "spoilt"
    assert 'spoilt.py", line 6' in first["traceback"]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = project(tmp_path_factory.mktemp("empty"), "x,how\n1,badly\n2,badly\n")
    assert scythe("allocate", cwd=folder).code == 1
    yield runs(folder)[0]


def test_types_stay_when_there_is_no_value_and_no_row(empty: Path, tmp_path: Path) -> None:
    folder = project(tmp_path, "x,how\n1,well\n2,well\n")
    assert scythe("allocate", cwd=folder).code == 0
    types = {"double": pl.Float64, "note": pl.String, "count": pl.Int64}
    for run, rows in ((empty, 0), (runs(folder)[0], 2)):
        scalars = pl.read_parquet(run / "final" / "scalars.pq")
        assert scalars.height == rows
        assert {name: scalars.schema[name] for name in types} == types
        assert scalars["note"].null_count() == rows
        assert pd.read_parquet(run / "final" / "scalars.pq").index.names[4:] == ["x", "how"]
    assert pl.read_parquet(runs(folder)[0] / "final" / "errors.pq").schema == pl.read_parquet(
        empty / "final" / "errors.pq"
    ).schema  # fmt: skip


@pytest.mark.slow
def test_twenty_at_once_are_twenty_runs(tmp_path: Path) -> None:
    folder = project(tmp_path, "x\n1\n")
    flags = ["--set", "run.workers=1", "--json"]
    ended = together({str(at): (["allocate", *flags], folder) for at in range(20)}, at_once=20)
    documents = [done.json("allocate") for done in ended.values()]
    assert [done.code for done in ended.values()] == [0] * 20
    assert len({document["run"] for document in documents}) == 20
    assert {document["run"] for document in documents} == {
        str(run.relative_to(folder / "scythe-runs")) for run in runs(folder)
    }
    for document in documents:
        (row,) = pl.read_parquet(document["tables"]["scalars"]).to_dicts()
        assert (row["experiment_id"], row["double"]) == (document["run"], 2.0)


def test_a_value_for_a_field_that_the_output_does_not_have_is_a_row_of_errors(tmp_path: Path) -> None:
    module = MODULE.replace("double=", "dubble=0.0, double=")
    folder = project(tmp_path, "x\n1\n", module=module)
    done = scythe("allocate", cwd=folder)
    assert done.code == 1
    assert "dubble = 0.0: is not a field of Out. Did you mean 'double'?" in done.out
    module = module.replace("class Out(ExperimentOutputSpec):", "class Out(ExperimentOutputSpec, extra='ignore'):")
    assert scythe("allocate", cwd=project(tmp_path / "ignores", "x\n1\n", module=module)).code == 0


def test_a_model_that_returns_more_than_its_bounds_is_a_row_of_errors(tmp_path: Path) -> None:
    module = MODULE.replace("    double: float\n", "    double: float = Field(le=3)\n")
    folder = project(tmp_path, "x\n1\n2\n", module=module)
    assert scythe("allocate", cwd=folder).code == 1
    (row,) = pl.read_parquet(runs(folder)[0] / "final" / "errors.pq").to_dicts()
    assert row["sort_index"] == 1
    first, *rest = row["message"].splitlines()
    assert first == "double = 4.0: must be <= 3"
    assert "less than or equal to 3" in "".join(rest)

"""Frames that user functions return, from any library and of any shape, through lanes, parts and the gather."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scythe_cli import BaseExperiment, ExperimentInputSpec, ExperimentOutputSpec
from scythe_cli.experiment import experiment
from scythe_cli.lane.output_model import OutputModel
from scythe_cli.lane.outputs import Outputs
from scythe_cli.lane.pending import Pending

MODULE = """
import datetime as dt
from decimal import Decimal
from enum import Enum
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class Kind(Enum):
    SMALL = "small"

class In(ExperimentInputSpec):
    case: str
    x: float = 1.5
    day: dt.date = dt.date(2026, 1, 31)
    kind: Kind = Kind.SMALL
    note: str | None = None
    tags: list[int] = []

    @property
    def computed_features(self):
        return {"double": 2 * self.x}

class Out(ExperimentOutputSpec):
    n: int
    maybe: int | None = None

def frames(spec):
    index = spec.make_multiindex
    yield "range0", {"range": pd.DataFrame({"v": [1, 2]})}
    yield "range1", {"range": pd.DataFrame({"v": [3]})}
    yield "named", {"named": pd.DataFrame({"v": [1.0, 2.0]}, index=pd.Index([10, 20], name="hour"))}
    yield "unnamed", {"unnamed": pd.DataFrame({"v": [1, 2]}, index=[5, 6])}
    yield "dates", {"dates": pd.DataFrame({"v": [1, 2]}, index=pd.date_range("2026-01-01", periods=2, tz="UTC"))}
    yield "multi", {"multi": pd.DataFrame({"v": [1, 2]}, index=index(n_rows=2))}
    yield "multi_more", {"more": pd.DataFrame({"v": [3]}, index=index(additional_index_data={"src": "s"}))}
    yield "numbers", {"numbers": pd.DataFrame([[1, 2], [3, 4]])}
    yield "mixed_pandas", {"mixed": pd.DataFrame({"a": [1], "s": ["p"]})}
    yield "mixed_polars", {"mixed": pl.DataFrame({"a": [2], "s": ["q"]})}
    yield "mixed_arrow", {"mixed": pa.table({"a": [3], "s": ["r"]})}
    yield "mixed_lazy_none", {"mixed": pa.RecordBatch.from_pydict({"a": [4], "s": [None]})}
    yield "cat_pandas", {"cat": pd.DataFrame({"c": pd.Categorical(["x", "y"])})}
    yield "cat_polars", {"cat": pl.DataFrame({"c": pl.Series(["z"], dtype=pl.Categorical)})}
    yield "cat_enum", {"cat": pl.DataFrame({"c": pl.Series(["e"], dtype=pl.Enum(["e"]))})}
    yield "empty_typed", {"empty": pd.DataFrame({"v": pd.Series([], dtype="int64")})}
    yield "empty_not", {"empty": pd.DataFrame({"v": [7]})}
    yield "empty_only", {"void": pl.DataFrame({"v": []}, schema={"v": pl.Int32})}
    yield "empty_bare", {"bare": pd.DataFrame()}
    yield "unknown0", {"unknown": pd.DataFrame({"name": [], "hour": []})}
    yield "unknown1", {"unknown": pd.DataFrame({"name": ["a"], "hour": [1]})}
    yield "unknown2", {"unknown": pl.DataFrame(schema={"name": pl.Datetime, "hour": pl.String})}
    yield "unknown3", {"unknown": pd.DataFrame({"name": [None], "hour": [2]})}
    yield "own", {"own": pl.DataFrame({"x": [spec.x] * 2, "case": "own"})}
    yield "own_none", {"own": pd.DataFrame(index=range(1))}
    yield "none", {}
    yield "differ0", {"differ": pd.DataFrame({"a": [1], "b": ["x"]})}
    yield "differ1", {"differ": pd.DataFrame({"c": [2.5], "a": [2]})}
    yield "widen0", {"widen": pd.DataFrame({"v": [1]})}
    yield "widen1", {"widen": pd.DataFrame({"v": [1.5]})}
    yield "widen2", {"widen": pl.DataFrame({"v": pl.Series([7], dtype=pl.Int8)})}
    yield "huge0", {"huge": pd.DataFrame({"v": [2**53 + 1]})}
    yield "huge1", {"huge": pd.DataFrame({"v": [0.5]})}
    yield "clash0", {"clash": pd.DataFrame({"v": [1]}), "beside": pd.DataFrame({"v": [1]})}
    yield "clash1", {"clash": pd.DataFrame({"v": ["text"]}), "beside": pd.DataFrame({"v": [2]})}
    yield "clash2", {"clash": pd.DataFrame({"v": [3]}), "beside": pd.DataFrame({"v": [3]})}
    nested = {"l": [[1, 2]], "s": [{"k": 1}], "t": [dt.timedelta(1)], "d": [dt.date(2026, 1, 1)]}
    yield "nested", {"nested": pl.DataFrame(nested)}
    own = {"x": [1.5] * 2, "day": [spec.day] * 2, "kind": ["small"] * 2, "note": [None] * 2, "double": [3, 3]}
    yield "repeats", {"repeats": pl.DataFrame({"v": [1, 2], **own, "sort_index": [spec.sort_index] * 2})}
    yield "big", {"big": pl.DataFrame({"v": np.arange(1_000_000, dtype="f8")})}
    yield "bad_scalars", {"scalars": pd.DataFrame({"v": [1]})}
    yield "bad_errors", {"errors": pd.DataFrame({"v": [1]})}
    yield "bad_refs", {"result_file_refs": pd.DataFrame({"v": [1]})}
    yield "bad_slash", {"a/b": pd.DataFrame({"v": [1]})}
    yield "bad_dots", {"..": pd.DataFrame({"v": [1]})}
    yield "bad_number", {3: pd.DataFrame({"v": [1]})}
    yield "bad_twice", {"twice": pa.table([[1], [2]], names=["v", "v"])}
    yield "bad_index", {"other": pd.DataFrame({"x": [9.0]})}
    yield "bad_kind", {"series": [1, 2, 3]}
    yield "bad_dict", [pd.DataFrame({"v": [1]})]
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([5]))
    yield "encoded", {"encoded": pa.table({"runs": runs, "views": pa.array([[1], None], pa.list_view(pa.int64()))})}
    yield "half", {"half": pa.table({"v": pa.array([0.5], pa.float16())})}
    yield "half_clash", {"half": pa.table({"v": pa.array([Decimal("0.1234567")])})}
    yield "bad_dicts", {"dicts": pd.DataFrame({"a": [{}, {}]})}
    yield "bad_struct", {"struct": pl.DataFrame({"a": [{}]})}
    yield "bad_interval", {"interval": pa.table({"a": pa.array([None], pa.month_day_nano_interval())})}
    union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1]), pa.array(["x"])])
    yield "bad_union", {"union": pa.table({"a": union})}
    yield "bad_row", {"row": pa.table({"_row": [1], "v": [2]})}
    yield "bad_polars_objects", {"objects": pl.DataFrame({"a": [object()]})}
    yield "bad_utf8", {"utf8": pa.table({"a": pa.array([b"\\xff"]).view(pa.string())})}
    yield "bad_period", {"period": pd.DataFrame({"a": pd.period_range("2026-01", periods=2, freq="M")})}
    yield "bad_objects", {"objects": pd.DataFrame({"v": [1, "a"]})}

CASES = [case for case, _ in frames(In(case=""))]

@ExperimentRegistry.Register(retries=0)
def make(input_spec: In) -> Out:
    for case, made in frames(input_spec):
        if case == input_spec.case:
            return Out.model_construct(n=1, maybe=None, dataframes=made)
"""


@dataclass
class Gathered:
    """What a run over all cases left."""

    folder: Path
    cases: list[str]
    errors: dict[str, str]

    def frame(self, name: str) -> pl.DataFrame:
        """One final table, with the spec's case and the frame's own columns and place alone."""
        table = pl.read_parquet(self.folder / f"{name}.pq")
        ours = {"experiment_id", "workflow_run_id", "root_workflow_run_id", "x", "day", "kind", "note", "double"}
        return table.select([column for column in table.columns if column not in ours])


@pytest.fixture(scope="module", params=["one batch", "a leaf each"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gathered]:
    """All cases in one run: in one lane's batches, and each in a part of its own."""
    folder = tmp_path_factory.mktemp("frames")
    (folder / "framemaker.py").write_text(MODULE)
    path = list(sys.path)
    function = experiment.load("framemaker:make", folder).function
    module: Any = sys.modules["framemaker"]
    whole = request.param == "one batch"
    settings: dict[str, Any] = {"workers": 1} if whole else {"workers": 2, "leaf_size": 1, "flush": "50ms"}
    specs = [module.In(case=case) for case in module.CASES]
    made, ref = BaseExperiment(experiment=function, storage=folder / "runs").allocate(
        specs, max_failures="all", **settings
    )
    final = Path(ref.result()["scalars"]).parent
    errors = made.errors()
    assert made.status().done == len(specs)
    raised = errors.filter(pl.col("kind_") != "invalid_output")  # an input called kind keeps its name
    assert raised.is_empty(), raised.select("case", "traceback").rows()
    yield Gathered(final, module.CASES, dict(zip(errors["case"], errors["message"], strict=True)))
    sys.path[:] = path
    del sys.modules["framemaker"]


def rows(table: pl.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    return table.select(columns or [name for name in table.columns if name != "sort_index"]).rows()


def test_a_range_index_is_left_out(run: Gathered) -> None:
    assert rows(run.frame("range")) == [(1, "range0", 0), (2, "range0", 1), (3, "range1", 0)]


def test_other_indexes_are_columns(run: Gathered) -> None:
    assert rows(run.frame("named"), "v", "hour") == [(1.0, 10), (2.0, 20)]
    assert rows(run.frame("unnamed"), "v", "index") == [(1, 5), (2, 6)]
    assert run.frame("dates")["index"].dtype.is_temporal()


def test_an_index_of_the_specs_own_is_kept_once(run: Gathered) -> None:
    assert rows(run.frame("multi")) == [(1, "multi", 0), (2, "multi", 1)]
    assert rows(run.frame("more"), "v", "src", "case") == [(3, "s", "multi_more")]
    assert rows(run.frame("repeats")) == [(1, "repeats", 0), (2, "repeats", 1)]


def test_pandas_reads_the_specs_as_multiindex(run: Gathered) -> None:
    table = pd.read_parquet(run.folder / "range.pq")
    assert list(table.columns) == ["v"]
    assert str(table["v"].dtype) == "int64"
    assert table.index.names == [
        *("experiment_id", "sort_index", "workflow_run_id", "root_workflow_run_id", "case", "x", "day", "kind", "note"),
        *("double", "sort_subindex"),
    ]
    assert list(table.index.get_level_values("kind")) == ["small"] * 3


def test_optional_integers_stay_integers(run: Gathered) -> None:
    scalars = pd.read_parquet(run.folder / "scalars.pq")
    assert [str(scalars[name].dtype) for name in ("n", "maybe")] == ["int64", "Int64"]


def test_column_names_become_text(run: Gathered) -> None:
    assert rows(run.frame("numbers"), "0", "1") == [(1, 2), (3, 4)]


def test_libraries_mix(run: Gathered) -> None:
    assert rows(run.frame("mixed"), "a", "s") == [(1, "p"), (2, "q"), (3, "r"), (4, None)]


def test_categories_are_their_values(run: Gathered) -> None:
    assert run.frame("cat")["c"].to_list() == ["x", "y", "z", "e"]
    assert pq.read_schema(run.folder / "cat.pq").field("c").type == pa.string()


def test_empty_frames(run: Gathered) -> None:
    assert rows(run.frame("empty")) == [(7, "empty_not")]
    void = pl.read_parquet(run.folder / "void.pq")
    assert void.height == 0
    assert void.schema["v"] == pl.Int32()
    assert {"sort_index", "case", "sort_subindex"} <= set(void.columns)
    bare = pl.read_parquet(run.folder / "bare.pq")
    assert bare.height == 0


def test_a_frame_without_rows_decides_no_type(run: Gathered) -> None:
    assert rows(run.frame("unknown"), "name", "hour", "case") == [("a", 1, "unknown1"), (None, 2, "unknown3")]


def test_rows_that_are_their_cases_own_values_alone(run: Gathered) -> None:
    assert rows(run.frame("own")) == [("own", 0), ("own", 1), ("own_none", 0)]
    assert len(pd.read_parquet(run.folder / "own.pq")) == 3


def test_columns_that_differ_are_united_with_nulls(run: Gathered) -> None:
    assert rows(run.frame("differ"), "a", "b", "c") == [(1, "x", None), (2, None, 2.5)]


def test_types_widen_where_no_value_changes(run: Gathered) -> None:
    assert run.frame("widen")["v"].to_list() == [1.0, 1.5, 7.0]


def test_types_that_clash_fail_the_later_spec_and_name_both(run: Gathered) -> None:
    at = {case: index for index, case in enumerate(run.cases)}
    assert rows(run.frame("clash"), "v", "sort_index") == [(1, at["clash0"]), (3, at["clash2"])]
    assert f"spec {at['clash1']}" in run.errors["clash1"]
    assert f"spec {at['clash0']}" in run.errors["clash1"]
    assert "column 'v' is string, not int64" in run.errors["clash1"]
    assert run.frame("beside")["v"].to_list() == [1, 3], "a failed spec leaves no frame behind"
    assert run.frame("huge")["v"].to_list() == [2**53 + 1]
    assert "dataframes['huge']" in run.errors["huge1"]
    assert run.frame("half")["v"].to_list() == [0.5]
    assert "dataframes['half']: column 'v' is decimal128(7, 7), not halffloat" in run.errors["half_clash"]


def test_nested_and_temporal_columns(run: Gathered) -> None:
    nested = run.frame("nested")
    assert nested["l"].to_list() == [[1, 2]]
    assert nested["s"].to_list() == [{"k": 1}]
    assert nested["t"].to_list()[0].days == 1


def test_encodings_are_their_values(run: Gathered) -> None:
    assert rows(run.frame("encoded"), "runs", "views") == [(5, [1]), (5, None)]


def test_a_million_rows_from_one_spec(run: Gathered) -> None:
    big = run.frame("big")
    assert big.height == 1_000_000
    assert big["v"].equals(big["sort_subindex"].cast(pl.Float64).alias("v"))


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("bad_scalars", "dataframes['scalars']: scythe's own table has this name"),
        ("bad_errors", "dataframes['errors']: scythe's own table has this name"),
        ("bad_refs", "dataframes['result_file_refs']: scythe's own table has this name"),
        ("bad_slash", "dataframes['a/b']: the name must be letters, digits"),
        ("bad_dots", "dataframes['..']: the name must be"),
        ("bad_number", "dataframes[3]: the name must be"),
        ("bad_twice", "dataframes['twice']: column 'v' is there twice"),
        ("bad_index", "dataframes['other']: column 'x' has the name of an index column but other values; rename it"),
        ("bad_kind", "dataframes['series'] is builtins.list, not a table"),
        ("bad_dict", "dataframes is builtins.list, not a dict of tables by name"),
        ("bad_objects", "dataframes['objects']: "),
        ("bad_dicts", "dataframes['dicts']: column 'a' has the type struct<>"),
        ("bad_struct", "dataframes['struct']: column 'a' has the type struct<>"),
        ("bad_interval", "dataframes['interval']: column 'a' has the type month_day_nano_interval"),
        ("bad_union", "dataframes['union']: column 'a' has the type sparse_union<"),
        ("bad_row", "dataframes['row']: the column name '_row' belongs to scythe; rename it"),
        ("bad_polars_objects", "dataframes['objects']: column 'a' is of polars' type Object"),
        ("bad_utf8", "dataframes['utf8']: column 'a' of type string: "),
        ("bad_period", "dataframes['period']: column 'a' is of the extension type pandas.period"),
    ],
)
def test_what_is_no_frame_fails_its_spec(run: Gathered, case: str, said: str) -> None:
    assert said in run.errors[case]


def test_nothing_else_failed(run: Gathered) -> None:
    assert {case for case in run.errors if not case.startswith("bad_")} == {"clash1", "huge1", "half_clash"}


class Loose(ExperimentInputSpec, extra="allow"):
    x: int


@pytest.mark.parametrize(
    ("colour", "failure"), [("red", None), ("blue", "column 'colour' has the name of an index col")]
)
def test_a_column_beside_the_fields_is_an_index_column_too(tmp_path: Path, colour: str, failure: str | None) -> None:
    spec = Loose.model_validate({"x": 1, "colour": "red", "tags": [1]})
    output = ExperimentOutputSpec(dataframes={"t": pl.DataFrame({"v": [1], "colour": [colour], "tags": ["own"]})})
    outputs = Outputs(OutputModel(ExperimentOutputSpec), Loose, outbox="", root="")
    pending = Pending()
    found = outputs.accept(pending, 0, spec, output, tmp_path)
    if failure is None:
        assert found is output
        assert pending.frames["t"][0].column_names == ["v", "tags"]
    else:
        assert found is not None
        assert failure in found.message

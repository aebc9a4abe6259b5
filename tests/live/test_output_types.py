"""Outputs as people write them: paths, computed fields, scalars of numpy and pandas; no result is lost."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from scythe_cli import BaseExperiment
from scythe_cli.experiment import experiment

MODULE = """
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import FilePath, computed_field
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    case: str
    outside: Path
    begin: pd.Timestamp = pd.Timestamp("2024-02-29 12:00")
    share: np.float64 = np.float64(0.5)

class Out(ExperimentOutputSpec):
    heat: float = 3.0
    area: float = 2.0
    report: Path
    picture: FilePath | None = None
    either: float | int = 1.5
    at: pd.Timestamp | None = None
    span: pd.Timedelta = pd.Timedelta("90min")
    anything: Any = None
    by_name: dict[str, Any] = {}
    items: list = []

    @computed_field
    @property
    def eui(self) -> float:
        return self.heat / self.area

    @computed_field
    @property
    def label(self) -> str | None:
        return None if self.heat > 100 else f"{self.heat:.0f} kWh"

@ExperimentRegistry.Register(retries=0)
def make(input_spec: In, tempdir: Path) -> Out:
    file = tempdir / "report.txt"
    file.write_text(input_spec.case)
    match input_spec.case:
        case "plain":
            return Out(report=file)
        case "input":
            assert isinstance(input_spec.begin, pd.Timestamp) and isinstance(input_spec.share, np.float64)
            return Out(report=file, heat=input_spec.share, at=input_spec.begin + pd.Timedelta("1h"))
        case "outside":
            return Out(report=input_spec.outside / "mine.txt", picture=file)
        case "as_text":
            output = Out(report=file)
            output.report = str(file)
            return output
        case "whole":
            return Out(report=file, either=2**53)
        case "scalars":
            values = {"n": np.int64(3), "x": np.float32(0.5), "at": pd.Timestamp("2024-01-01"), "none": pd.NaT}
            return Out(report=file, by_name=values, anything=np.bool_(True), items=[np.float64(1.5)])
        case "unhurt":
            return Out.model_construct(report=file, heat=6, area=3, either=1, span=pd.Timedelta("1h"))
        case "folder":
            return Out(report=tempdir)
        case "array":
            return Out(report=file, anything=np.array([1.0]))
        case "array_below":
            return Out(report=file, by_name={"a": {"b": np.zeros(3)}})
        case "array_in_list":
            return Out(report=file, items=[1, np.zeros(3)])
        case "frame":
            return Out(report=file, anything=pd.DataFrame({"a": [1]}))
        case "series":
            return Out(report=file, items=[pd.Series([1])])
        case "object":
            return Out(report=file, by_name={"a": object()})
        case "wide":
            return Out(report=file, either=2**53 + 1)
        case "raises":
            return Out(report=file, area=0)
        case "nanoseconds":
            return Out(report=file, at=pd.Timestamp(1))
"""
GOOD = ["plain", "input", "outside", "as_text", "whole", "scalars", "unhurt"]
BAD = {
    "folder": "report = .* is a folder",
    "array": r"anything = .*: holds a numpy.ndarray, which no column holds; give value.tolist\(\)",
    "array_below": r"by_name = .*: holds a numpy.ndarray, which no column holds; give value.tolist\(\)",
    "array_in_list": r"items = .*: holds a numpy.ndarray, which no column holds; give value.tolist\(\)",
    "frame": "anything = .*: holds a pandas.DataFrame, which no column holds; give it in `dataframes`",
    "series": r"items = .*: holds a pandas.Series, which no column holds; give value.tolist\(\)",
    "object": "by_name = .*: holds a object, which no column holds; give numbers, text, lists or dicts",
    "wide": r"either = 9007199254740993: is a whole number beyond 2\*\*53",
    "raises": "the computed field eui raises ZeroDivisionError: ",
    "nanoseconds": "at = 1970-01-01T00:00:00.000000001: has nanoseconds, and a column keeps microseconds",
}


@dataclass
class Made:
    """What a run over all cases left."""

    root: Path
    outside: Path
    scalars: dict[str, dict[str, Any]]
    files: dict[str, dict[str, Any]]
    errors: dict[str, dict[str, Any]]

    def file(self, case: str, field: str = "report") -> Path:
        """An output file, where result_file_refs says it is."""
        return Path(self.files[case][field])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("output_types")
    (folder / "typedmaker.py").write_text(MODULE)
    outside = folder / "outside"
    outside.mkdir()
    (outside / "mine.txt").write_text("mine")
    path = list(sys.path)
    function = experiment.load("typedmaker:make", folder).function
    module: Any = sys.modules["typedmaker"]
    specs = [module.In(case=case, outside=outside) for case in [*GOOD, *BAD]]
    run, ref = BaseExperiment(experiment=function, storage=folder / "runs").allocate(
        specs, workers=2, max_failures="all"
    )
    ref.result()
    tables = [run.scalars(), run.table("result_file_refs"), run.errors()]
    scalars, files, errors = [{row["case"]: row for row in table.rows(named=True)} for table in tables]
    yield Made(Path(run.address), outside, scalars, files, errors)
    sys.path[:] = path
    del sys.modules["typedmaker"]


def test_every_case_has_its_outcome(made: Made) -> None:
    unexpected = set(made.errors) - set(BAD)
    assert {case: made.errors[case]["message"] for case in unexpected} == {}
    assert set(made.scalars) == set(GOOD)


@pytest.mark.parametrize("case", BAD)
def test_what_no_column_holds_fails_with_the_fields_name(made: Made, case: str) -> None:
    assert made.errors[case]["kind"] == "invalid_output"
    assert re.search(BAD[case], made.errors[case]["message"]), made.errors[case]["message"]


def test_a_path_is_a_file_of_the_run(made: Made) -> None:
    assert made.file("plain").parent == made.root / "results" / "report"
    assert made.file("plain").read_text() == "plain"
    assert made.files["plain"]["picture"] is None


def test_a_path_outside_is_copied(made: Made) -> None:
    assert made.file("outside").read_text() == "mine"
    assert (made.outside / "mine.txt").read_text() == "mine"
    assert made.file("outside", "picture").read_text() == "outside"


def test_a_local_path_given_as_text_is_kept_too(made: Made) -> None:
    assert made.file("as_text").read_text() == "as_text"


def test_paths_are_no_columns(made: Made) -> None:
    assert "report" not in made.scalars["plain"]


def test_computed_fields_are_columns(made: Made) -> None:
    assert made.scalars["plain"]["eui"] == 1.5
    assert made.scalars["plain"]["label"] == "3 kWh"
    assert made.scalars["unhurt"]["eui"] == 2.0


def test_whole_numbers_and_floats_are_one_column_of_floats(made: Made) -> None:
    assert pl.read_parquet(made.root / "final/scalars.pq").schema["either"] == pl.Float64
    assert made.scalars["whole"]["either"] == 2.0**53


def test_moments_of_pandas_are_moments(made: Made) -> None:
    assert made.scalars["input"]["at"] == datetime(2024, 2, 29, 13)
    assert made.scalars["plain"]["span"] == timedelta(minutes=90)


def test_scalars_of_libraries_are_plain_inside_of_dicts(made: Made) -> None:
    row = made.scalars["scalars"]
    assert row["by_name"] == '{"n":3,"x":0.5,"at":"2024-01-01T00:00:00","none":null}'
    assert row["anything"] == "true"
    assert row["items"] == "[1.5]"

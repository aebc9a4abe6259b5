"""What a function registered with `batch=` may take and return."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from scythe_cli.errors import EntryPointError
from scythe_cli.experiment.models import ExperimentInputSpec, ExperimentOutputSpec
from scythe_cli.experiment.registry import ExperimentRegistry
from scythe_cli.experiment.signature import Form, Signature, read_signature


class Case(ExperimentInputSpec):
    width: float


class Size(ExperimentOutputSpec):
    area: float


class Report(ExperimentOutputSpec):
    file: Path


def read(takes: Any, gives: Any, *, many: bool = True) -> Signature:
    def work(specs: Any) -> Any: ...

    work.__annotations__ = {"specs": takes, "return": gives}
    return read_signature(work, "work", Path(__file__), many=many)


@pytest.mark.parametrize(
    ("kind", "form"), [(pl.DataFrame, Form.POLARS), (pa.Table, Form.PYARROW), (pd.DataFrame, Form.PANDAS)]
)
def test_a_table_names_its_model(kind: Any, form: Form) -> None:
    found = read(Annotated[kind, Case], Annotated[pl.DataFrame, Size])
    assert (found.form, found.input_model, found.output_model) == (form, Case, Size)


def test_a_list_has_its_model_inside() -> None:
    found = read(list[Case], list[Size])
    assert (found.form, found.input_model, found.output_model) == (Form.LIST, Case, Size)


@pytest.mark.parametrize(
    ("takes", "gives", "says"),
    [
        (Case, Size, "is registered with batch=, and has a parameter specs of Case"),
        (list[Case], Annotated[pl.DataFrame, Size], "takes a list or a table, and returns the other"),
        (pl.DataFrame, pl.DataFrame, r"write Annotated\[pl.DataFrame, MyInput\]"),
        (Annotated[pd.DataFrame, Case], pd.DataFrame, r"write Annotated\[pd.DataFrame, MyOutput\]"),
        (list[Size], list[Case], "not a subclass of ExperimentInputSpec"),
        (Annotated[pl.DataFrame, Case], Annotated[pl.DataFrame, Report], "'file' of Report is a file"),
    ],
)
def test_what_it_may_not_take(takes: Any, gives: Any, says: str) -> None:
    with pytest.raises(EntryPointError, match=says):
        read(takes, gives)


def test_files_are_for_lists() -> None:
    assert read(list[Case], list[Report]).output_model is Report


def test_a_list_without_batch_says_what_is_missing() -> None:
    with pytest.raises(EntryPointError, match=r"needs Register\(batch=...\)"):
        read(list[Case], list[Size], many=False)


@pytest.mark.parametrize("batch", [0, -1, 1.5, True, "all"])
def test_batch_is_a_number_of_specs(batch: Any) -> None:
    with pytest.raises(EntryPointError, match="batch must be a whole number, 1 or more"):
        ExperimentRegistry.Register(batch=batch)

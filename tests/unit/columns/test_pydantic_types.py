"""Every type that pydantic documents, in each place of a field: right in the tables, or refused with its name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import pytest
from pydantic import BaseModel
from pydantic_types import HELD, HOW, OUTPUT_ONLY, REFUSED, wrapped, wrapped_value

from scythe_cli.columns.rows import make_specs
from scythe_cli.errors import EntryPointError, TableError
from scythe_cli.experiment.models import ExperimentInputSpec, ExperimentOutputSpec
from scythe_cli.experiment.plain_values import is_same
from scythe_cli.experiment.signature import read_signature
from scythe_cli.lane.encode import Encoder
from scythe_cli.lane.output_model import OutputModel
from scythe_cli.lane.outputs import Outputs
from scythe_cli.lane.pending import Pending
from scythe_cli.run.outcomes import Failure
from scythe_cli.spec_table.read import read_specs

NOT_IN_JSON = {("bytes", "in a dict"), ("bytes", "in a tuple")}
"""JSON has no form for bytes that are not text: such values are refused by row."""


def input_model(annotation: Any, default: Any = ...) -> Any:
    return pydantic.create_model("In", __base__=ExperimentInputSpec, value=(annotation, default))


def output_model(annotation: Any) -> Any:
    return pydantic.create_model("Out", __base__=ExperimentOutputSpec, result=(annotation, ...))


def refusal(takes: type[ExperimentInputSpec], gives: type[ExperimentOutputSpec]) -> str | None:
    """What allocate says of an experiment with these models."""

    def f(input_spec: Any) -> Any: ...

    f.__annotations__ = {"input_spec": takes, "return": gives}
    try:
        read_signature(f, "f", Path(__file__))
    except EntryPointError as exc:
        return exc.message
    return None


def through_parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def as_a_lane_sees(source: Any, model: Any) -> list[Any]:
    specs = read_specs(source, model)
    back = pq.read_table(pa.BufferReader(through_parquet(specs.table)))
    specs_again: list[Any] = make_specs(back, model, {})
    return [spec.value for spec in specs_again]


def places(name: str) -> list[str]:
    """Where a field may have a type and its values be held."""
    return [how for how in HOW if (name, how) not in NOT_IN_JSON]


def is_scalar_of_a_library(name: str) -> bool:
    return "np." in name or "pd." in name


@pytest.mark.parametrize("name", HELD)
def test_an_input_is_the_same_in_the_lane(name: str) -> None:
    annotation, values = HELD[name]
    changed = {}
    for how in places(name):
        inside = wrapped(annotation, how)
        model = input_model(inside)
        if how == "in a model" and is_scalar_of_a_library(name):
            continue  # see the test below
        assert refusal(model, ExperimentOutputSpec) is None
        given = [model(value=wrapped_value(value, how, inside)) for value in values]
        back = as_a_lane_sees(given, model)
        if wrong := [spec.value for spec, other in zip(given, back, strict=True) if not is_same(spec.value, other)]:
            changed[how] = wrong
    assert changed == {}


@pytest.mark.parametrize("name", [*filter(is_scalar_of_a_library, HELD)])
def test_a_scalar_of_a_library_is_a_fields_own_type(name: str) -> None:
    said = refusal(input_model(wrapped(HELD[name][0], "in a model")), ExperimentOutputSpec)
    assert said is not None
    assert "holds Inside.inside, which is a" in said


@pytest.mark.parametrize("name", HELD)
def test_an_input_given_as_a_dict_is_the_same(name: str) -> None:
    annotation, values = HELD[name]
    model = input_model(annotation)
    wanted = [model(value=value).value for value in values]
    back = as_a_lane_sees([{"value": value} for value in values], model)
    assert [value for value, other in zip(wanted, back, strict=True) if not is_same(value, other)] == []


@pytest.mark.parametrize("name", HELD)
def test_a_default_is_the_same_in_the_lane(name: str) -> None:
    annotation, values = HELD[name]
    model = input_model(annotation, values[0])
    [back] = as_a_lane_sees([{"sort_index": 1}], model)
    assert is_same(back, model().value)


@pytest.mark.parametrize("name", [*HELD, *OUTPUT_ONLY])
def test_an_output_is_in_the_table_that_all_libraries_read(name: str, tmp_path: Path) -> None:
    annotation, values = HELD.get(name) or OUTPUT_ONLY[name]
    for how in places(name):
        inside = wrapped(annotation, how)
        gives = output_model(inside)
        assert refusal(ExperimentInputSpec, gives) is None
        table = written([gives(result=wrapped_value(value, how, inside)) for value in values], gives, tmp_path)
        assert table["_message"].to_pylist() == [None] * len(values)
        data = through_parquet(table)
        assert len(pd.read_parquet(io.BytesIO(data))["result"]) == len(values)
        empty = [wrapped_value(value, how, inside) is None for value in values]
        assert pl.read_parquet(io.BytesIO(data))["result"].is_null().to_list() == empty


def written(outputs: list[Any], model: type[ExperimentOutputSpec], folder: Path) -> pa.Table:
    """The outcomes of outputs, as a lane sends them."""
    known = OutputModel(model)
    accepting = Outputs(known, ExperimentInputSpec, outbox=str(folder), root=str(folder))
    pending = Pending()
    spec = ExperimentInputSpec(workflow_run_id="12345678-1234-4234-8234-123456789abc")
    for row, output in enumerate(outputs):
        normalized = accepting.accept(pending, row, spec, output, folder)
        assert not isinstance(normalized, Failure), normalized.message
        pending.add(row, row, output=normalized, attempt=1, start=0.0, duration=0.0, log=None)
    [(_, buffers)] = Encoder(known, worker="w").messages(pending)
    return pa.ipc.open_stream(buffers[0]).read_all()


@pytest.mark.parametrize("name", REFUSED)
def test_a_type_that_no_table_holds_is_refused_as_an_input(name: str) -> None:
    annotation, advice = REFUSED[name]
    for how in HOW:
        if (name, how) == ("Path or str", "in a model"):
            continue  # text that a model carries along
        said = refusal(input_model(wrapped(annotation, how), None), ExperimentOutputSpec)
        assert said is not None
        assert "a field 'value' of In" in said
        assert advice in said


@pytest.mark.parametrize("name", REFUSED)
def test_a_type_that_no_column_holds_is_refused_as_an_output(name: str) -> None:
    annotation, advice = REFUSED[name]
    for how in HOW:
        said = refusal(ExperimentInputSpec, output_model(wrapped(annotation, how)))
        assert said is not None
        assert "a field 'result' of Out" in said
        assert advice in said


@pytest.mark.parametrize("name", ["Json", "Json of list", "Literal of Enum"])
def test_a_type_that_cannot_come_from_a_table_is_refused_as_an_input(name: str) -> None:
    said = refusal(input_model(OUTPUT_ONLY[name][0]), ExperimentOutputSpec)
    assert said is not None
    assert "a field 'value' of In" in said


@pytest.mark.parametrize("annotation", [Path, pydantic.FilePath, Path | None, Annotated[Path, "x"]])
def test_a_path_that_would_not_go_with_the_run_is_refused(
    annotation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.epw").write_text("x")
    with pytest.raises(TableError, match=r"specs row 0  value = .*w.epw': is a Path, .*: write FileReference"):
        read_specs([{"value": "w.epw"}], input_model(annotation), check_files=True)


def test_a_folder_of_the_machine_may_be_a_path(tmp_path: Path) -> None:
    [path] = as_a_lane_sees([{"value": str(tmp_path)}], input_model(Path))
    table = read_specs([{"value": str(tmp_path)}], input_model(Path), check_files=True)
    assert path == tmp_path
    [note] = table.notes
    assert note.startswith("value: the files of these paths do not go with the run; write FileReference")


@pytest.mark.parametrize("annotation", [Path, Path | None, Path | str | None])
def test_a_model_inside_an_input_carries_paths_along_as_text(annotation: Any, tmp_path: Path) -> None:
    class Config(BaseModel):
        file: annotation

    class Carries(ExperimentInputSpec):
        config: Config

    spec = Carries(config=Config(file=Path("gis/city.gpkg")))
    table = read_specs([spec], Carries, base=tmp_path, check_files=True)
    [config] = table.table["config"].to_pylist()
    assert config == {"file": "gis/city.gpkg"}

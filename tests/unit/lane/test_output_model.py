"""An output is normalized when its spec ends: as it is, as plain scalars, or as a failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import Field, field_validator

from scythe_cli import ExperimentOutputSpec
from scythe_cli.lane.encode import Encoder
from scythe_cli.lane.output_model import OutputModel, PlainScalars
from scythe_cli.lane.outputs import Outputs
from scythe_cli.lane.pending import Pending
from scythe_cli.run.outcomes import Failure

CALLS: list[float] = []


class Plain(ExperimentOutputSpec):
    heat: float = Field(ge=0)


class Checked(ExperimentOutputSpec):
    heat: float = Field(ge=0)
    name: str = ""

    @field_validator("heat")
    @classmethod
    def note(cls, heat: float) -> float:
        CALLS.append(heat)
        return heat


class Loose(ExperimentOutputSpec):
    heat: float = Field(ge=0)
    anything: Any = None


class Shy(dict[str, Any]):
    def __init__(self, answer: str | Exception) -> None:
        super().__init__()
        self.answer = answer

    def items(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"answer": self.answer}.items()


def failed(normalized: Any) -> Failure:
    assert isinstance(normalized, Failure)
    return normalized


def test_an_output_that_columns_take_is_kept() -> None:
    output = Plain(heat=1.0)
    assert OutputModel(Plain).normalize(output) is output


def _made(**values: Any) -> Any:
    return Plain.model_construct(**values)


class Hooked(ExperimentOutputSpec):
    heat: float

    def __getattribute__(self, name: str) -> Any:
        CALLS.append(0.0)
        return super().__getattribute__(name)


def test_what_was_normalized_once_is_taken_without_a_look_at_the_model() -> None:
    model = OutputModel(Plain)
    assert model.take(Plain(heat=1.0)) is None
    model.normalize(Plain(heat=1.0))
    assert model.take(Plain(heat=2.0)) == (2.0, {})


@pytest.mark.parametrize(
    "output",
    [
        pytest.param(_made(heat="many"), id="another type"),
        pytest.param(_made(), id="a field less"),
        pytest.param(Plain(heat=1.0, dataframes={"hourly": None}), id="a frame"),
        pytest.param(type("Sub", (Plain,), {"__module__": __name__})(heat=1.0), id="a subclass"),
        pytest.param(None, id="None"),
    ],
)
def test_what_needs_a_look_is_not_taken(output: Any) -> None:
    model = OutputModel(Plain)
    model.normalize(Plain(heat=1.0))
    assert model.take(output) is None


@pytest.mark.parametrize(("kind", "output"), [(Checked, Checked(heat=1.0)), (Hooked, Hooked(heat=1.0))])
def test_what_may_run_code_of_the_user_is_not_taken(kind: Any, output: Any) -> None:
    model = OutputModel(kind)
    model.normalize(output)
    CALLS.clear()
    assert model.take(output) is None
    assert not CALLS


def test_an_output_past_its_bounds_is_found_in_the_column() -> None:
    model, pending = OutputModel(Plain), Pending()
    for row, heat in enumerate((1.0, -1.0, 2.0)):
        output = model.normalize(Plain.model_construct(heat=heat))
        pending.add(row, row, output=output, attempt=1, start=0.0, duration=0.0)
    ((header, _),) = Encoder(model, worker="").messages(pending)
    assert header.failed == 1
    assert [sample.row for sample in header.samples] == [1]


def _read(message: tuple[Any, list[bytes]]) -> list[Any]:
    return pa.ipc.open_stream(message[1][0]).read_all().column("heat").to_pylist()


@pytest.mark.parametrize("options", [{}, {"nan_fails": True}, {"at_once": True}])
def test_an_output_that_the_next_spec_changes_and_returns_again_keeps_its_values(
    options: dict[str, bool], tmp_path: Path
) -> None:
    model, pending, output = OutputModel(Plain), Pending(), Plain(heat=0.0)
    outputs = Outputs(model, None, outbox=str(tmp_path), root="", **options)
    for row in range(4):
        output.heat = float(row)
        values = outputs.take(output)
        assert (values is not None) == (row > 0 and not options)
        values = values or outputs.keep(pending, row, None, output, tmp_path)
        pending.add(row, row, output=values, attempt=1, start=0.0, duration=0.0)
    (message,) = Encoder(model, worker="").messages(pending)
    assert _read(message) == [0.0, 1.0, 2.0, 3.0]


def test_of_outputs_that_were_taken_one_past_its_bounds_fails_alone() -> None:
    model, pending = OutputModel(Plain), Pending()
    model.normalize(Plain(heat=1.0))
    for row, heat in enumerate((1.0, -1.0, 2.0)):
        values = model.take(Plain.model_construct(heat=heat, dataframes={}))
        assert values is not None
        pending.add(row, row, output=values, attempt=1, start=0.0, duration=0.0)
    pending.add(3, 3, output=PlainScalars({"heat": 4.0}), attempt=1, start=0.0, duration=0.0)
    (message,) = Encoder(model, worker="").messages(pending)
    assert [sample.row for sample in message[0].samples] == [1]
    assert _read(message) == [1.0, None, 2.0, 4.0]


def test_a_value_of_another_type_is_validated_at_once() -> None:
    output = Plain.model_construct(heat=0.0)
    output.__dict__["heat"] = "many"
    assert failed(OutputModel(Plain).normalize(output)).place == "Plain.heat"


def test_validators_of_the_users_do_not_run_twice_for_a_sound_output() -> None:
    output = Checked(heat=1.0)
    CALLS.clear()
    assert OutputModel(Checked).normalize(output) is output
    assert CALLS == []


def test_validators_of_the_users_run_at_once_for_a_doubtful_output() -> None:
    CALLS.clear()
    failure = failed(OutputModel(Checked).normalize(Checked.model_construct(heat=-1.0, name="")))
    assert failure.place == "Checked.heat"


def test_nothing_of_a_normalized_output_is_asked_later() -> None:
    output = Loose(heat=1.0, anything=Shy("text"))
    normalized = OutputModel(Loose).normalize(output)
    assert isinstance(normalized, PlainScalars)
    output.anything.answer = ValueError("asked again")
    ((column, _),) = zip(OutputModel(Loose).columns([normalized])[1:], [None], strict=True)
    assert column.to_pylist() == ['{"answer":"text"}']


def test_a_value_that_raises_is_a_failure() -> None:
    failure = failed(OutputModel(Loose).normalize(Loose(heat=1.0, anything=Shy(ZeroDivisionError("no")))))
    assert failure.kind == "invalid_output"


@pytest.mark.parametrize("heat", [float("nan"), float("inf")])
def test_nan_is_a_float(heat: float) -> None:
    class Free(ExperimentOutputSpec):
        heat: float
        name: str = ""

        @field_validator("name")
        @classmethod
        def same(cls, name: str) -> str:
            return name

    output = Free(heat=heat)
    assert OutputModel(Free).normalize(output) is output

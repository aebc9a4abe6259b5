"""What an output keeps besides its fields is no value for a field."""

from __future__ import annotations

from functools import cached_property

from pydantic import Field, computed_field

from scythe_cli import ExperimentOutputSpec
from scythe_cli.lane.output_model import OutputModel


class Out(ExperimentOutputSpec):
    months: list[float]
    heat: float = Field(alias="Heat")

    @computed_field  # type: ignore[prop-decorator]  # pydantic means it so
    @cached_property
    def total(self) -> float:
        return sum(self.months)

    @cached_property
    def half(self) -> float:
        return self.total / 2


def test_cached_properties_and_aliases_are_taken_as_they_are() -> None:
    output = Out(months=[1.0, 2.0], Heat=3.0)
    assert output.half == 1.5
    found = OutputModel(Out).normalize(output)
    assert {name: found.__dict__[name] for name in ("months", "heat", "total")} == {
        "months": [1.0, 2.0],
        "heat": 3.0,
        "total": 3.0,
    }
